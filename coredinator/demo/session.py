"""A running demo: the manager as a child, the agent through its API, the plant's values off the bus."""

import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx

from coredinator.demo.build import HOURS_PER_SECOND, DemoFiles, build_demo, free_ports
from coredinator.demo.plant_view import PlantView

_START_TIMEOUT = 30.0
_PLANT_TIMEOUT = 60.0
_STOP_TIMEOUT = 30.0
_BUS = "coredinator-eventbus.service"
_SLICE = "coredinator.slice"
_POLL = 0.1


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


class DemoSession:
    """The manager and its demo agent."""

    def __init__(self, files: DemoFiles, client: httpx.Client, plant: PlantView) -> None:
        self.files = files
        self.plant = plant
        self.agent_id = ""
        self._client = client

    @classmethod
    @contextmanager
    def running(cls, folder: Path, *, hours_per_second: float = HOURS_PER_SECOND) -> Generator[Self]:
        """Build everything below `folder`, start it, and stop all of it at the end, whatever happens.

        Raises DemoError if the manager or the agent does not start.
        """
        refuse_company()
        files = build_demo(folder / "base", hours_per_second=hours_per_second)
        (port,) = free_ports(1)
        with ExitStack() as stack:
            plant = PlantView(files.config.event_bus)
            stack.callback(plant.close)
            client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=_STOP_TIMEOUT))
            session = cls(files, client, plant)
            # The bus outlives its manager by design, and so does an agent whose manager has died.
            stack.callback(_stop_units)
            manager = _start_manager(files, folder, port)
            stack.callback(_end, manager)
            session.wait_for_manager(manager, folder / "manager.log")
            stack.callback(session.stop)
            session.start_agent()
            yield session

    def start_agent(self) -> None:
        """Start the demo agent through the API."""
        order = {"config_path": str(self.files.config_path)}
        self.agent_id = self._ask("POST", "/api/agents/demo/tep/start", order).json()["agent_id"]

    def wait_for_plant(self) -> None:
        """Return when the first measurements are here. Raises DemoError if none come."""
        deadline = time.monotonic() + _PLANT_TIMEOUT
        while not self.plant.values:
            if time.monotonic() > deadline:
                raise DemoError(f"no measurement came from the plant within {_PLANT_TIMEOUT:g} s")
            self.plant.update(_POLL)

    def stop_corerl(self) -> None:
        """Take the controller away from the plant."""
        self._ask("POST", f"/api/agents/{self.agent_id}/stop")

    def status(self) -> dict[str, Any]:
        """The agent's status. Raises DemoError."""
        return self._ask("GET", f"/api/agents/{self.agent_id}/status").json()

    def stop(self) -> None:
        """Stop the agent, its plant and its CoreIO, as far as they were started. Raises DemoError."""
        if self.agent_id:
            coreio = self.status()["service_statuses"]["coreio"]["id"]
            self._ask("POST", f"/api/agents/demo/tep/{self.agent_id}/stop")
            self._ask("POST", f"/api/coreio/{coreio}/stop")

    def wait_for_manager(self, manager: subprocess.Popen[bytes], log: Path) -> None:
        """Return when the manager answers. Raises DemoError with its last words if it does not."""
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline and manager.poll() is None:
            try:
                self._client.get("/api/healthcheck").raise_for_status()
            except httpx.HTTPError:
                time.sleep(_POLL)
            else:
                return
        raise DemoError(f"the manager did not start: {log.read_text().strip()[-2000:] or 'it said nothing'}")

    def _ask(self, method: str, path: str, body: Mapping[str, str] | None = None) -> httpx.Response:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise DemoError(f"the manager does not answer {method} {path}: {error}") from error
        if answer.is_error:
            raise DemoError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer


def refuse_company() -> None:
    """Raise DemoError if Coredinator runs something under this systemd already, or there is no systemd.

    The demo's manager would adopt such units, and the demo's end would stop them.
    """
    listed = _systemctl("list-units", "--plain", "--no-legend", "coredinator*")
    if listed.returncode != 0:
        raise DemoError(f"no user systemd to run units: {listed.stderr.strip()}; use packaging/user-systemd.py")
    units = [line.split()[0] for line in listed.stdout.splitlines()]
    if others := " ".join(unit for unit in units if unit != _SLICE):
        raise DemoError(f"Coredinator has units here already; stop them first: systemctl --user stop {others}")


def _start_manager(files: DemoFiles, folder: Path, port: int) -> subprocess.Popen[bytes]:
    command: Sequence[str] = (
        sys.executable, "-m", "coredinator.app", "--user", "--port", str(port),
        "--state-dir", str(folder / "state"), *files.manager_flags,
    )  # fmt: skip
    # A process group of its own: Ctrl-C is for the demo, which ends the manager last.
    with (folder / "manager.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, process_group=0)  # noqa: S603  # our own command


def _end(manager: subprocess.Popen[bytes]) -> None:
    manager.terminate()
    try:
        manager.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        manager.kill()
        manager.wait()


def _stop_units() -> None:
    _systemctl("stop", _BUS, _SLICE)
    _systemctl("reset-failed", "coredinator*")


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemctl", "--user", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  # our own command
