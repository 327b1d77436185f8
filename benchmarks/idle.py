"""What the manager costs while nothing happens."""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.figure import FULL, Comparison, Figure, Goal, Round, Sample, Samples, Scale, Subject
from benchmarks.manager import Manager, names_of
from benchmarks.processes import cpu_seconds, memory_bytes, thread_count

_MB = 1_000_000
_LOOKS = 15
_FORMER = 3
"""Agents that were stopped and forgotten: they must leave nothing to do behind."""

CPU = Figure(
    "idle-cpu", f"idle with {FULL.fleet} agents: CPU of one core", "%", Goal(0.5), comparison=Comparison.ITSELF
)
MEMORY = Figure("idle-memory", f"idle with {FULL.fleet} agents: RSS", "MB", Goal(100), comparison=Comparison.ITSELF)
THREADS = Figure("idle-threads", f"idle with {FULL.fleet} agents: threads", "", Goal(6), comparison=Comparison.ITSELF)


@contextmanager
def idle(folder: Path, scale: Scale) -> Generator[Round]:
    """The manager has started the agents itself, and forgotten others; nobody asks it anything."""
    former = names_of(_FORMER, "former")
    with Manager(folder) as manager:
        manager.launch()
        manager.start_agents([*former, *names_of(scale.fleet)], clients=scale.clients)
        manager.forget_agents(former, clients=scale.clients)
        manager.settle()

        def measure(_number: int) -> Samples:
            return {
                CPU.key: Sample(100 * idle_cores(manager.pid, scale.idle_time)),
                MEMORY.key: Sample(memory_bytes(manager.pid) / _MB),
                THREADS.key: Sample(median(thread_counts(manager.pid, scale.idle_time / 2))),
            }

        yield measure


def idle_cores(pid: int, seconds: float) -> float:
    """The share of one core that a process uses in the next seconds."""
    before, started = cpu_seconds(pid), time.perf_counter()
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / (time.perf_counter() - started)


def thread_counts(pid: int, seconds: float) -> Iterator[int]:
    """How many threads a process has, at a few moments: some live only while there is work."""
    for _ in range(_LOOKS):
        time.sleep(seconds / _LOOKS)
        yield thread_count(pid)


SUBJECTS = (Subject("idle", (CPU, MEMORY, THREADS), idle, most_rounds=2),)
