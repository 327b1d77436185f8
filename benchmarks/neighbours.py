"""What other processes use of the machine, so that a disturbed round does not count.

The totals of /proc/stat are made of timer ticks, which miss whatever sleeps again before the next
tick. The times of each process (proc_pid_stat(5)) come from the scheduler's clock; those of children
that have ended are in their parent's. The benchmark itself lives in a PID namespace, where it cannot
see its neighbours: a thread outside of it looks for them (`serve`) and answers through a socket.
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Client, Listener
from pathlib import Path

SOCKET = "COREDINATOR_BENCH_NEIGHBOURS"
"""The environment variable that names the socket."""

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_KERNEL_THREADS = 2
"""The parent of all kernel threads; they work for everybody."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds of a process, and those of its children that have ended and were waited for."""

    parent: int
    own: float
    children: float = 0.0


type Snapshot = Mapping[int, Usage]
"""Processes by PID."""


def parse_stat(stat: str) -> Usage:
    """Read a line of /proc/PID/stat; the name in brackets may hold anything."""
    fields = stat.rpartition(")")[2].split()
    user, system, children_user, children_system = (int(value) * _TICK for value in fields[11:15])
    return Usage(int(fields[1]), user + system, children_user + children_system)


def snapshot(proc: Path = Path("/proc")) -> Snapshot:
    """All processes, less kernel threads."""
    found: dict[int, Usage] = {}
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            try:
                usage = parse_stat((folder / "stat").read_text())
            except OSError:
                continue  # it has just ended
            if usage.parent != _KERNEL_THREADS:
                found[int(folder.name)] = usage
    return found


def without_tree(processes: Snapshot, root: int) -> Snapshot:
    """The processes that do not descend from `root`, nor are it."""
    return {pid: usage for pid, usage in processes.items() if root not in _lineage(processes, pid)}


def used_between(before: Snapshot, after: Snapshot) -> float:
    """CPU seconds that the processes used between two snapshots, those included that ended meanwhile.

    What a process that ended had used before is in its parent's times of children now; it is taken off
    again. Where nobody waited for it, what it used last is not known to anyone.
    """
    known: defaultdict[int, float] = defaultdict(float)
    for pid, usage in before.items():
        if pid not in after:
            heir = next((parent for parent in _lineage(before, usage.parent) if parent in after), None)
            if heir is not None:
                known[heir] += usage.own + usage.children
    total = 0.0
    for pid, usage in after.items():
        past = before.get(pid, Usage(usage.parent, 0.0))
        total += max(0.0, usage.own - past.own) + max(0.0, usage.children - past.children - known[pid])
    return total


def _lineage(processes: Snapshot, pid: int) -> Iterator[int]:
    """The process, its parent, and so on."""
    while (usage := processes.get(pid)) is not None:
        yield pid
        pid = usage.parent


@dataclass(slots=True)
class Watch:
    """How much of the machine others used while it lasted: 1 is all cores. None before the end."""

    share: float | None = None


class Gate:
    """Tells whether others left the machine alone. `look` gives a snapshot of them."""

    def __init__(self, look: Callable[[], Snapshot], allowed: float) -> None:
        self._look = look
        self.allowed = allowed

    @contextmanager
    def watch(self) -> Generator[Watch]:
        """Watch the others as long as the block lasts."""
        watch = Watch()
        before, started = self._look(), time.monotonic()
        yield watch
        after, ended = self._look(), time.monotonic()
        watch.share = used_between(before, after) / ((ended - started) * (os.cpu_count() or 1))

    def passes(self, watch: Watch) -> bool:
        """Whether a round counts."""
        return watch.share is not None and watch.share <= self.allowed


@contextmanager
def serve(path: Path) -> Generator[None]:
    """Show whoever asks at the socket what processes there are beside this one's tree."""
    listener = Listener(str(path))

    def answer() -> None:
        with listener.accept() as connection:
            try:
                while connection.recv():
                    connection.send(without_tree(snapshot(), os.getpid()))
            except EOFError:
                return

    threading.Thread(target=answer, daemon=True).start()
    try:
        yield
    finally:
        listener.close()


def ask(path: str) -> Callable[[], Snapshot]:
    """A `look` for the gate that asks at the socket."""
    connection = Client(path)

    def look() -> Snapshot:
        connection.send(True)  # noqa: FBT003  # any true value is a question
        return connection.recv()

    return look
