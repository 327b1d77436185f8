"""What a service uses: read from its cgroup, without a call to systemd (cgroup-v2 in the kernel's documentation)."""

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path

import psutil

from coredinator.service.state import Observation

CGROUPS = Path("/sys/fs/cgroup")
_READ_AT_MOST = 65_536


@dataclass(frozen=True, slots=True)
class Usage:
    """Memory and IO in bytes, CPU time in seconds, `tasks` are processes and threads.

    What the kernel does not tell is None; `unavailable` names it where a service runs.
    """

    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    cpu_seconds: float | None = None
    tasks: int | None = None
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None
    unavailable: tuple[str, ...] = ()


_FIGURES = tuple(item.name for item in fields(Usage) if item.name != "unavailable")


def usage_of(observed: Observation, cgroups: Path = CGROUPS) -> Usage:
    """Usage of all processes of a unit.

    Where the host has no such controller, memory and CPU time are those of the main process.
    """
    if observed.main_pid is None:
        return Usage()
    # Without a cgroup known yet, the paths would be those of the whole host.
    folder = f"{cgroups}/{observed.control_group.strip('/')}" if observed.control_group else "/nonexistent"
    memory = _number(_read(f"{folder}/memory.current"))
    cpu = _number(_field(_read(f"{folder}/cpu.stat"), "usage_usec"))
    seconds = cpu / 1_000_000 if cpu is not None else None
    if memory is None or seconds is None:
        memory_of_process, seconds_of_process = _usage_of_process(observed.main_pid)
        memory = memory_of_process if memory is None else memory
        seconds = seconds_of_process if seconds is None else seconds
    peak = _number(_read(f"{folder}/memory.peak"))
    tasks = _number(_read(f"{folder}/pids.current"))
    usage = Usage(memory, peak, seconds, tasks, *_io(_read(f"{folder}/io.stat")))
    return replace(usage, unavailable=tuple(name for name in _FIGURES if getattr(usage, name) is None))


def _read(path: str) -> str | None:
    """A file of the kernel's, None if it is not there; plain calls, for a status reads many of them."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, _READ_AT_MOST).decode()
    except OSError:
        return None  # the unit ended in this moment
    finally:
        os.close(descriptor)


def _number(text: str | None) -> int | None:
    text = text.strip() if text else ""
    return int(text) if text.isdecimal() else None


def _field(text: str | None, name: str) -> str | None:
    pairs = (line.partition(" ") for line in (text or "").splitlines())
    return next((value for key, _, value in pairs if key == name), None)


def _io(text: str | None) -> tuple[int | None, int | None]:
    """Bytes read and written, on all devices; a service without any IO has an empty file."""
    if text is None:
        return None, None
    totals = {"rbytes": 0, "wbytes": 0}
    for item in text.split():
        name, _, value = item.partition("=")
        if name in totals and value.isdecimal():
            totals[name] += int(value)
    return totals["rbytes"], totals["wbytes"]


def _usage_of_process(pid: int) -> tuple[int | None, float | None]:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return process.memory_info().rss, times.user + times.system
    except psutil.Error:
        return None, None
