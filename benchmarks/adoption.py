"""The manager's start when many agents run already."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figure import FULL, Comparison, Figure, Goal, Round, Sample, Samples, Scale, Subject, alternately
from benchmarks.manager import Manager, names_of

ADOPTION = Figure(
    "adoption", f"manager start to READY with {FULL.fleet} running agents to adopt", "s", Goal(1.0),
    limit="its start with none", comparison=Comparison.DIFFERENCE,
)  # fmt: skip


@contextmanager
def adoption(folder: Path, scale: Scale) -> Generator[Round]:
    """With a database that knows the agents, and an empty one where there are none."""
    names = names_of(scale.fleet)
    with Manager(folder) as manager:

        def many() -> float:
            manager.launch()
            manager.start_agents(names, clients=scale.clients)
            manager.end()
            seconds = manager.launch()
            manager.reset()
            return seconds

        def none() -> float:
            manager.launch()
            manager.end()
            seconds = manager.launch()
            manager.reset()
            return seconds

        def measure(number: int) -> Samples:
            seconds, limit = alternately(number, many, none)
            return {ADOPTION.key: Sample(seconds, limit, {"agents": scale.fleet})}

        yield measure


SUBJECTS = (Subject("adoption", (ADOPTION,), adoption, most_rounds=3),)
