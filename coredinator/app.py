"""The application: its routes, its life, and the command line."""

import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:
    # Run as a script, Python looks for modules in this folder first, where ours hide systemd-python.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncGenerator, Sequence
from types import FrameType

import uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from systemd import daemon
from uvicorn.supervisors import ChangeReload

from coredinator import __version__
from coredinator.check import findings_of
from coredinator.errors import CoredinatorError, PathUnavailable, SettingsError, StoreError
from coredinator.logs import MessageId, set_up_logging
from coredinator.runtime import Runtime, lock_state_dir
from coredinator.settings import Settings, configs_to_check, parse_settings
from coredinator.store import Mirror
from coredinator.utils.command_line import die
from coredinator.web import agents, coreio, demo, health, services
from coredinator.web.errors import install_error_handlers
from coredinator.web.middleware import BodyLimit, OriginGuard, VersionHeader
from coredinator.web.openapi import Api
from coredinator.web.protocol import BoundedProtocol, BoundedState, raise_descriptor_limit

_log = logging.getLogger("coredinator")

_GRACE = 3
"""Seconds that open requests get at shutdown."""
_TICKS_A_SECOND = 10
"""At each so many ticks uvicorn sets the Date header anew."""
_QUEUE = 2048
"""Connections that the kernel keeps until they are accepted."""
_BATCH = 64
"""Connections accepted in one turn of the loop: a flood of them neither delays requests nor uses up descriptors."""
_ARGUMENTS = "COREDINATOR_ARGUMENTS"


class Server(uvicorn.Server):
    """uvicorn that tells systemd when it serves, and that it is alive."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = BoundedState()
        self._told_to_end = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve, then say so."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_QUEUE)  # asyncio has made the queue as short as its batches
        if self.started:
            _log.info("coredinator %s serves its API", __version__, extra={"message_id": MessageId.MANAGER_READY})
            _tell_systemd("READY=1")

    async def main_loop(self) -> None:
        """Keep the Date header until told to end. uvicorn's own loop looks ten times a second, all day long."""
        while not await self.on_tick(_TICKS_A_SECOND):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._told_to_end.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal that ends the server."""
        super().handle_exit(sig, frame)
        # Called in the loop's thread, but at any moment: the loop may be waiting.
        asyncio.get_running_loop().call_soon_threadsafe(self._told_to_end.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that the end is near, then end."""
        _tell_systemd("STOPPING=1")
        await super().shutdown(sockets)


def create_app(settings: Settings, mirror: Mirror) -> FastAPI:
    """The application on an open mirror."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        runtime = Runtime(settings, mirror)
        app.state.runtime = runtime
        watchdog = asyncio.create_task(_feed_watchdog())
        try:
            await runtime.start()
            yield
        finally:
            watchdog.cancel()
            await runtime.stop()

    app = Api(
        title="Coredinator",
        version=__version__,
        description="Supervises reinforcement-learning agents as systemd units.",
        lifespan=lifespan,
    )
    # Routes are tried in this order, and status is asked for most.
    app.include_router(agents.router)
    app.include_router(demo.router, prefix="/api/agents/demo/tep")
    app.include_router(demo.router, prefix="/api/agents/demos/tep", deprecated=True)
    app.include_router(coreio.router, prefix="/api/coreio")
    app.include_router(coreio.router, prefix="/api/io", deprecated=True)
    app.include_router(services.router)
    app.include_router(health.router)
    app.describe()
    install_error_handlers(app)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit)
    app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origin, allow_methods=["*"], allow_headers=["*"])
    app.add_middleware(OriginGuard, allowed=settings.cors_origin, host=settings.host)
    app.add_middleware(VersionHeader)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. Ends with one line and a non-zero code if the manager cannot run."""
    try:
        if (configs := configs_to_check(arguments)) is not None:
            _check(arguments, configs)
            return
        settings = parse_settings(arguments)
        if settings.reload:
            _serve_reloading(settings, sys.argv[1:] if arguments is None else arguments)
            return
        set_up_logging(settings.logging)
        raise_descriptor_limit()
        with lock_state_dir(settings.state_dir), listen(settings.host, settings.port) as listener:
            mirror = Mirror.open(settings.state_dir / "coredinator.db")
            config = uvicorn.Config(
                create_app(settings, mirror),
                loop="asyncio", http=BoundedProtocol, ws="none", backlog=_BATCH, timeout_graceful_shutdown=_GRACE,
                log_config=None, access_log=False, server_header=False, lifespan="on",
            )  # fmt: skip
            Server(config).run([listener])
    except (PathUnavailable, StoreError) as error:
        die("coredinator", str(error), os.EX_TEMPFAIL)
    except SettingsError as error:
        die("coredinator", str(error), os.EX_CONFIG)
    except CoredinatorError as error:
        die("coredinator", str(error), os.EX_UNAVAILABLE)
    except KeyboardInterrupt:
        sys.exit(130)


def _check(arguments: Sequence[str] | None, configs: Sequence[str]) -> None:
    """Say all that is wrong, a line each, and end with a code that tells."""
    try:
        findings: Sequence[str] = findings_of(parse_settings(arguments), configs)
    except SettingsError as error:
        findings = error.findings
    if findings:
        die("coredinator", "\ncoredinator: ".join(findings), os.EX_CONFIG)
    print("coredinator: nothing is wrong")  # noqa: T201  # what the user of the command reads


def create_reloaded_app() -> FastAPI:
    """The application for uvicorn's reloader, which starts it anew in a child process each time."""
    settings = parse_settings(json.loads(os.environ[_ARGUMENTS]))
    set_up_logging(settings.logging)
    lock = lock_state_dir(settings.state_dir)
    app = create_app(settings, Mirror.open(settings.state_dir / "coredinator.db"))
    app.state.lock = lock
    return app


def _serve_reloading(settings: Settings, arguments: Sequence[str]) -> None:
    os.environ[_ARGUMENTS] = json.dumps(list(arguments))
    config = uvicorn.Config(
        "coredinator.app:create_reloaded_app", factory=True, reload=True,
        reload_dirs=[str(Path(__file__).parent)], host=settings.host, port=settings.port,
    )  # fmt: skip
    ChangeReload(config, Server(config).run, [config.bind_socket()]).run()


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen at once, so that of two managers the second fails here."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=_QUEUE)
    except OSError as error:
        raise CoredinatorError(
            f"cannot serve on {host} port {port}: {error.strerror}; end what uses it, or give another --host or --port"
        ) from error
    # asyncio sets it only on sockets made for TCP by number; without it an answer waits 40 ms for the
    # client to acknowledge its headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _tell_systemd(message: str) -> None:
    """sd_notify(3); a service manager that has gone in the meantime is no reason to stumble."""
    with contextlib.suppress(OSError):
        daemon.notify(message)


async def _feed_watchdog() -> None:
    """Ping systemd's watchdog at half its interval (sd_watchdog_enabled(3)); nothing without one."""
    interval = int(os.environ.get("WATCHDOG_USEC", "0")) / 2_000_000
    while interval:
        _tell_systemd("WATCHDOG=1")
        await asyncio.sleep(interval)


if __name__ == "__main__":
    main()
