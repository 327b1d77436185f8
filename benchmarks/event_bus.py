"""The event bus beside a bare `zmq.proxy`: rate without loss, CPU of a message, latency."""

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import override

from benchmarks.bed import free_ports
from benchmarks.bus_load import Clients, Order, clients
from benchmarks.figure import FULL, Figure, Goal, Round, Sample, Samples, Scale, Subject, alternately
from benchmarks.http_client import HOST
from benchmarks.processes import cpu_seconds
from benchmarks.staircase import Staircase

_LIMIT = "`zmq.proxy` alone in a process of its own"
_AS_FAST, _AS_CHEAP = Goal(0.95, at_most=False), Goal(round(1 / 0.95, 2))
_LATENCY_RATE = 1000
_LIKELY, _BYTES_A_SECOND = 100_000, 400_000_000
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """Size of the messages in bytes, and the number of publishers and of subscribers."""

    size: int
    peers: int

    @property
    def likely(self) -> float:
        """About the highest rate. The search begins there; the CPU of a message is measured well below."""
        return min(_LIKELY, _BYTES_A_SECOND / self.size) / self.peers

    @property
    def rate(self) -> Figure:
        """The highest rate without loss."""
        return self._figure("rate", "rate without loss", "1/s", _AS_FAST)

    @property
    def cpu(self) -> Figure:
        """CPU time of the proxy for a message that is sent."""
        return self._figure("cpu", "CPU of a message", "µs", _AS_CHEAP)

    @property
    def latency(self) -> Figure:
        """Time from a publisher to a subscriber."""
        return self._figure("latency", "latency at 1,000/s", "µs", _AS_CHEAP)

    def _figure(self, name: str, title: str, unit: str, goal: Goal) -> Figure:
        size = f"{self.size // 1024} KiB" if self.size >= 1024 else f"{self.size} B"  # noqa: PLR2004
        case = f"event bus {self.peers}→{self.peers}, {size}"
        return Figure(f"bus-{name}-{self.size}-{self.peers}", f"{case}: {title}", unit, goal, _LIMIT)


class Side(ABC):
    """One of the two proxies, its clients, and what they have found."""

    def __init__(self, pid: int, peers: Clients, case: Case) -> None:
        self._pid = pid
        self._peers = peers
        self._case = case

    @staticmethod
    @abstractmethod
    def turns(scale: Scale) -> tuple[int, float]:
        """How many turns a round has, and the seconds of a trial."""

    @abstractmethod
    def turn(self, seconds: float) -> None:
        """One trial of each kind."""

    @property
    @abstractmethod
    def found(self) -> dict[Figure, float]:
        """What came of the trials."""

    @property
    def notes(self) -> dict[str, float]:
        """What else is to be known of them."""
        return {}


class Search(Side):
    """The search for the highest rate without loss."""

    def __init__(self, pid: int, peers: Clients, case: Case) -> None:
        super().__init__(pid, peers, case)
        self._search = Staircase(case.likely)
        self._publisher_cores: list[float] = []
        self._subscriber_cores: list[float] = []

    @staticmethod
    @override
    def turns(scale: Scale) -> tuple[int, float]:
        return scale.bus_searches, scale.bus_search

    @override
    def turn(self, seconds: float) -> None:
        trial = self._peers.run(Order(self._case.size, self._search.asked, seconds))
        self._search.note(trial.sent.count / trial.sent.seconds, lost=bool(trial.lost))
        self._publisher_cores.append(trial.sent.cpu_seconds / trial.sent.seconds)
        self._subscriber_cores.append(trial.received.cpu_seconds / trial.sent.seconds)

    @property
    @override
    def found(self) -> dict[Figure, float]:
        return {self._case.rate: self._search.rate}

    @property
    @override
    def notes(self) -> dict[str, float]:
        """What the clients used of a core each, about the highest rate."""
        return {
            "publisher's cores": median(self._publisher_cores),
            "subscriber's cores": median(self._subscriber_cores),
        }


class Costs(Side):
    """CPU time of a message at an even rate, and its latency at a low one."""

    def __init__(self, pid: int, peers: Clients, case: Case) -> None:
        super().__init__(pid, peers, case)
        self._cpu: list[float] = []
        self._latencies: list[float] = []

    @staticmethod
    @override
    def turns(scale: Scale) -> tuple[int, float]:
        return scale.bus_trials, scale.bus_trial

    @override
    def turn(self, seconds: float) -> None:
        before = cpu_seconds(self._pid)
        sent = self._peers.run(Order(self._case.size, self._case.likely / 8, seconds)).sent
        self._cpu.append((cpu_seconds(self._pid) - before) / sent.count)
        slow = self._peers.run(Order(self._case.size, _LATENCY_RATE, seconds, stamped=True))
        self._latencies.append(median(slow.received.latencies))

    @property
    @override
    def found(self) -> dict[Figure, float]:
        return {
            self._case.cpu: median(self._cpu) * _MILLION,
            self._case.latency: median(self._latencies) * _MILLION,
        }


def cases(scale: Scale) -> list[Case]:
    """All sizes with all numbers of peers."""
    return [Case(size, peers) for peers, size in product(scale.bus_peers, scale.bus_sizes)]


@contextmanager
def bus(kind: type[Side], _folder: Path, scale: Scale) -> Generator[Round]:
    """Both proxies run throughout; only one has something to do at a time."""
    ports = free_ports(4)
    ours = ["coredinator.event_bus", "--host", HOST, "--pub-port", str(ports[0]), "--sub-port", str(ports[1])]
    limit = ["benchmarks.plain_proxy", str(ports[2]), str(ports[3])]
    turns, seconds = kind.turns(scale)
    with running(ours) as our_pid, running(limit) as limit_pid:

        def measure(number: int) -> Samples:
            samples: dict[str, Sample] = {}
            for case in cases(scale):
                with clients(*ports[:2], case.peers) as ours_peers, clients(*ports[2:], case.peers) as limit_peers:
                    mine, beside = kind(our_pid, ours_peers, case), kind(limit_pid, limit_peers, case)
                    for turn in range(turns):
                        alternately(number + turn, partial(mine.turn, seconds), partial(beside.turn, seconds))
                for figure, value in mine.found.items():
                    samples[figure.key] = Sample(value, beside.found[figure], mine.notes)
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


SUBJECTS = (
    Subject("bus-rate", tuple(case.rate for case in cases(FULL)), partial(bus, Search), most_rounds=3),
    Subject(
        "bus-costs",
        tuple(figure for case in cases(FULL) for figure in (case.cpu, case.latency)),
        partial(bus, Costs),
        most_rounds=3,
    ),
)
