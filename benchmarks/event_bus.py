"""The event bus beside a bare `zmq.proxy`: rate without loss, CPU of a message, latency."""

import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from math import inf, sqrt
from pathlib import Path
from statistics import median

from benchmarks.bed import free_ports
from benchmarks.bus_load import Clients, Order, Trial, clients
from benchmarks.figure import FULL, Figure, Goal, Round, Sample, Samples, Scale, Subject, alternately
from benchmarks.http_client import HOST
from benchmarks.processes import cpu_seconds

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


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for one case of one proxy."""

    rate: float
    cpu_usec: float
    latency_usec: float
    publisher_cores: float
    subscriber_cores: float


def cases(scale: Scale) -> list[Case]:
    """All sizes with all numbers of peers."""
    return [Case(size, peers) for peers, size in product(scale.bus_peers, scale.bus_sizes)]


@contextmanager
def bus(_folder: Path, scale: Scale) -> Generator[Round]:
    """Both proxies run throughout; only one has something to do at a time."""
    ports = free_ports(4)
    ours = ["coredinator.event_bus", "--host", HOST, "--pub-port", str(ports[0]), "--sub-port", str(ports[1])]
    limit = ["benchmarks.plain_proxy", str(ports[2]), str(ports[3])]
    with running(ours) as our_pid, running(limit) as limit_pid:

        def measure(number: int) -> Samples:
            samples: dict[str, Sample] = {}
            for case in cases(scale):
                found, beside = alternately(
                    number,
                    lambda case=case: examine(case, our_pid, ports[:2], scale),
                    lambda case=case: examine(case, limit_pid, ports[2:], scale),
                )
                rate, cpu, latency = case.figures
                notes = {"publisher's cores": found.publisher_cores, "subscriber's cores": found.subscriber_cores}
                samples[rate.key] = Sample(found.rate, beside.rate, notes)
                samples[cpu.key] = Sample(found.cpu_usec, beside.cpu_usec)
                samples[latency.key] = Sample(found.latency_usec, beside.latency_usec)
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


def examine(case: Case, pid: int, ports: Sequence[int], scale: Scale) -> Found:
    """All that is to be known of one case."""
    likely = min(_LIKELY, _BYTES_A_SECOND / case.size)
    steady = likely / 8 / case.peers
    with clients(ports[0], ports[1], case.peers) as peers:
        rate, best = highest_rate(peers, case.size, likely, scale)
        before = cpu_seconds(pid)
        trial = peers.run(Order(case.size, steady, scale.bus_trial))
        cpu = (cpu_seconds(pid) - before) / trial.sent.count
        slow = peers.run(Order(case.size, _LATENCY_RATE, scale.bus_trial, stamped=True))
    return Found(
        rate=rate,
        cpu_usec=cpu * _MILLION,
        latency_usec=median(slow.received.latencies) * _MILLION,
        publisher_cores=best.sent.cpu_seconds / best.sent.seconds,
        subscriber_cores=best.received.cpu_seconds / best.sent.seconds,
    )


def highest_rate(peers: Clients, size: int, start: float, scale: Scale) -> tuple[float, Trial]:
    """The highest rate at which nothing is lost: doubled or halved until it lies between two, then bisected.

    The answer is the rate that the publishers really reached, and the trial in which they did.
    """
    best: tuple[float, Trial] | None = None
    asked, lossless, lossy = start, 0.0, inf
    trials = 0
    while trials < scale.bus_steps or best is None:
        trials += 1
        order = Order(size, asked, scale.bus_trial)
        trial = peers.run(order)
        if trial.lost:
            trial = peers.run(order)  # once can be the scheduler's whim
        if trial.lost:
            lossy = asked
        else:
            lossless = asked
            reached = trial.sent.count / trial.sent.seconds
            best = max(best or (0.0, trial), (reached, trial), key=lambda item: item[0])
        asked = next_rate(lossless, lossy)
    return best


def next_rate(lossless: float, lossy: float) -> float:
    """Between a rate that loses nothing, 0 if there is none yet, and one that does, infinite if there is none."""
    if lossless and lossy < inf:
        return sqrt(lossless * lossy)
    return lossless * 2 if lossless else lossy / 2


SUBJECTS = (Subject("bus", tuple(figure for case in cases(FULL) for figure in case.figures), bus, most_rounds=3),)
