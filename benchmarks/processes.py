"""What a process uses, by the scheduler's clock."""

from contextlib import suppress
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """CPU time of all living threads of a process, exact to nanoseconds where `stat` has 10 ms."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # it has just ended
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def memory_bytes(pid: int) -> int:
    """Resident memory."""
    return int(_status(pid, "VmRSS").split()[0]) * 1024


def thread_count(pid: int) -> int:
    """Number of threads."""
    return int(_status(pid, "Threads"))


def _status(pid: int, name: str) -> str:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    raise ValueError(f"/proc/{pid}/status has no {name}")
