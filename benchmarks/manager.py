"""The manager under test, its folders, and the workloads that it is given."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.bed import clean_up, compile_pause, free_ports
from benchmarks.http_client import HOST, Connection, get, send
from benchmarks.processes import cpu_seconds
from coredinator.service.identity import identify
from coredinator.service.record import ServiceRecord
from coredinator.service.state import Intent
from coredinator.services import KindName

_READY_WITHIN = 60.0
REST = 0.5
"""Seconds in which whoever has nothing left to do does nothing; the manager's late reads begin sooner."""
_RESTING = 0.05
"""Cores that an idle manager uses at most."""
SERVER = "benchmarks.server"
BARE_SERVER = "benchmarks.bare_server"


class Manager:
    """A manager process on folders of its own; `launch` and `end` may follow each other.

    The workloads are a static program that only waits: hundreds of them take no time and hardly any
    memory, so that what is measured is what it costs to supervise. `server` is the module that is run.
    """

    def __init__(self, folder: Path, server: str = SERVER) -> None:
        self._folder = folder
        self._server = server
        self._configs = folder / "configs"
        self.state_dir = folder / "state"
        self.port, self.pub_port, self.sub_port = free_ports(3)
        self._process: subprocess.Popen[bytes] | None = None
        self._program = folder / "programs" / "linux-corerl-v1.0.0"
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notifications.bind(str(folder / "notify"))
        self._notifications.settimeout(_READY_WITHIN)
        self._configs.mkdir()
        self._program.parent.mkdir()
        compile_pause(self._program)
        self._program.with_name("linux-coreio-v1.0.0").hardlink_to(self._program)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reset()
        self._notifications.close()

    @property
    def pid(self) -> int:
        """The manager's PID. Raises RuntimeError if it does not run."""
        if self._process is None:
            raise RuntimeError("the manager does not run")
        return self._process.pid

    @property
    def database(self) -> Path:
        """The mirror's file."""
        return self.state_dir / "coredinator.db"

    def launch(self) -> float:
        """Start the manager; seconds until it tells systemd that it is ready."""
        command = [
            "systemd-cat", sys.executable, "-m", self._server, "--user",
            "--base-path", str(self._program.parent), "--state-dir", str(self.state_dir),
            "--port", str(self.port), "--event-bus-host", HOST,
            "--event-bus-pub-port", str(self.pub_port), "--event-bus-sub-port", str(self.sub_port),
        ]  # fmt: skip
        environment = os.environ | {"NOTIFY_SOCKET": self._notifications.getsockname()}
        started = time.perf_counter()
        self._process = subprocess.Popen(command, env=environment)  # noqa: S603  # our own command
        while b"READY=1" not in self._notifications.recv(4096).split(b"\n"):
            pass
        seconds = time.perf_counter() - started
        # The event bus comes up behind it, and would share the machine with what is measured next.
        while json.loads(self.ask(get("/api/healthcheck")))["status"] != "healthy":
            time.sleep(0.01)
        return seconds

    def settle(self) -> None:
        """Wait until nothing is left to do of what was asked for, as after many starts."""
        now = cpu_seconds(self.pid)
        while True:
            before = now
            time.sleep(REST)
            now = cpu_seconds(self.pid)
            if now - before < _RESTING * REST:
                return

    def end(self) -> None:
        """End the manager; its units run on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_READY_WITHIN)
            self._process = None

    def reset(self) -> None:
        """End the manager and all units, and forget everything."""
        self.end()
        clean_up()
        shutil.rmtree(self.state_dir, ignore_errors=True)

    def agent(self, name: str, coreio_id: str | None = None) -> tuple[ServiceRecord, ServiceRecord]:
        """CoreIO and CoreRL of an agent, as a start by the manager would record them."""
        path = self._config(name)
        coreio = identify(KindName.COREIO, coreio_id or f"{name}-coreio")
        corerl = identify(KindName.CORERL, name)
        program = str(self._program.with_name("linux-coreio-v1.0.0"))
        return (
            ServiceRecord(coreio, name, str(path), Intent.RUNNING, executable=program),
            ServiceRecord(
                corerl, name, str(path), Intent.RUNNING, executable=str(self._program), coreio_id=coreio.instance
            ),
        )

    def start_request(self, name: str, coreio_id: str | None = None) -> bytes:
        """The request that starts an agent."""
        body = {"config_path": str(self._config(name)), "coreio_id": coreio_id}
        return send("POST", "/api/agents/start", json.dumps(body).encode())

    def start_agents(self, names: Sequence[str], *, clients: int, coreio_id: str | None = None) -> float:
        """Start agents by concurrent clients; seconds until a status answer has said `running` of each."""
        requests = {name: self.start_request(name, coreio_id) for name in names}

        async def start(connection: Connection, name: str) -> None:
            await connection.ask(requests[name])
            while await state_of(connection, name) != "running":
                pass

        return self._each(names, start, clients)

    def stop_agents(self, names: Sequence[str], *, clients: int) -> float:
        """Stop agents by concurrent clients; seconds until the last answer, which comes when the processes are gone."""

        async def stop(connection: Connection, name: str) -> None:
            await connection.ask(send("POST", f"/api/agents/{name}/stop"))

        return self._each(names, stop, clients)

    def forget_agents(self, names: Sequence[str], *, clients: int) -> None:
        """Stop agents with their CoreIO, and have them forgotten, by concurrent clients."""

        async def forget(connection: Connection, name: str) -> None:
            await connection.ask(send("POST", f"/api/agents/{name}/stop"))
            await connection.ask(send("DELETE", f"/api/agents/{name}"))
            await connection.ask(send("POST", f"/api/coreio/{name}-coreio/stop"))

        self._each(names, forget, clients)

    def ask(self, request: bytes) -> bytes:
        """The body of the answer to one request."""

        async def once() -> bytes:
            connection = await Connection.open(self.port)
            try:
                return await connection.ask(request)
            finally:
                connection.close()

        return asyncio.run(once())

    def _each(
        self, names: Sequence[str], act: Callable[[Connection, str], Coroutine[Any, Any, None]], clients: int
    ) -> float:
        """Do something for each name, each client taking the next one as soon as it is free; seconds."""

        async def work(connection: Connection, left: Iterator[str]) -> None:
            for name in left:
                await act(connection, name)

        async def all_of_them() -> float:
            connections = [await Connection.open(self.port) for _ in range(clients)]
            left = iter(names)
            started = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for connection in connections:
                    group.create_task(work(connection, left))
            seconds = time.perf_counter() - started
            for connection in connections:
                connection.close()
            return seconds

        return asyncio.run(all_of_them())

    def _config(self, name: str) -> Path:
        path = self._configs / f"{name}.yaml"
        if not path.exists():
            path.write_text(f"agent_name: {name}\n")
        return path


def names_of(count: int, prefix: str = "a") -> list[str]:
    """Ids of agents."""
    return [f"{prefix}{number:04d}" for number in range(count)]


async def state_of(connection: Connection, name: str) -> str:
    """The state of an agent as the API tells it."""
    return json.loads(await connection.ask(get(f"/api/agents/{name}/status")))["state"]
