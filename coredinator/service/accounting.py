"""What a service uses: read from its cgroup, without a call to systemd."""

from dataclasses import dataclass
from pathlib import Path

import psutil

from coredinator.service.state import Observation

_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Usage:
    """Memory in bytes and CPU time in seconds, None where the kernel does not tell."""

    memory_bytes: int | None = None
    cpu_seconds: float | None = None


def usage_of(observed: Observation) -> Usage:
    """Usage of all processes of a unit; on a host without cgroup v2 that of its main process."""
    if observed.main_pid is None:
        return Usage()
    folder = _CGROUPS / observed.control_group.lstrip("/")
    try:
        memory = int((folder / "memory.current").read_text())
        usec = (folder / "cpu.stat").read_text().split(maxsplit=2)[1]
        return Usage(memory, int(usec) / 1_000_000)
    except (OSError, ValueError, IndexError):
        return _usage_of_process(observed.main_pid)


def _usage_of_process(pid: int) -> Usage:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return Usage(process.memory_info().rss, times.user + times.system)
    except psutil.Error:
        return Usage()
