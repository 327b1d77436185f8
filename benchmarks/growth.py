"""How costs grow with the number of units."""

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from math import log
from pathlib import Path
from statistics import median

from benchmarks.figure import FULL, Comparison, Figure, Goal, Round, Sample, Samples, Scale, Subject
from benchmarks.http_client import get, load
from benchmarks.idle import idle_cores
from benchmarks.manager import Manager, names_of
from benchmarks.starts import time_starts

_EXTRA = 5
_ASKED = 5
"""Agents whose status is asked for, whatever the number of others: what they use is read once a second for each."""
_FLAT, _LINEAR = Goal(0.1), Goal(1.0)

_GOALS = {"start": _LINEAR, "status": _FLAT, "list": _LINEAR, "adoption": _LINEAR, "idle": _LINEAR}
FIGURES = tuple(
    Figure(
        f"growth-{name}",
        f"growth of {name} from {FULL.growth[0]} to {FULL.growth[-1]:,} units: steepest exponent",
        "",
        goal,
        comparison=Comparison.ITSELF,
    )
    for name, goal in _GOALS.items()
)


@contextmanager
def growth(folder: Path, scale: Scale) -> Generator[Round]:
    """From few units to many, each time with a new manager."""
    with Manager(folder) as manager:

        def measure(_number: int) -> Samples:
            costs = {units: costs_at(manager, units, scale) for units in scale.growth}
            return {
                f"growth-{name}": Sample(
                    steepest({units: cost[name] for units, cost in costs.items()}),
                    notes={f"ms at {units}": cost[name] * 1000 for units, cost in costs.items()},
                )
                for name in _GOALS
            }

        yield measure


def costs_at(manager: Manager, units: int, scale: Scale) -> Mapping[str, float]:
    """Seconds of each kind of work with so many units; of the idle manager its CPU seconds in a second."""
    names = names_of(units // 2)
    manager.launch()
    manager.start_agents(names, clients=scale.clients)
    costs = {"start": median(asyncio.run(time_starts(manager, names_of(_EXTRA, "extra"))))}
    manager.settle()
    costs |= {
        "status": _request_time(manager, [f"/api/agents/{name}/status" for name in names[:_ASKED]], scale),
        "list": _request_time(manager, ["/api/agents/"], scale),
        "idle": idle_cores(manager.pid, scale.growth_idle_time),
    }
    manager.end()
    costs["adoption"] = manager.launch()
    manager.reset()
    return costs


def _request_time(manager: Manager, paths: Sequence[str], scale: Scale) -> float:
    requests = [get(path) for path in paths]
    load(manager.port, requests, connections=scale.clients, seconds=scale.growth_time)  # warms up
    done = load(manager.port, requests, connections=scale.clients, seconds=scale.growth_time)
    return done.seconds / done.requests


def steepest(costs: Mapping[int, float]) -> float:
    """The largest exponent between neighbouring sizes: 0 is flat, 1 is linear."""
    points = sorted(costs.items())
    return max(log(high / low) / log(more / fewer) for (fewer, low), (more, high) in pairwise(points))


SUBJECTS = (Subject("growth", FIGURES, growth, most_rounds=2),)
