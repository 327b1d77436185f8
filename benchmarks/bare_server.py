"""A FastAPI server that makes the bare calls and hears systemd's signals, and nothing else.

It keeps no record, reads no config, checks nothing and does nothing with what it hears: what is left
is what any supervisor costs that is made of these parts. It takes the manager's flags.
"""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

import benchmarks.as_installed  # noqa: F401  # before structlog
from coredinator.app import Server, listen
from coredinator.service.identity import Identity, identify
from coredinator.service.record import ServiceRecord
from coredinator.service.state import Intent
from coredinator.service.workload import workload_properties
from coredinator.services import Definition, KindName
from coredinator.settings import parse_settings
from coredinator.systemd import Scope, SystemdManager, UnitExists
from coredinator.web.protocol import BoundedProtocol

_NO_UNIT = "none-of-that-name-"
_PATIENCE = 10.0


class Start(BaseModel):
    """The part of a start that this server looks at."""

    config_path: str


def create_app(programs: Path) -> FastAPI:
    """The routes that the measuring process asks; `programs` holds the executables."""
    systemd: SystemdManager

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        nonlocal systemd
        # All signals come, as they do for the manager; none of them is about a unit of that prefix.
        systemd = SystemdManager(Scope.USER, unit_prefix=_NO_UNIT)
        systemd.open()
        await systemd.wait_available()
        yield
        await systemd.close()

    app = FastAPI(lifespan=lifespan)

    async def run(service: Identity, config_path: str) -> None:
        program = str(programs / f"linux-{service.kind}-v1.0.0")
        record = ServiceRecord(service, service.instance, config_path, Intent.RUNNING, executable=program)
        properties = workload_properties(record, Definition(service.spec), systemd_version=systemd.version)
        try:
            await systemd.start_transient_unit(record.unit, properties, job_timeout=_PATIENCE)
        except UnitExists:
            await systemd.start_unit(record.unit, job_timeout=_PATIENCE)

    @app.post("/api/agents/start")
    async def start(order: Start) -> str:
        name = Path(order.config_path).stem
        await run(identify(KindName.COREIO, f"{name}-coreio"), order.config_path)
        await run(identify(KindName.CORERL, name), order.config_path)
        return name

    @app.post("/api/agents/{name}/stop")
    async def stop(name: str) -> str:
        await systemd.stop_unit(identify(KindName.CORERL, name).unit, job_timeout=_PATIENCE)
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
    config = uvicorn.Config(
        create_app(settings.base_path), loop="asyncio", http=BoundedProtocol, ws="none",
        log_config=None, access_log=False, server_header=False, lifespan="on",
    )  # fmt: skip
    Server(config).run([listen(settings.host, settings.port)])


if __name__ == "__main__":
    main()
