"""Two-part messages on the event bus: a topic, and JSON."""

import json
from typing import Any

import zmq
import zmq.asyncio

from coredinator.demo.config import EventBus


class BusClient:
    """Publishes anything, and receives one topic."""

    def __init__(self, bus: EventBus, topic: str) -> None:
        context = zmq.asyncio.Context.instance()
        self._publisher = context.socket(zmq.PUB)
        self._publisher.setsockopt(zmq.LINGER, 0)
        self._publisher.connect(bus.publishers)
        self._subscriber = context.socket(zmq.SUB)
        self._subscriber.connect(bus.subscribers)
        self._subscriber.subscribe(topic.encode())

    async def publish(self, topic: str, payload: dict[str, Any]) -> None:
        """Send a message to whoever has subscribed to its topic."""
        await self._publisher.send_multipart([topic.encode(), json.dumps(payload).encode()])

    async def newest(self) -> dict[str, Any]:
        """Wait for a message; of several that have come already, the last one."""
        _, body = await self._subscriber.recv_multipart()
        while await self._subscriber.poll(0):
            _, body = await self._subscriber.recv_multipart()
        return json.loads(body)
