"""A folder with executables and configs, a manager process on it, and its API."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import yaml
import zmq

from tests.support.forked import ForkedManager

PROGRAM = (sys.executable, "-m", "coredinator.app")
SLEEPER = "#!/bin/sh\necho started with $*\nexec sleep infinity\n"
STUBBORN = "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.1; done\n"
CRASHER = "#!/bin/sh\nexit 3\n"


# Below those that the kernel gives to clients (ip_local_port_range), who could have one before its server does.
_PORTS = range(10_000, 32_768)
# Hypothesis begins the global one anew for each example, in each process alike.
_DICE = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now, all different."""
    listeners: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        while len(listeners) < count:
            with contextlib.suppress(OSError):
                listeners.append(stack.enter_context(socket.create_server(("127.0.0.1", _DICE.choice(_PORTS)))))
        return [listener.getsockname()[1] for listener in listeners]


def free_port() -> int:
    return free_ports(1)[0]


def wait_for[T](probe: Callable[[], T], *, timeout: float = 10.0, what: str = "condition") -> T:
    """Poll until `probe` returns something true; the last value is in the failure's message."""
    deadline = time.monotonic() + timeout
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} not met within {timeout} s; last value: {value!r}")
        time.sleep(0.01)
    return value


def systemctl(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["systemctl", "--user", *arguments], check=check, capture_output=True, text=True)
    return done.stdout


def show(unit: str, prop: str) -> str:
    return systemctl("show", "--property", prop, "--value", unit).strip()


def agent_unit(agent_id: str) -> str:
    return systemd_escape("coredinator-agent@.service", agent_id)


def coreio_unit(coreio_id: str) -> str:
    return systemd_escape("coredinator-coreio@.service", coreio_id)


def service_unit(name: str) -> str:
    return systemd_escape("coredinator-service@.service", name)


def systemd_escape(template: str, text: str) -> str:
    done = subprocess.run(
        ["systemd-escape", f"--template={template}", "--", text], check=True, capture_output=True, text=True
    )
    return done.stdout.removesuffix("\n")


@contextlib.contextmanager
def bus_away() -> Iterator[None]:
    """The user's message bus is stopped meanwhile."""
    systemctl("stop", "dbus.socket", "dbus.service")
    try:
        yield
    finally:
        systemctl("start", "dbus.socket", "dbus.service")


@contextlib.contextmanager
def drop_in(template: str, text: str) -> Iterator[Path]:
    """An administrator's drop-in for all units of a template."""
    # The home folder's would reach systemds that run beside this one.
    path = Path(os.environ["XDG_RUNTIME_DIR"], "systemd/user.control", f"{template}.d", "50-administrator.conf")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    systemctl("daemon-reload")
    try:
        yield path
    finally:
        path.unlink()
        systemctl("daemon-reload")


def workload_units() -> list[str]:
    rows = json.loads(systemctl("list-units", "--all", "--output=json", "coredinator-*@*"))
    return sorted(row["unit"] for row in rows)


