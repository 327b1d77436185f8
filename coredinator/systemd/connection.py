"""The message bus connection, renewed when it is lost."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast, override

from dbus_fast import Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus

from coredinator.systemd.errors import SystemdUnavailable, from_reply

_BUS = "org.freedesktop.DBus"
_BUS_PATH = "/org/freedesktop/DBus"
_CONNECT_WITHIN = 10.0
_RECONNECT_FIRST = 0.1
_RECONNECT_MAX = 2.0


@dataclass(frozen=True, slots=True)
class Match:
    """Signals to receive; `handler(path, body)` runs in the event loop. `arg0` is what the body begins with."""

    interface: str
    member: str
    handler: Callable[[str, list[Any]], None]
    arg0: str | None = None


def _rule(sender: str, interface: str, member: str, arg0: str | None) -> str:
    """The rule by which the bus picks signals (D-Bus specification, "Match Rules")."""
    first = "" if arg0 is None else f",arg0='{arg0}'"
    return f"type='signal',sender='{sender}',interface='{interface}',member='{member}'{first}"


class _Bus(MessageBus):
    """The library's connection, for a bus that may end it at any moment, and again and again."""

    @override
    async def _auth_readline(self) -> str:
        """The next line. At the end, as of a bus with too many clients, the library (2.44) would read on for good."""
        line = b""
        while not line.endswith(b"\r\n"):
            received = await asyncio.get_running_loop().sock_recv(cast("socket.socket", self._sock), 1024)
            if not received:
                raise ConnectionError("it ended the connection at once")
            line += received
        return line.removesuffix(b"\r\n").decode()

    def close(self) -> None:
        """Close the connection and its descriptor, which the library leaves to the garbage collector."""
        self.disconnect()
        self._finalize(None)
        if self._stream is not None:
            with contextlib.suppress(OSError):  # what could not be sent
                self._stream.close()


class BusConnection:
    """A self-renewing connection of the running loop to the bus at `address`, for talking to `peer` on it.

    `on_up()` and `on_down(reason)` are called strictly before the results and signals of the new
    connection and after the signals of the old one, `on_owner(there)` when the peer comes or goes.
    """

    def __init__(
        self,
        address: str,
        peer: str,
        matches: Sequence[Match],
        *,
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        on_owner: Callable[[bool], None],
    ) -> None:
        self._address = address
        self._peer = peer
        self._matches = matches
        self._on_up = on_up
        self._on_down = on_down
        self._on_owner = on_owner
        self._bus: MessageBus | None = None
        self._task: asyncio.Task[None] | None = None
        self._replies: dict[int, asyncio.Future[Message]] = {}
        # The peer's unique name, "" while nobody has its well-known one.
        self._owner: str | None = None
        self._down_reason = "not connected yet"

    def start(self) -> None:
        """Begin to connect, and again whenever the connection is lost."""
        self._task = asyncio.get_running_loop().create_task(self._keep_connected())

    async def close(self) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str,
        body: list[Any],
        *,
        subject: str,
        timeout: float,  # noqa: ASYNC109  # its error names the subject
    ) -> list[Any]:
        """Call a method of the peer; `subject` names the unit in errors, `timeout` is in seconds.

        Raises SystemdError or one of its kinds.
        """
        bus = self._bus
        if bus is None:
            raise SystemdUnavailable(f"{subject}: {self._down_reason}")
        try:
            async with asyncio.timeout(timeout):
                reply = await self._ask(bus, self._peer, path, interface, member, signature, body)
        except TimeoutError:
            raise SystemdUnavailable(f"{subject}: no answer from the bus within {timeout:g} s") from None
        except OSError as error:
            raise SystemdUnavailable(f"{subject}: {error}") from error
        if reply.message_type is MessageType.ERROR:
            raise from_reply(reply.error_name, reply.body, subject)
        return reply.body

    async def _ask(
        self, bus: MessageBus, destination: str, path: str, interface: str, member: str, signature: str, body: list[Any]
    ) -> Message:
        """Send a message and wait for its answer. Raises OSError if the connection ends before."""
        message = Message(
            destination, path, interface, member,
            flags=MessageFlag.NO_AUTOSTART, signature=signature, body=body, serial=bus.next_serial(),
        )  # fmt: skip
        reply = self._replies[message.serial] = asyncio.get_running_loop().create_future()
        try:
            await bus.send(message)  # pyright: ignore[reportUnknownMemberType]  # a future of nothing
            return await reply
        finally:
            del self._replies[message.serial]

    async def _keep_connected(self) -> None:
        delay = _RECONNECT_FIRST
        while True:
            bus: _Bus | None = None
            try:
                async with asyncio.timeout(_CONNECT_WITHIN):
                    bus = _Bus(self._address)
                    await bus.connect()
                    ended = asyncio.ensure_future(self._follow(bus))
                    await self._subscribe(bus)
                delay = _RECONNECT_FIRST
                self._bus = bus
                self._on_up()
                reason = await ended
            except TimeoutError:
                reason = f"cannot connect to the message bus: it did not answer within {_CONNECT_WITHIN:g} s"
            except Exception as error:  # noqa: BLE001  # "Exception, if there was a connection error", says the library
                reason = f"cannot connect to the message bus: {str(error) or type(error).__name__}"
            finally:
                self._bus = self._owner = None
                if bus is not None:
                    bus.close()
            self._down_reason = reason
            self._on_down(reason)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _RECONNECT_MAX)

    async def _subscribe(self, bus: MessageBus) -> None:
        bus.add_message_handler(self._received)
        rules = [_rule(self._peer, match.interface, match.member, match.arg0) for match in self._matches]
        for rule in (_rule(_BUS, _BUS, "NameOwnerChanged", self._peer), *rules):
            await self._ask(bus, _BUS, _BUS_PATH, _BUS, "AddMatch", "s", [rule])
        reply = await self._ask(bus, _BUS, _BUS_PATH, _BUS, "GetNameOwner", "s", [self._peer])
        if self._owner is None:  # else a signal has told more than the answer
            self._owner = "" if reply.message_type is MessageType.ERROR else reply.body[0]

    async def _follow(self, bus: MessageBus) -> str:
        """Wait for the end of a connection, and have those know who wait for answers; why it ended."""
        try:
            await bus.wait_for_disconnect()
            reason = "the message bus closed the connection"
        except Exception as error:  # noqa: BLE001  # as above
            reason = f"the message bus closed the connection: {str(error) or type(error).__name__}"
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(ConnectionError(reason))
        return reason

    def _received(self, message: Message) -> bool:
        """Take in a message; True if nobody else need look at it."""
        match message.message_type:
            case MessageType.SIGNAL:
                self._signalled(message)
            case MessageType.METHOD_CALL:
                return False
            case _:
                reply = self._replies.get(message.reply_serial)
                if reply is not None and not reply.done():
                    reply.set_result(message)
        return True

    def _signalled(self, message: Message) -> None:
        """Anybody on the bus may send a signal just to us, whatever is in it; the bus vouches for the sender."""
        body = message.body
        if message.sender == _BUS and message.member == "NameOwnerChanged":
            self._owner = body[2]
            if self._bus is not None:
                self._on_owner(bool(self._owner))
        elif self._bus is not None and message.sender == self._owner:
            for match in self._matches:
                if (
                    match.member == message.member
                    and match.interface == message.interface
                    and (match.arg0 is None or match.arg0 == body[0])
                ):
                    match.handler(cast("str", message.path), body)
