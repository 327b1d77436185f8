"""Two-part messages on the event bus: a topic, and JSON."""

import json
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import zmq
import zmq.asyncio

from coredinator.demo.config import EventBus

_log = logging.getLogger(__name__)

_SILENCE_MS = 5000


class BusClient:
    """Publishes anything, and receives one topic. ZeroMQ finds the bus again whenever it restarts."""

    def __init__(self, bus: EventBus, topic: str) -> None:
        self._context = zmq.asyncio.Context()
        self._publisher = self._context.socket(zmq.PUB)
        self._publisher.connect(bus.publishers)
        self._subscriber = self._context.socket(zmq.SUB)
        self._subscriber.connect(bus.subscribers)
        self._subscriber.subscribe(topic.encode())
        self._topic = topic

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._context.destroy(linger=0)

    async def publish(self, topic: str, payload: Mapping[str, object]) -> None:
        """Send a message to whoever has subscribed to its topic."""
        message = [topic.encode(), json.dumps(payload).encode()]
        await self._publisher.send_multipart(message)  # pyright: ignore[reportUnknownMemberType]

    async def newest(self) -> dict[str, Any]:
        """Wait for a message; of several that have come already, the last one.

        A silence of 5 s is logged, once: the other side, or the bus, is down.
        """
        if not await self._subscriber.poll(_SILENCE_MS):
            _log.warning("no %s for %g s; waiting for it", self._topic, _SILENCE_MS / 1000)
        _, body = await self._subscriber.recv_multipart()
        while await self._subscriber.poll(0):
            _, body = await self._subscriber.recv_multipart()
        return json.loads(body)