class Host:
    """What an operator has on one machine. `port` and the bus ports are free ones.

    Its manager is forked, which takes a fifth of the time that a new interpreter does, unless a `program` is to run.
    """

    def __init__(self, folder: Path, program: Sequence[str] | None = None) -> None:
        self.folder = folder
        self.program = program
        self.base_path = folder / "base path [x]"
        self.state_dir = folder / "state"
        self.configs = folder / "configs"
        self.port, self.pub_port, self.sub_port = free_ports(3)
        self.process: subprocess.Popen[bytes] | ForkedManager | None = None
        self.log = folder / "manager.log"
        self.extra_flags: list[str] = []
        for path in (self.base_path, self.configs):
            path.mkdir()
        self.api = self._client()
        self.install("corerl")
        self.install("coreio")

    def install(self, program: str, version: str = "v1.0.0", script: str = SLEEPER) -> Path:
        path = self.base_path / "releases" / f"linux-{program}-{version}"
        path.parent.mkdir(exist_ok=True)
        # A script that runs cannot be written to; a new file takes its place.
        path.unlink(missing_ok=True)
        path.write_text(script)
        path.chmod(0o755)
        return path

    def config(self, name: str, text: str = "agent_name: test\n") -> Path:
        path = self.configs / f"{name}.yaml"
        path.write_text(text)
        return path

    def settings(self, **values: object) -> Path:
        """Write a settings file, of which the manager's next launch takes notice."""
        path = self.folder / "coredinator.yaml"
        path.write_text(yaml.safe_dump(values))
        self.extra_flags = ["--config", str(path)]
        return path

    def command(self) -> list[str]:
        return [*PROGRAM, *self.arguments()]

    def arguments(self) -> list[str]:
        return [
            "--user",
            "--base-path", str(self.base_path), "--state-dir", str(self.state_dir),
            "--port", str(self.port), "--event-bus-host", "127.0.0.1",
            "--event-bus-pub-port", str(self.pub_port), "--event-bus-sub-port", str(self.sub_port),
            *self.extra_flags,
        ]  # fmt: skip

    def launch(self) -> None:
        """Start the manager and return when it answers."""
        self.process = self.spawn()
        wait_for(self._answers, timeout=30, what="manager")

    def spawn(self) -> subprocess.Popen[bytes] | ForkedManager:
        if self.program is None:
            return ForkedManager(self.arguments(), self.log)
        with self.log.open("ab") as log:
            return subprocess.Popen([*self.program, *self.arguments()], stdout=log, stderr=log)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.api.get("/api/healthcheck", timeout=5).is_success
        except httpx.TransportError:
            return False

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def reconnect(self) -> None:
        """Close the connections to the API; the next request opens another."""
        self.api.close()
        self.api = self._client()

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def close(self) -> None:
        self.terminate()
        self.api.close()
        clean_up_units()

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder: Path) -> Iterator[Self]:
        host = cls(folder)
        try:
            host.launch()
            yield host
        finally:
            host.close()

    def start(self, config: Path, **more: object) -> str:
        answer = self.api.post("/api/agents/start", json={"config_path": str(config), **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stop(self, agent_id: str) -> None:
        assert self.api.post(f"/api/agents/{agent_id}/stop").status_code == 200

    def status(self, agent_id: str) -> dict[str, Any]:
        answer = self.api.get(f"/api/agents/{agent_id}/status")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def corerl(self, agent_id: str) -> dict[str, Any]:
        return self.status(agent_id)["service_statuses"]["corerl"]

    def coreio(self, agent_id: str) -> dict[str, Any]:
        return self.status(agent_id)["service_statuses"]["coreio"]

    def wait_stubborn(self, agent_id: str) -> None:
        """Wait until a STUBBORN process ignores SIGTERM (SigIgn in proc_pid_status(5)); it runs before that."""

        def ignores() -> bool:
            status = Path(f"/proc/{self.corerl(agent_id)['main_pid']}/status").read_text()
            mask = int(status.partition("SigIgn:")[2].split()[0], 16)
            return bool(mask >> (signal.SIGTERM - 1) & 1)

        wait_for(ignores, what="stubbornness")

    def pids(self, agent_id: str) -> tuple[int, int]:
        return self.corerl(agent_id)["main_pid"], self.coreio(agent_id)["main_pid"]

    def service(self, name: str) -> dict[str, Any]:
        """The status of a one-off service."""
        answer = self.api.get(f"/api/services/{name}/status")
        assert answer.status_code == 200, answer.text
        return answer.json()["status"]

    def wait_service(self, name: str, state: str) -> dict[str, Any]:
        wait_for(lambda: self.service(name)["state"] == state, what=f"{name} {state}")
        return self.service(name)

    def post(self, path: str, body: object = None, *, code: int = 200) -> Any:  # noqa: ANN401  # JSON
        answer = self.api.post(path, json=body)
        assert answer.status_code == code, answer.text
        return answer.json()

    @contextlib.contextmanager
    def another_client(self) -> Iterator[httpx.Client]:
        """A client for a request that the manager is not to answer; the end of the manager is no error."""
        with httpx.Client(base_url=self.api.base_url, timeout=60) as client, contextlib.suppress(httpx.TransportError):
            yield client

    def health(self) -> dict[str, Any]:
        answer = self.api.get("/api/healthcheck")
        assert answer.status_code == 200
        return answer.json()

    def wait_idle(self) -> None:
        """Wait until the manager has nothing more to do, and systemd nothing because of it."""
        assert self.process is not None
        process = psutil.Process(self.process.pid)

        def rests() -> bool:
            before = process.num_ctx_switches().voluntary
            time.sleep(0.2)
            return process.num_ctx_switches().voluntary - before < 10

        wait_for(rests, what="rest")

    def wait_state(self, agent_id: str, state: str) -> dict[str, Any]:
        wait_for(lambda: self.status(agent_id)["state"] == state, what=f"{agent_id} {state}")
        return self.status(agent_id)


def clean_up_units() -> None:
    """Stop all of Coredinator's units; a test that left one running must not touch the next."""
    systemctl("stop", "coredinator-*", check=False)
    systemctl("reset-failed", "coredinator-*", check=False)


class Subscriber:
    """Sees every lifecycle event on the bus."""

    def __init__(self, port: int) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.connect(f"tcp://127.0.0.1:{port}")
        self._socket.subscribe(b"")
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def heard_anything(self, *, timeout: float) -> bool:
        return bool(self._socket.poll(int(timeout * 1000)))

    def wait_for(self, topic: str, unit: str, *, timeout: float = 10.0) -> dict[str, Any]:
        """The next event of a topic and unit that has not been returned before."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if self._socket.poll(int(left * 1000) + 1):
                name, body = self._socket.recv_multipart()
                event = json.loads(body)
                self.seen.append((name.decode(), event))
                if name.decode() == topic and event["unit"] == unit:
                    return event
        raise AssertionError(f"no {topic} of {unit}; seen: {[name for name, _ in self.seen]}")

    def close(self) -> None:
        self._socket.close(linger=0)
        self._context.term()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
