"""What a service uses: read from its cgroup, without a call to systemd (cgroup-v2 in the kernel's documentation)."""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from coredinator.service.state import Observation

CGROUPS = Path("/sys/fs/cgroup")
PROCESSES = Path("/proc")
_FILES = ("memory.current", "memory.peak", "cpu.stat", "pids.current", "io.stat")
_NOTHING: Mapping[str, str] = {}
_READ_AT_MOST = 65_536
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Memory and IO in bytes, CPU time in seconds, `tasks` are processes and threads.

    `unavailable` names what the kernel does not tell of a service that runs: None, or in the case of memory
    and CPU time those of the main process alone.
    """

    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    cpu_seconds: float | None = None
    tasks: int | None = None
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None
    unavailable: tuple[str, ...] = ()


_FIGURES = tuple(item.name for item in fields(Usage) if item.name != "unavailable")


def usage_of(observed: Observation, cgroups: Path = CGROUPS, processes: Path = PROCESSES) -> Usage:
    """Usage of all processes of a unit.

    Where the host has no such controller, memory and CPU time are those of the main process.
    """
    if observed.main_pid is None:
        return Usage()
    texts = _NOTHING
    if _is_unified(cgroups):
        group = (observed.control_group or _group_of(observed.main_pid, processes)).strip("/")
        # Without a cgroup, the files would be those of the whole host.
        texts = _read_all(f"{cgroups}/{group}") if group else _NOTHING
    memory, peak = _number(texts.get("memory.current")), _number(texts.get("memory.peak"))
    cpu = _number(_field(texts.get("cpu.stat"), "usage_usec"))
    seconds = cpu / 1_000_000 if cpu is not None else None
    tasks, io = _number(texts.get("pids.current")), _io(texts.get("io.stat"))
    figures = zip(_FIGURES, (memory, peak, seconds, tasks, *io), strict=True)
    unavailable = tuple([name for name, figure in figures if figure is None])
    if memory is None or seconds is None:
        memory_of_process, seconds_of_process = _usage_of_process(observed.main_pid, processes)
        memory = memory_of_process if memory is None else memory
        seconds = seconds_of_process if seconds is None else seconds
    return Usage(memory, peak, seconds, tasks, *io, unavailable)


@functools.cache
def _is_unified(cgroups: Path) -> bool:
    """Whether the host has cgroup v2 alone; with v1 the files are other ones, in other folders."""
    return (cgroups / "cgroup.controllers").exists()


def _read_all(folder: str) -> Mapping[str, str]:
    """The files of a cgroup that are there, by name."""
    try:
        directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return _NOTHING
    try:
        return {name: text for name in _FILES if (text := _read(name, directory)) is not None}
    finally:
        os.close(directory)


def _read(path: str, directory: int | None = None) -> str | None:
    """A file of the kernel's, None if it is not there; plain calls, for a status reads many of them."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return None
    try:
        return os.read(descriptor, _READ_AT_MOST).decode(errors="replace")
    except OSError:
        return None  # the unit ended in this moment
    finally:
        os.close(descriptor)


def _number(text: str | None) -> int | None:
    text = text.strip() if text else ""
    return int(text) if text.isdecimal() else None


def _field(text: str | None, name: str) -> str | None:
    if text is None:
        return None
    pairs = (line.partition(" ") for line in text.splitlines())
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


def _group_of(pid: int, processes: Path) -> str:
    """The cgroup of a process (cgroups(7)), for a unit that was started just now and is not read yet."""
    return (_read(f"{processes}/{pid}/cgroup") or "").partition("0::")[2].partition("\n")[0]


def _usage_of_process(pid: int, processes: Path) -> tuple[int | None, float | None]:
    """Memory and CPU time of a process (proc_pid_stat(5)).

    psutil tells the same in four times the time: it looks up when the process began, and reads
    another file for its memory.
    """
    text = _read(f"{processes}/{pid}/stat")
    if text is None:
        return None, None
    # Fields count from 1. The second, the program's name in parentheses, may hold anything, even parentheses.
    third_on = text.rpartition(")")[2].split()
    user, system, resident = (int(third_on[field - 3]) for field in (14, 15, 24))
    return resident * _PAGE_SIZE, (user + system) / _TICKS_PER_SECOND
