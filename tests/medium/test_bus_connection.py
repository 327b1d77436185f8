"""The connection to a real message bus, and to what only looks like one."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from coredinator.systemd import SystemdError, SystemdUnavailable
from coredinator.systemd import connection as module
from coredinator.systemd.connection import BusConnection, Match
from tests.support.bus_losses import start_bus

BUS = "org.freedesktop.DBus"
PEER = "org.example.Peer"
PATH = "/org/example/peer"
WITHIN = 10.0


class Told:
    """A connection, and what it has told."""

    def __init__(self, address: str) -> None:
        self.said: asyncio.Queue[object] = asyncio.Queue()
        self.up: asyncio.Queue[str | None] = asyncio.Queue()
        self.peer_is_there: asyncio.Queue[bool] = asyncio.Queue()
        self.connection = BusConnection(
            address, PEER, [Match(PEER, "Said", lambda _path, body: self.said.put_nowait(body[0]))],
            on_up=lambda: self.up.put_nowait(None),
            on_down=self.up.put_nowait,
            on_owner=self.peer_is_there.put_nowait,
        )  # fmt: skip

    async def call(self, member: str, *, timeout: float = WITHIN) -> list[Any]:
        return await self.connection.call(PATH, PEER, member, "", [], subject="a unit", timeout=timeout)


@contextlib.asynccontextmanager
async def connected_to(address: str) -> AsyncIterator[Told]:
    told = Told(address)
    told.connection.start()
    try:
        yield told
    finally:
        await told.connection.close()


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    daemon = start_bus(tmp_path / "bus")
    yield f"unix:path={tmp_path / 'bus'}"
    daemon.kill()
    daemon.wait()


async def client(address: str) -> MessageBus:
    return await MessageBus(address).connect()


async def peer(address: str) -> MessageBus:
    bus = await client(address)
    await bus.request_name(PEER)
    return bus


async def names(bus: MessageBus) -> set[str]:
    reply = await bus.call(Message(destination=BUS, path="/", interface=BUS, member="ListNames"))
    assert reply is not None
    return set(reply.body[0])


async def say(bus: MessageBus, text: str, to: str | None = None) -> None:
    """Send a signal, to all that want it or to one that may not, and return when the bus has it."""
    await bus.send(
        Message(
            destination=to, path=PATH, interface=PEER, member="Said",
            message_type=MessageType.SIGNAL, signature="s", body=[text],
        )
    )  # fmt: skip
    await names(bus)


async def test_only_the_peer_is_heard_whoever_else_speaks(address: str) -> None:
    own, stranger = await peer(address), await client(address)
    before = await names(stranger)
    async with asyncio.timeout(WITHIN), connected_to(address) as told:
        assert await told.up.get() is None
        (ours,) = await names(stranger) - before
        await say(stranger, "to all")
        await say(stranger, "to you", to=ours)
        await say(own, "the truth")
        assert await told.said.get() == "the truth"
        assert told.said.empty()


async def test_the_peer_goes_and_another_one_comes(address: str) -> None:
    first = await peer(address)
    async with asyncio.timeout(WITHIN), connected_to(address) as told:
        assert await told.up.get() is None
        first.disconnect()
        assert await told.peer_is_there.get() is False
        with pytest.raises(SystemdUnavailable, match="a unit: "):
            await told.call("Anything")
        second = await peer(address)
        assert await told.peer_is_there.get() is True
        await say(second, "here I am")
        assert await told.said.get() == "here I am"


async def test_errors_have_the_words_of_the_peer(address: str) -> None:
    async with asyncio.timeout(WITHIN), connected_to(address) as told:
        own = await peer(address)
        own.add_message_handler(
            lambda message: Message.new_error(message, "org.example.No", "not today") if message.path == PATH else None
        )
        assert await told.up.get() is None
        with pytest.raises(SystemdError, match="a unit: not today"):
            await told.call("Anything")


async def test_a_peer_that_does_not_answer_is_waited_for_as_long_as_said(address: str) -> None:
    async with asyncio.timeout(WITHIN), connected_to(address) as told:
        own = await peer(address)
        own.add_message_handler(lambda message: message.path == PATH)
        assert await told.up.get() is None
        with pytest.raises(SystemdUnavailable, match=r"no answer from the bus within 0\.1 s"):
            await told.call("Anything", timeout=0.1)


async def test_calls_end_with_the_connection(tmp_path: Path) -> None:
    path = tmp_path / "bus"
    daemon = start_bus(path)
    address = f"unix:path={path}"
    async with asyncio.timeout(WITHIN), connected_to(address) as told:
        own = await peer(address)
        own.add_message_handler(lambda message: message.path == PATH)
        assert await told.up.get() is None
        calls = [asyncio.create_task(told.call("Anything")) for _ in range(3)]
        await asyncio.sleep(0)
        daemon.kill()
        daemon.wait()
        for call in calls:
            with pytest.raises(SystemdUnavailable, match="a unit: "):
                await call
        assert await told.up.get() is not None
        path.unlink()
        daemon = start_bus(path)
        while await told.up.get() is not None:
            pass
    daemon.kill()
    daemon.wait()


async def test_a_bus_that_ends_the_connection_at_once_holds_up_nothing(tmp_path: Path) -> None:
    """As one does that has too many clients. It is tried again, and others are served meanwhile."""
    tries: asyncio.Queue[None] = asyncio.Queue()

    def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tries.put_nowait(None)
        writer.close()

    path = tmp_path / "bus"
    server = await asyncio.start_unix_server(refuse, path)
    async with server, asyncio.timeout(WITHIN), connected_to(f"unix:path={path}") as told:
        for _ in range(3):
            await tries.get()
        reason = await told.up.get()
        assert reason is not None
        assert reason.startswith("cannot connect to the message bus: ")


async def test_a_bus_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CONNECT_WITHIN", 0.1)
    path = tmp_path / "bus"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        async with asyncio.timeout(WITHIN), connected_to(f"unix:path={path}") as told:
            assert await told.up.get() == "cannot connect to the message bus: it did not answer within 0.1 s"


@pytest.mark.parametrize("address", ["unix:path=/no/such/bus", "nonsense", "telepathy:to=you"])
async def test_an_address_that_leads_nowhere_is_tried_again_and_named(address: str) -> None:
    async with asyncio.timeout(WITHIN), connected_to(address) as told:
        for _ in range(2):
            reason = await told.up.get()
            assert reason is not None
            assert reason.startswith("cannot connect to the message bus: ")
