"""Stopping many agents at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bare import BareSystemd, unit_call
from benchmarks.bed import clean_up
from benchmarks.figure import Figure, Goal, Round, Sample, Samples, Scale, Subject, alternately
from benchmarks.manager import Manager, names_of

MANY = Figure(
    "stop-many", "many agents stopped by concurrent clients", "s", Goal(1.5),
    limit="bare `StopUnit` of the same units, as many under way as there are clients",
)  # fmt: skip


@contextmanager
def concurrently(folder: Path, scale: Scale) -> Iterator[Round]:
    """CoreRL of each agent is stopped; CoreIO goes on, here as there."""
    names = names_of(scale.bundles)
    with Manager(folder) as manager:

        def ours() -> float:
            manager.launch()
            manager.start_agents(names, clients=scale.clients)
            seconds = manager.stop_agents(names, clients=scale.clients)
            manager.reset()
            return seconds

        def bare() -> float:
            agents = [manager.agent(name) for name in names]
            with BareSystemd() as systemd:
                systemd.run_jobs([systemd.start(record) for agent in agents for record in agent], at_once=scale.clients)
                stops = [unit_call("StopUnit", corerl.unit) for _, corerl in agents]
                seconds = systemd.run_jobs(stops, at_once=scale.clients)
                clean_up()
            return seconds

        def measure(number: int) -> Samples:
            seconds, limit = alternately(number, ours, bare)
            return {MANY.key: Sample(seconds, limit, {"agents": scale.bundles})}

        yield measure


SUBJECTS = (Subject("stop-many", (MANY,), concurrently),)
