"""One thread that owns the message bus connection and renews it when it is lost.

pydbus 0.6 gives synchronous calls without a time limit, a shared connection that ends the process
when the bus does, and no reconnection. This class takes a private connection from pydbus, runs its
GLib main context in a thread of its own, and offers calls to asyncio with a time limit each.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pydbus
from gi.repository import Gio, GLib

from coredinator.systemd.errors import SystemdUnavailable, from_glib

_log = logging.getLogger(__name__)

_RECONNECT_FIRST = 0.1
_RECONNECT_MAX = 2.0
_END_TIMEOUT = 2.0
_CALL_MARGIN = 1.0
"""Seconds after which a call is given up even if GLib's own time limit does not fire."""

_RETIRED: list[Gio.DBusConnection] = []
"""Connections that were lost, never freed. GDBus's own thread takes references to those in use while it
holds a lock of GLib's, and PyGObject has it wait for Python's lock then; whoever frees a connection holds
Python's lock and waits for GLib's. Both would wait for good, seen with GLib 2.74. A bus is seldom lost."""


@dataclass(frozen=True, slots=True)
class Match:
    """Signals to receive; `handler(path, parameters)` runs in the connection's thread."""

    sender: str
    interface: str
    member: str
    handler: Callable[[str, GLib.Variant], None]
    arg0: str | None = None


class BusConnection:
    """A self-renewing bus connection for one asyncio loop.

    `on_up()` and `on_down(reason)` are called in the loop, strictly before the results and signals
    of the new connection and after those of the old one.
    """

    def __init__(
        self,
        bus: Gio.BusType,
        matches: Sequence[Match],
        *,
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
    ) -> None:
        self._bus = bus
        self._matches = matches
        self._on_up = on_up
        self._on_down = on_down
        self._loop = asyncio.get_running_loop()
        self._context = GLib.MainContext.new()
        self._main = GLib.MainLoop.new(self._context, is_running=False)
        self._connection: Gio.DBusConnection | None = None
        self._down_reason = "not connected yet"
        self._retry_delay = _RECONNECT_FIRST
        self._thread = threading.Thread(target=self._run, name="systemd-bus", daemon=True)

    def start(self) -> None:
        """Start the thread; it connects by itself."""
        self._thread.start()

    async def close(self) -> None:
        """End the thread and close the connection.

        A thread that is held by a bus which accepts it and says nothing ends with the process.
        """
        self._in_thread(self._main.quit)
        await asyncio.to_thread(self._thread.join, _END_TIMEOUT)

    async def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        arguments: GLib.Variant | None,
        *,
        subject: str,
        timeout: float,  # noqa: ASYNC109  # the peer gets it too
    ) -> GLib.Variant:
        """Call a method; `subject` names the unit in errors, `timeout` is in seconds.

        Raises SystemdError or one of its kinds.
        """
        connection = self._connection
        if connection is None:
            raise SystemdUnavailable(f"{subject}: {self._down_reason}")
        reply: asyncio.Future[GLib.Variant] = self._loop.create_future()

        def finish(_source: object, result: Gio.AsyncResult) -> None:
            try:
                value = connection.call_finish(result)
            except GLib.Error as error:
                self.to_loop(_fail, reply, from_glib(error, subject))
            else:
                self.to_loop(_resolve, reply, value)

        def send() -> None:
            connection.call(
                destination, path, interface, member, arguments, None,
                Gio.DBusCallFlags.NO_AUTO_START, int(timeout * 1000), None, finish,
            )  # fmt: skip

        self._in_thread(send)
        try:
            async with asyncio.timeout(timeout + _CALL_MARGIN):
                return await reply
        except TimeoutError:
            raise SystemdUnavailable(f"{subject}: no answer from the bus within {timeout:g} s") from None

    def to_loop[*Ts](self, function: Callable[[*Ts], object], *args: *Ts) -> None:
        """Run `function` in the asyncio loop, in the order of the calls; nothing once it is closed."""
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            _log.debug("the event loop has ended; dropped a bus message")

    def _in_thread(self, function: Callable[[], object]) -> None:
        def once(*_: object) -> bool:
            function()
            return GLib.SOURCE_REMOVE

        source = GLib.idle_source_new()
        source.set_priority(GLib.PRIORITY_DEFAULT)
        source.set_callback(once)  # pyright: ignore[reportUnknownMemberType]  # as the stubs have it
        source.attach(self._context)

    def _run(self) -> None:
        self._context.push_thread_default()
        self._connect()
        self._main.run()  # pyright: ignore[reportUnknownMemberType]  # as the stubs have it
        if (connection := self._connection) is not None:
            self._retire(connection)
        self._context.pop_thread_default()

    def _connect(self) -> None:
        try:
            address = Gio.dbus_address_get_for_bus_sync(self._bus, None)
            connection: Gio.DBusConnection = pydbus.connect(address).con
        except GLib.Error as error:
            self._lost(f"cannot connect to the message bus: {error.message}")
            return
        connection.set_exit_on_close(False)
        connection.connect("closed", self._closed)
        for match in self._matches:
            self._subscribe(connection, match)
        self._retry_delay = _RECONNECT_FIRST
        self._connection = connection
        self.to_loop(self._on_up)

    def _subscribe(self, connection: Gio.DBusConnection, match: Match) -> None:
        def received(
            _connection: object,
            _sender: str,
            path: str,
            _interface: str,
            _member: str,
            parameters: GLib.Variant,
        ) -> None:
            match.handler(path, parameters)

        connection.signal_subscribe(
            match.sender, match.interface, match.member, None, match.arg0,
            Gio.DBusSignalFlags.NONE, received,
        )  # fmt: skip

    def _closed(self, connection: Gio.DBusConnection, _vanished: object, error: GLib.Error | None) -> None:
        if connection is self._connection:
            self._retire(connection)
            self._lost(f"the message bus closed the connection{f': {error.message}' if error else ''}")

    def _retire(self, connection: Gio.DBusConnection) -> None:
        self._connection = None
        _RETIRED.append(connection)
        with contextlib.suppress(GLib.Error):
            connection.get_stream().close(None)

    def _lost(self, reason: str) -> None:
        self._down_reason = reason
        self.to_loop(self._on_down, reason)
        source = GLib.timeout_source_new(int(self._retry_delay * 1000))
        source.set_callback(self._retry)  # pyright: ignore[reportUnknownMemberType]  # as the stubs have it
        source.attach(self._context)
        self._retry_delay = min(self._retry_delay * 2, _RECONNECT_MAX)

    def _retry(self, *_: object) -> bool:
        self._connect()
        return GLib.SOURCE_REMOVE


def _resolve(reply: asyncio.Future[GLib.Variant], value: GLib.Variant) -> None:
    if not reply.done():
        reply.set_result(value)


def _fail(reply: asyncio.Future[GLib.Variant], error: Exception) -> None:
    if not reply.done():
        reply.set_exception(error)
