"""A FastAPI server that makes the bare calls and hears systemd's signals, and nothing else.

It keeps no record, reads no config, checks nothing and does nothing with what it hears: what is left
is what any supervisor costs that is made of these parts. It takes the manager's flags.
"""

import asyncio
import logging
import re
import socket
from pathlib import Path
from typing import override

import uvicorn
from fastapi import FastAPI
from gi.repository import Gio, GLib
from pydantic import BaseModel

import benchmarks.as_installed  # noqa: F401  # before structlog
from coredinator.app import Server, listen
from coredinator.service.identity import Identity, identify
from coredinator.service.record import ServiceRecord
from coredinator.service.state import Intent
from coredinator.service.workload import workload_properties
from coredinator.services import Definition, KindName
from coredinator.settings import parse_settings
from coredinator.systemd.connection import BusConnection, Match
from coredinator.systemd.properties import to_variant, tuple_of
from coredinator.systemd.types import Interface
from coredinator.web.protocol import BoundedProtocol

_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_PATIENCE = 10.0
_NO_OTHER_UNITS = GLib.Variant("a(sa(sv))", [])


class Systemd:
    """The user's systemd; a call that makes a job returns when the job is removed."""

    def __init__(self) -> None:
        self.version = 0
        self._jobs: dict[str, asyncio.Event] = {}

    async def connect(self) -> None:
        """Connect, and have systemd send its signals."""
        up = asyncio.Event()
        matches = [
            Match(_NAME, _MANAGER, "JobRemoved", self._job_removed),
            *(Match(_NAME, _PROPERTIES, "PropertiesChanged", _heard, interface) for interface in Interface),
        ]
        self._bus = BusConnection(Gio.BusType.SESSION, matches, on_up=up.set, on_down=logging.warning)
        self._bus.start()
        await up.wait()
        await self._call("Subscribe", None)
        version = GLib.Variant("(ss)", (_MANAGER, "Version"))
        answer = await self._bus.call(_NAME, _PATH, _PROPERTIES, "Get", version, subject="version", timeout=_PATIENCE)
        self.version = int(re.findall(r"\d+", answer.unpack()[0])[0])

    async def run(self, method: str, arguments: GLib.Variant) -> None:
        """Make a call that makes a job."""
        job = (await self._call(method, arguments)).unpack()[0]
        await self._job(job).wait()
        del self._jobs[job]

    async def _call(self, method: str, arguments: GLib.Variant | None) -> GLib.Variant:
        return await self._bus.call(_NAME, _PATH, _MANAGER, method, arguments, subject=method, timeout=_PATIENCE)

    def _job(self, job: str) -> asyncio.Event:
        return self._jobs.setdefault(job, asyncio.Event())

    def _job_removed(self, _path: str, parameters: GLib.Variant) -> None:
        self._job(parameters.unpack()[1]).set()


def _heard(_path: str, _parameters: GLib.Variant) -> None:
    """Do nothing with a signal that was received."""


class Start(BaseModel):
    """The part of a start that this server looks at."""

    config_path: str


class BareServer(Server):
    """A server that connects to systemd before it serves."""

    def __init__(self, config: uvicorn.Config, systemd: Systemd) -> None:
        super().__init__(config)
        self._systemd = systemd

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self._systemd.connect()
        await super().startup(sockets)


def create_app(systemd: Systemd, programs: Path) -> FastAPI:
    """The routes that the measuring process asks; `programs` holds the executables."""
    app = FastAPI()

    async def run(service: Identity, config_path: str) -> None:
        program = str(programs / f"linux-{service.kind}-v1.0.0")
        record = ServiceRecord(service, service.instance, config_path, Intent.RUNNING, executable=program)
        properties = workload_properties(record, Definition(service.spec), systemd_version=systemd.version)
        name, mode = GLib.Variant.new_string(record.unit), GLib.Variant.new_string("fail")
        await systemd.run("StartTransientUnit", tuple_of(name, mode, to_variant(properties), _NO_OTHER_UNITS))

    @app.post("/api/agents/start")
    async def start(order: Start) -> str:
        name = Path(order.config_path).stem
        await run(identify(KindName.COREIO, f"{name}-coreio"), order.config_path)
        await run(identify(KindName.CORERL, name), order.config_path)
        return name

    @app.post("/api/agents/{name}/stop")
    async def stop(name: str) -> str:
        unit = identify(KindName.CORERL, name).unit
        await systemd.run("StopUnit", GLib.Variant("(ss)", (unit, "replace")))
        return name

    @app.get("/api/agents/{name}/status")
    async def status(name: str) -> dict[str, str]:
        return {"id": name, "state": "running"}  # which it is once its start was answered

    @app.get("/api/healthcheck")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    return app


def main() -> None:
    """Serve until told to stop."""
    settings = parse_settings()
    systemd = Systemd()
    config = uvicorn.Config(
        create_app(systemd, settings.base_path), http=BoundedProtocol, ws="none",
        log_config=None, access_log=False, server_header=False,
    )  # fmt: skip
    BareServer(config, systemd).run([listen(settings.host, settings.port)])


if __name__ == "__main__":
    main()
