"""A running demo: the manager as a child, the agent through its API, the plant's values off the bus."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import zmq

from coredinator.demo.build import DemoFiles, build_demo, free_ports
from coredinator.demo.config import EventBus
from coredinator.demo.tags import HOURS, TOPIC_MEASUREMENTS, TRIP

_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 30.0


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


class PlantView:
    """The last measurements that CoreIO published; empty before the first ones."""

    def __init__(self, bus: EventBus) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.connect(bus.subscribers)
        self._socket.subscribe(TOPIC_MEASUREMENTS.encode())
        self.values: dict[str, Any] = {}

    def update(self, seconds: float) -> None:
        """Take in messages for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._socket.poll(int(left * 1000) + 1):
                _, body = self._socket.recv_multipart()
                self.values = json.loads(body)

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
        self._socket.close(linger=0)
        self._context.term()


class DemoSession:
    """The manager and its demo agent."""

    def __init__(self, files: DemoFiles, client: httpx.Client, plant: PlantView) -> None:
        self.files = files
        self.plant = plant
        self._client = client
        self.agent_id = ""

    @classmethod
    @contextmanager
    def running(cls, folder: Path, *, hours_per_second: float) -> Iterator[Self]:
        """Build everything below `folder`, start it, and stop all of it at the end."""
        files = build_demo(folder, hours_per_second=hours_per_second)
        (port,) = free_ports(1)
        plant = PlantView(files.config.event_bus)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=_STOP_TIMEOUT) as client:
            session = cls(files, client, plant)
            manager = _start_manager(files, folder / "state", port)
            try:
                session.wait_for_manager(manager, folder / "manager.log")
                yield session
            finally:
                session.stop()
                manager.terminate()
                manager.wait(_STOP_TIMEOUT)
                # The bus outlives its manager by design; the demo is to leave nothing.
                _systemctl("stop", "coredinator-eventbus.service", "coredinator.slice")
                plant.close()

    def start_agent(self) -> None:
        """Start the demo agent through the API."""
        self.agent_id = self._post("/api/agents/demo/tep/start", {"config_path": str(self.files.config_path)})["agent_id"]

    def stop_corerl(self) -> None:
        """Take the controller away from the plant."""
        self._post(f"/api/agents/{self.agent_id}/stop")

    def status(self) -> dict[str, Any]:
        """The agent's status."""
        return self._client.get(f"/api/agents/{self.agent_id}/status").raise_for_status().json()

    def stop(self) -> None:
        """Stop the agent, its plant and its CoreIO, as far as they were started."""
        if self.agent_id:
            coreio = self.status()["service_statuses"]["coreio"]["id"]
            self._post(f"/api/agents/demo/tep/{self.agent_id}/stop")
            self._post(f"/api/coreio/{coreio}/stop")
            self.agent_id = ""

    def wait_for_manager(self, manager: subprocess.Popen[bytes], log: Path) -> None:
        """Return when the manager answers. Raises DemoError with its last words if it does not."""
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline and manager.poll() is None:
            try:
                self._client.get("/api/healthcheck").raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.1)
            else:
                return
        raise DemoError(f"the manager did not start: {log.read_text()[-2000:]}")

    def _post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self._client.post(path, json=body)
        if answer.is_error:
            raise DemoError(f"POST {path}: {answer.status_code} {answer.text}")
        return answer.json()


def _start_manager(files: DemoFiles, state_dir: Path, port: int) -> subprocess.Popen[bytes]:
    bus = files.config.event_bus
    command = [
        sys.executable, "-m", "coredinator.app", "--user",
        "--base-path", str(files.base_path), "--state-dir", str(state_dir), "--port", str(port),
        "--event-bus-host", bus.host, "--event-bus-pub-port", str(bus.pub_port),
        "--event-bus-sub-port", str(bus.sub_port),
    ]  # fmt: skip
    # A process group of its own: Ctrl-C is for the demo, which ends the manager last.
    with (state_dir.parent / "manager.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=os.environ, process_group=0)


def _systemctl(*arguments: str) -> None:
    subprocess.run(["systemctl", "--user", *arguments], check=False, capture_output=True)
