"""The event loop serves asyncio and GLib, and sleeps while neither has anything to do."""

import asyncio
import socket
import threading
import time
from collections.abc import Coroutine

import pytest
from gi.repository import Gio, GLib

from coredinator.systemd import GLibEventLoop
from coredinator.systemd.connection import BusConnection


def run[T](work: Coroutine[None, None, T]) -> T:
    with asyncio.Runner(loop_factory=GLibEventLoop) as runner:
        return runner.run(work)


def test_glib_calls_back_in_the_loop_s_thread() -> None:
    async def work() -> threading.Thread:
        found: asyncio.Future[threading.Thread] = asyncio.get_running_loop().create_future()
        GLib.timeout_add(10, lambda: found.set_result(threading.current_thread()))
        return await found

    assert run(work()) is threading.current_thread()


def test_glib_is_served_while_the_loop_is_busy() -> None:
    async def work() -> None:
        said: list[int] = []
        GLib.idle_add(lambda: said.append(1))
        async with asyncio.timeout(10):
            while not said:
                await asyncio.sleep(0)

    run(work())


def test_timers_threads_and_sockets_wake_it() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            before = loop.time()
            await asyncio.sleep(0.02)
            assert loop.time() - before >= 0.02
            assert await asyncio.to_thread(lambda: 7) == 7
            here, there = socket.socketpair()
            with here, there:
                here.settimeout(0)
                threading.Timer(0.02, there.send, [b"x"]).start()
                assert await loop.sock_recv(here, 1) == b"x"

    run(work())


def test_it_sleeps_while_there_is_nothing_to_do() -> None:
    async def work() -> float:
        before = time.process_time()
        await asyncio.sleep(0.5)
        return time.process_time() - before

    assert run(work()) < 0.25


def test_a_loop_that_is_closed_leaves_nothing_in_glib() -> None:
    async def nothing() -> None:
        pass

    run(nothing())
    assert not GLib.MainContext.default().pending()
    run(nothing())


def test_a_bus_connection_refuses_another_loop() -> None:
    async def work() -> None:
        with pytest.raises(TypeError, match="GLibEventLoop"):
            BusConnection(Gio.BusType.SESSION, [], on_up=lambda: None, on_down=lambda _: None)

    asyncio.run(work())
