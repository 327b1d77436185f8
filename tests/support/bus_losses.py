"""Lose the message bus again and again: `python -m tests.support.bus_losses 300`, in a process that can hang.

A deadlock between Python's lock and GLib's stops all threads of a process, and with them any timeout in it.
"""

import asyncio
import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from gi.repository import Gio

from coredinator.systemd import GLibEventLoop
from coredinator.systemd.connection import BusConnection, Match
from tests.support.host import wait_for

_BUS = "org.freedesktop.DBus"
CALLS = 50


def start_bus(path: Path) -> subprocess.Popen[bytes]:
    command = ["dbus-daemon", "--session", f"--address=unix:path={path}", "--nofork", "--nopidfile"]
    daemon = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_for(path.exists, what="bus")
    return daemon


async def lose(path: Path, times: int) -> None:
    up, down = asyncio.Event(), asyncio.Event()
    match = Match(_BUS, _BUS, "NameOwnerChanged", lambda _path, _parameters: None)
    daemon = start_bus(path)
    bus = BusConnection(Gio.BusType.SESSION, [match], on_up=up.set, on_down=lambda _reason: down.set())
    bus.start()
    for number in range(times):
        await up.wait()
        up.clear()
        down.clear()
        calls = [
            asyncio.create_task(bus.call(_BUS, "/", _BUS, "ListNames", None, subject="names", timeout=5))
            for _ in range(CALLS)
        ]
        # What is left of the former connection is freed while the next one is busy.
        await asyncio.sleep(number % 4 / 4000)
        gc.collect()
        daemon.kill()
        daemon.wait()
        path.unlink()
        await down.wait()
        await asyncio.gather(*calls, return_exceptions=True)
        daemon = start_bus(path)
    await up.wait()
    await bus.close()
    daemon.kill()
    daemon.wait()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bus"
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={path}"
        with asyncio.Runner(loop_factory=GLibEventLoop) as runner:
            runner.run(lose(path, int(sys.argv[1])))
        print(f"lost {sys.argv[1]} times")  # noqa: T201  # a program that says what it did


if __name__ == "__main__":
    main()
