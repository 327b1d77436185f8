"""The event bus beside a bare `zmq.proxy`: rate without loss, CPU of a message, latency."""

import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

from benchmarks.bed import free_ports
from benchmarks.bus_load import Clients, Order, clients
from benchmarks.figure import FULL, Figure, Goal, Round, Sample, Samples, Scale, Subject, alternately
from benchmarks.http_client import HOST
from benchmarks.processes import cpu_seconds
from benchmarks.staircase import Staircase

_LIMIT = "`zmq.proxy` alone in a process of its own"
_AS_GOOD = 0.95
_LATENCY_RATE = 1000
_LIKELY, _BYTES_A_SECOND = 100_000, 400_000_000
"""About where the highest rate lies: the search begins there. The CPU of a message is measured well below."""
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """Size of the messages in bytes, and the number of publishers and of subscribers."""

    size: int
    peers: int

    @property
    def figures(self) -> tuple[Figure, Figure, Figure]:
        """Rate, CPU and latency."""
        key = f"{self.size}-{self.peers}"
        size = f"{self.size // 1024} KiB" if self.size >= 1024 else f"{self.size} B"  # noqa: PLR2004
        case = f"event bus {self.peers}→{self.peers}, {size}"
        cost = Goal(round(1 / _AS_GOOD, 2))
        return (
            Figure(f"bus-rate-{key}", f"{case}: rate without loss", "1/s", Goal(_AS_GOOD, at_most=False), _LIMIT),
            Figure(f"bus-cpu-{key}", f"{case}: CPU of a message", "µs", cost, _LIMIT),
            Figure(f"bus-latency-{key}", f"{case}: latency at 1,000/s", "µs", cost, _LIMIT),
        )


class Side:
    """One of the two proxies, its clients, and what they have found."""

    def __init__(self, pid: int, peers: Clients, size: int, likely: float) -> None:
        self._pid = pid
        self._peers = peers
        self._size = size
        self._steady = likely / 8
        self._search = Staircase(likely)
        self._costs: list[float] = []
        self._latencies: list[float] = []
        self._publisher_cores: list[float] = []
        self._subscriber_cores: list[float] = []

    def search(self, seconds: float) -> None:
        """One trial about the highest rate."""
        trial = self._peers.run(Order(self._size, self._search.asked, seconds))
        self._search.note(trial.sent.count / trial.sent.seconds, lost=bool(trial.lost))
        self._publisher_cores.append(trial.sent.cpu_seconds / trial.sent.seconds)
        self._subscriber_cores.append(trial.received.cpu_seconds / trial.sent.seconds)

    def turn(self, seconds: float) -> None:
        """One trial each for the CPU of a message and for the latency."""
        before = cpu_seconds(self._pid)
        sent = self._peers.run(Order(self._size, self._steady, seconds)).sent
        self._costs.append((cpu_seconds(self._pid) - before) / sent.count)
        slow = self._peers.run(Order(self._size, _LATENCY_RATE, seconds, stamped=True))
        self._latencies.append(median(slow.received.latencies))

    @property
    def rate(self) -> float:
        """Messages in a second."""
        return self._search.rate

    @property
    def cpu_usec(self) -> float:
        """CPU time of the proxy for a message that is sent."""
        return median(self._costs) * _MILLION

    @property
    def latency_usec(self) -> float:
        """Time from a publisher to a subscriber."""
        return median(self._latencies) * _MILLION

    @property
    def notes(self) -> dict[str, float]:
        """What the clients used of a core each, about the highest rate."""
        return {
            "publisher's cores": median(self._publisher_cores),
            "subscriber's cores": median(self._subscriber_cores),
        }


def cases(scale: Scale) -> list[Case]:
    """All sizes with all numbers of peers."""
    return [Case(size, peers) for peers, size in product(scale.bus_peers, scale.bus_sizes)]


@contextmanager
def bus(_folder: Path, scale: Scale) -> Generator[Round]:
    """Both proxies run throughout; only one has something to do at a time."""
    ports = free_ports(4)
    trial = scale.bus_trial
    ours = ["coredinator.event_bus", "--host", HOST, "--pub-port", str(ports[0]), "--sub-port", str(ports[1])]
    limit = ["benchmarks.plain_proxy", str(ports[2]), str(ports[3])]
    with running(ours) as our_pid, running(limit) as limit_pid:

        def measure(number: int) -> Samples:
            samples: dict[str, Sample] = {}
            for case in cases(scale):
                likely = min(_LIKELY, _BYTES_A_SECOND / case.size) / case.peers
                with clients(*ports[:2], case.peers) as ours_peers, clients(*ports[2:], case.peers) as limit_peers:
                    mine = Side(our_pid, ours_peers, case.size, likely)
                    beside = Side(limit_pid, limit_peers, case.size, likely)
                    for turn in range(scale.bus_searches):
                        alternately(number + turn, partial(mine.search, trial), partial(beside.search, trial))
                    for turn in range(scale.bus_turns):
                        alternately(number + turn, partial(mine.turn, trial), partial(beside.turn, trial))
                rate, cpu, latency = case.figures
                samples[rate.key] = Sample(mine.rate, beside.rate, mine.notes)
                samples[cpu.key] = Sample(mine.cpu_usec, beside.cpu_usec)
                samples[latency.key] = Sample(mine.latency_usec, beside.latency_usec)
            return samples

        yield measure


@contextmanager
def running(module: Sequence[str]) -> Generator[int]:
    """A proxy's process, with the watchdog that its unit sets; its PID."""
    environment = os.environ | {"WATCHDOG_USEC": "20000000"}
    with subprocess.Popen([sys.executable, "-m", *module], env=environment) as process:  # noqa: S603  # our own command
        try:
            yield process.pid
        finally:
            process.terminate()


SUBJECTS = (Subject("bus", tuple(figure for case in cases(FULL) for figure in case.figures), bus, most_rounds=3),)
