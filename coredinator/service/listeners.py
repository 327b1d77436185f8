"""Which processes listen on which TCP ports of this host."""

from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens on a port; `pid` is None where the kernel does not let us see it."""

    pid: int | None

    @property
    def name(self) -> str:
        """The program, for a message."""
        if self.pid is None:
            return "a process of another user"
        try:
            return f"{psutil.Process(self.pid).name()} (PID {self.pid})"
        except psutil.Error:
            return f"PID {self.pid}"

    def belongs_to(self, unit: str) -> bool:
        """Whether it is known to be a process of the unit."""
        try:
            return self.pid is not None and unit in Path(f"/proc/{self.pid}/cgroup").read_text().replace(
                "\n", "/"
            ).split("/")
        except OSError:
            return False


def tcp_listeners() -> dict[int, Listener]:
    """All listening TCP ports; takes milliseconds for each thousand open files of the host."""
    listening = (line for line in psutil.net_connections("tcp") if line.status == psutil.CONN_LISTEN)
    return {line.laddr[1]: Listener(line.pid) for line in listening if line.laddr}
