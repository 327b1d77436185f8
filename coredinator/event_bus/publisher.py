"""Publishing on the event bus without ever waiting for it."""

import json
from collections.abc import Mapping
from typing import Protocol

import zmq

_LINGER_MS = 200


class EventSink(Protocol):
    """Whoever takes events."""

    def publish(self, topic: str, payload: Mapping[str, object]) -> None:
        """Take one event; never block, never raise."""
        ...


class Publisher:
    """A PUB socket that is connected to the bus.

    A PUB socket sends only what somebody subscribed to, and knows of subscriptions only once it is
    connected (zmq_socket(3)): an event bus that is absent or slow loses events and costs the
    manager nothing. `dropped` counts events that somebody wanted and a full pipe could not take.
    """

    def __init__(self, endpoint: str) -> None:
        self.dropped = 0
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, _LINGER_MS)
        # With IPv6 on, `localhost` may resolve to ::1 where the bus listens on IPv4 only.
        self._socket.setsockopt(zmq.IPV6, 1 if "[" in endpoint else 0)
        # A full pipe is then an error, to be counted, in place of a silent loss; with DONTWAIT neither blocks.
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._socket.connect(endpoint)

    def publish(self, topic: str, payload: Mapping[str, object]) -> None:
        """Send topic and JSON as a two-part message."""
        message = [topic.encode(), json.dumps(payload).encode()]
        try:
            self._socket.send_multipart(message, flags=zmq.DONTWAIT)  # pyright: ignore[reportUnknownMemberType]  # as pyzmq types it
        except zmq.ZMQError:
            self.dropped += 1

    def close(self) -> None:
        """Close the socket; what is on its way gets 200 ms."""
        self._socket.close()
        self._context.term()
