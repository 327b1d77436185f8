"""Where the event bus binds and where its clients connect."""

from dataclasses import dataclass

# 0.0.0.0 is no `localhost`: where that resolves to ::1 first, nobody would listen.
_REACHABLE = {"*": "localhost", "::": "localhost", "[::]": "localhost", "0.0.0.0": "127.0.0.1"}  # noqa: S104  # compared with, not bound to


@dataclass(frozen=True, slots=True)
class BusAddresses:
    """Addresses of an event bus: publishers connect to `pub_port` (XSUB), subscribers to `sub_port` (XPUB)."""

    host: str
    pub_port: int
    sub_port: int

    @property
    def xsub_addr(self) -> str:
        """The endpoint that XSUB binds."""
        return f"tcp://{_bracketed(self.host)}:{self.pub_port}"

    @property
    def xpub_addr(self) -> str:
        """The endpoint that XPUB binds."""
        return f"tcp://{_bracketed(self.host)}:{self.sub_port}"

    @property
    def publisher_endpoint(self) -> str:
        """The endpoint that publishers on this host connect to."""
        return f"tcp://{self._reachable}:{self.pub_port}"

    @property
    def subscriber_endpoint(self) -> str:
        """The endpoint that subscribers on this host connect to."""
        return f"tcp://{self._reachable}:{self.sub_port}"

    @property
    def _reachable(self) -> str:
        return _REACHABLE.get(self.host, _bracketed(self.host))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def reserved_ports(api: int, pub: int, sub: int) -> dict[int, str]:
    """Ports that no agent may take, and whose they are."""
    return {
        api: "that of the REST API",
        pub: "that of the event bus for publishers",
        sub: "that of the event bus for subscribers",
    }
