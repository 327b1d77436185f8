"""What a figure is: its words, what it is compared with, and its goal."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Comparison(StrEnum):
    """What of a round is held against the goal."""

    RATIO = "ratio"
    """Ours divided by the limit."""
    DIFFERENCE = "difference"
    """Ours less the limit."""
    ITSELF = "itself"
    """Ours; there is no limit beside it."""


@dataclass(frozen=True, slots=True)
class Goal:
    """The value that is good enough: a bound from above, or one from below."""

    value: float
    at_most: bool = True

    def met_by(self, value: float) -> bool:
        """Whether `value` is good enough."""
        return value <= self.value if self.at_most else value >= self.value

    def spent_by(self, value: float) -> float:
        """The part of what is allowed that `value` uses up: 1 is just good enough, less is better."""
        return value / self.value if self.at_most else self.value / value


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table. `unit` is that of ours and of the limit; `limit` says what the limit is."""

    key: str
    title: str
    unit: str
    goal: Goal
    limit: str = ""
    comparison: Comparison = Comparison.RATIO


@dataclass(frozen=True, slots=True)
class Sample:
    """What one round says of one figure; `notes` are further values worth knowing, by name."""

    ours: float
    limit: float | None = None
    notes: Mapping[str, float] = field(default_factory=dict[str, float])

    def compared(self, comparison: Comparison) -> float:
        """The value that is held against the goal."""
        if comparison is Comparison.ITSELF or self.limit is None:
            return self.ours
        return self.ours - self.limit if comparison is Comparison.DIFFERENCE else self.ours / self.limit


type Samples = Mapping[str, Sample]
"""The samples of one round by the keys of their figures."""

type Round = Callable[[int], Samples]
"""Measures once; the number of the round decides whether ours or the limit comes first."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything; times in seconds."""

    starts: int = 15
    """Agents started one after the other in a round."""
    clients: int = 16
    bundles: int = 200
    """Agents started, or stopped, by concurrent clients."""
    stop_turns: int = 3
    """So often all of them are started and stopped in a round: one stop of all takes a third of a second only."""
    fleet: int = 500
    """Agents that run while something else is measured."""
    listed: int = 1000
    load_time: float = 1.0
    load_turns: int = 4
    """So often ours and the limit are loaded in a round: a machine that is slow for seconds is so for both."""
    lag_time: float = 5.0
    crashes: int = 3
    idle_time: float = 30.0
    bus_search: float = 0.2
    bus_searches: int = 150
    """Trials at each proxy in a round that search for its highest rate; sixteen find `zmq.proxy` a tenth off itself."""
    bus_trial: float = 0.1
    bus_trials: int = 48
    """Trials at each proxy in a round for the CPU of a message, and as many for the latency."""
    bus_sizes: tuple[int, ...] = (64, 1024, 65536)
    bus_peers: tuple[int, ...] = (1, 4)
    growth: tuple[int, ...] = (10, 100, 1000)
    """Numbers of units; an agent has two."""
    growth_time: float = 1.0
    growth_idle_time: float = 10.0
    """The manager looks after its units every 10 s: a shorter time may see that or not."""


FULL = Scale()
"""What `make bench` measures; the titles of the figures name its numbers."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Figures that are measured together. `prepare(folder, scale)` opens what their rounds need.

    `most_rounds` bounds those whose rounds are long.
    """

    name: str
    figures: tuple[Figure, ...]
    prepare: Callable[[Path, Scale], AbstractContextManager[Round]]
    most_rounds: int = 100


def alternately[T, U](number: int, ours: Callable[[], T], limit: Callable[[], U]) -> tuple[T, U]:
    """Measure both; in every other round the limit comes first, so that neither profits from its place."""
    if number % 2 == 0:
        return ours(), limit()
    beside = limit()
    return ours(), beside
