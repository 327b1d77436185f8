"""Lose the message bus again and again: `python -m tests.support.bus_losses 300`, in a process that can hang.

It logs what asyncio and the D-Bus library have to complain of, and says what it did.
"""

import asyncio
import gc
import logging
import socket
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
    wait_for(lambda: _accepts(path), what="bus")
    return daemon


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


async def lose(path: Path, times: int) -> int:
    """How many more descriptors are open behind the last loss than behind the first one."""
    up, down = asyncio.Event(), asyncio.Event()
    descriptors: list[int] = []
    daemon = start_bus(path)
    bus = BusConnection(
        f"unix:path={path}", _BUS, [],
        on_up=up.set, on_down=lambda _reason: down.set(), on_owner=lambda _there: None,
    )  # fmt: skip
    bus.start()
    for number in range(times):
        await up.wait()
        descriptors.append(len(list(Path("/proc/self/fd").iterdir())))
        up.clear()
        down.clear()
        calls = [
            asyncio.create_task(bus.call("/", _BUS, "ListNames", "", [], subject="names", timeout=5))
            for _ in range(CALLS)
        ]
        await asyncio.sleep(number % 4 / 4000)
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
    return descriptors[-1] - descriptors[0]


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    gc.disable()  # what only the collector would free is still there to be counted
    with tempfile.TemporaryDirectory() as folder:
        more = asyncio.run(lose(Path(folder) / "bus", int(sys.argv[1])))
    gc.collect()  # with what asyncio says of errors that nobody asked for
    print(f"lost {sys.argv[1]} times; {more} descriptors more")  # noqa: T201  # a program that says what it did


if __name__ == "__main__":
    main()
