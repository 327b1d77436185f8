"""Two-part messages on the event bus: a topic, and JSON."""

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import zmq
import zmq.asyncio

from coredinator.demo.config import EventBus


class BusClient:
    """Publishes anything, and receives one topic. ZeroMQ finds the bus again whenever it restarts."""

    def __init__(self, bus: EventBus, topic: str) -> None:
        self._context = zmq.asyncio.Context()
        self._publisher = self._context.socket(zmq.PUB)
        self._publisher.connect(bus.publishers)
        self._subscriber = self._context.socket(zmq.SUB)
        self._subscriber.connect(bus.subscribers)
        self._subscriber.subscribe(topic.encode())

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
        """Wait for a message; of several that have come already, the last one."""
        _, body = await self._subscriber.recv_multipart()
        while await self._subscriber.poll(0):
            _, body = await self._subscriber.recv_multipart()
        return json.loads(body)
