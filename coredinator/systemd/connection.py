"""The message bus connection, renewed when it is lost.

pydbus 0.6 gives synchronous calls without a time limit, a shared connection that ends the process
when the bus does, and no reconnection. This class takes private connections from pydbus and offers
calls to asyncio with a time limit each, in the thread of a GLibEventLoop.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pydbus
from gi.repository import Gio, GLib

from coredinator.systemd.errors import SystemdUnavailable, from_glib
from coredinator.systemd.glib_loop import GLibEventLoop
from coredinator.utils.fleeting_threads import FleetingThreads

_RECONNECT_FIRST = 0.1
_RECONNECT_MAX = 2.0
_CALL_MARGIN = 1.0
"""Seconds after which a call is given up even if GLib's own time limit does not fire."""

_OPENERS = 2
_openers = FleetingThreads("bus", _OPENERS)
"""pydbus connects synchronously; a bus that accepts and says nothing holds up one of these."""

_EVERY_ONE: list[Gio.DBusConnection] = []
"""No connection is ever freed. GDBus's own thread takes references to those in use while it holds a lock
of GLib's, and PyGObject has it wait for Python's lock then; whoever frees a connection holds Python's
lock and waits for GLib's. Both would wait for good, seen with GLib 2.74. A bus is seldom lost."""


@dataclass(frozen=True, slots=True)
class Match:
    """Signals to receive; `handler(path, parameters)` runs in the event loop."""

    sender: str
    interface: str
    member: str
    handler: Callable[[str, GLib.Variant], None]
    arg0: str | None = None


class BusConnection:
    """A self-renewing bus connection for the running loop, which must be a GLibEventLoop.

    `on_up()` and `on_down(reason)` are called strictly before the results and signals of the new
    connection and after those of the old one.
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
        if not isinstance(self._loop, GLibEventLoop):
            raise TypeError(f"a {type(self._loop).__name__} does not serve GLib; run in a GLibEventLoop")
        self._connection: Gio.DBusConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._down_reason = "not connected yet"

    def start(self) -> None:
        """Begin to connect, and again whenever the connection is lost."""
        self._connecting = self._loop.create_task(self._connect())

    async def close(self) -> None:
        """Close the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._connection is not None:
            self._drop(self._connection)

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
                if not reply.done():
                    reply.set_exception(from_glib(error, subject))
            else:
                if not reply.done():
                    reply.set_result(value)

        connection.call(
            destination, path, interface, member, arguments, None,
            Gio.DBusCallFlags.NO_AUTO_START, int(timeout * 1000), None, finish,
        )  # fmt: skip
        try:
            async with asyncio.timeout(timeout + _CALL_MARGIN):
                return await reply
        except TimeoutError:
            raise SystemdUnavailable(f"{subject}: no answer from the bus within {timeout:g} s") from None

    async def _connect(self, pause: float = 0) -> None:
        delay = _RECONNECT_FIRST
        await asyncio.sleep(pause)
        while self._connection is None:
            try:
                connection = await asyncio.wrap_future(_openers.submit(_open, self._bus))
            except (GLib.Error, RuntimeError) as error:  # RuntimeError: the system grants no thread
                reason = error.message if isinstance(error, GLib.Error) else str(error)
                self._lost(f"cannot connect to the message bus: {reason}")
                await asyncio.sleep(delay)
                delay = min(delay * 2, _RECONNECT_MAX)
                continue
            connection.connect("closed", self._closed)
            for match in self._matches:
                self._subscribe(connection, match)
            if not connection.is_closed():  # nobody was there yet to be told
                self._connection = connection
        self._on_up()

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
            self._drop(connection)
            self._lost(f"the message bus closed the connection{f': {error.message}' if error else ''}")
            self._connecting = self._loop.create_task(self._connect(_RECONNECT_FIRST))

    def _drop(self, connection: Gio.DBusConnection) -> None:
        self._connection = None
        with contextlib.suppress(GLib.Error):
            connection.get_stream().close(None)

    def _lost(self, reason: str) -> None:
        self._down_reason = reason
        self._on_down(reason)


def _open(bus: Gio.BusType) -> Gio.DBusConnection:
    address = Gio.dbus_address_get_for_bus_sync(bus, None)
    connection: Gio.DBusConnection = pydbus.connect(address).con
    _EVERY_ONE.append(connection)
    connection.set_exit_on_close(False)
    return connection
