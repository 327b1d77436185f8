"""The plant as everybody on the event bus sees it."""

import json
import time
from typing import Any

import zmq

from coredinator.demo.config import EventBus
from coredinator.demo.tags import HOURS, TOPIC_OBSERVATION, TRIP


class PlantView:
    """The last observation that CoreIO published, empty before the first one, and its records."""

    def __init__(self, bus: EventBus) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.connect(bus.subscribers)
        self._socket.subscribe(TOPIC_OBSERVATION.encode())
        self.values: dict[str, Any] = {}
        self.observations = 0
        self.peak_pressure = 0.0
        """Highest reactor pressure so far, in kPa."""

    def update(self, seconds: float) -> None:
        """Take in what is published during so many seconds."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._socket.poll(int(left * 1000) + 1):
            _, body = self._socket.recv_multipart()
            self.values = json.loads(body)
            self.observations += 1
            self.peak_pressure = max(self.peak_pressure, self.values["reactor_pressure"])

    @property
    def hours(self) -> float:
        """Simulated hours, 0 before the first message."""
        return float(self.values.get(HOURS, 0.0))

    @property
    def trip(self) -> str:
        """Why the plant tripped, empty while it runs."""
        return str(self.values.get(TRIP, ""))

    def close(self) -> None:
        """Leave the bus."""
        self._context.destroy(linger=0)
