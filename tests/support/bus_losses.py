"""Lose the message bus again and again: `python -m tests.support.bus_losses 300`, in a process that can hang."""

import asyncio
import gc
import subprocess
import sys
import tempfile
from pathlib import Path

from coredinator.systemd.connection import BusConnection
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
    daemon = start_bus(path)
    bus = BusConnection(
        f"unix:path={path}", _BUS, [],
        on_up=up.set, on_down=lambda _reason: down.set(), on_owner=lambda _there: None,
    )  # fmt: skip
    bus.start()
    for number in range(times):
        await up.wait()
        up.clear()
        down.clear()
        calls = [
            asyncio.create_task(bus.call("/", _BUS, "ListNames", "", [], subject="names", timeout=5))
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
        asyncio.run(lose(Path(folder) / "bus", int(sys.argv[1])))
        print(f"lost {sys.argv[1]} times")  # noqa: T201  # a program that says what it did


if __name__ == "__main__":
    main()
