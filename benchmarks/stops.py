"""Stopping many agents at a time."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.bare import BareSystemd, unit_call
from benchmarks.bed import clean_up
from benchmarks.figure import FULL, Figure, Goal, Round, Sample, Samples, Scale, Subject, alternately
from benchmarks.manager import REST, SERVER, Manager, names_of
from benchmarks.processes import cpu_seconds

MANY = Figure(
    "stop-many", f"{FULL.bundles} agents stopped by {FULL.clients} clients", "s", Goal(1.5),
    limit="bare `StopUnit` of the same units, as many under way as there are clients",
)  # fmt: skip


@contextmanager
def concurrently(folder: Path, scale: Scale, *, figure: Figure = MANY, server: str = SERVER) -> Generator[Round]:
    """CoreRL of each agent is stopped, once its start is over and done with; CoreIO goes on, here as there."""
    names = names_of(scale.bundles)
    with Manager(folder, server) as manager:

        def ours() -> tuple[float, float]:
            seconds: list[float] = []
            cpu: list[float] = []
            manager.launch()
            for _ in range(scale.stop_turns):
                manager.start_agents(names, clients=scale.clients)
                manager.settle()
                before = cpu_seconds(manager.pid)
                seconds.append(manager.stop_agents(names, clients=scale.clients))
                cpu.append(cpu_seconds(manager.pid) - before)
            manager.reset()
            return median(seconds), median(cpu)

        def bare() -> float:
            agents = [manager.agent(name) for name in names]
            stops = [unit_call("StopUnit", corerl.unit) for _, corerl in agents]
            seconds: list[float] = []
            with BareSystemd() as systemd:
                starts = [systemd.start(record) for agent in agents for record in agent]
                for _ in range(scale.stop_turns):
                    systemd.run_jobs(starts, at_once=scale.clients)
                    time.sleep(REST)
                    seconds.append(systemd.run_jobs(stops, at_once=scale.clients))
                    starts = [unit_call("StartUnit", corerl.unit) for _, corerl in agents]
                clean_up()
            return median(seconds)

        def measure(number: int) -> Samples:
            (seconds, cpu), limit = alternately(number, ours, bare)
            notes = {"agents": scale.bundles, "manager's CPU ms an agent": cpu * 1000 / scale.bundles}
            return {figure.key: Sample(seconds, limit, notes)}

        yield measure


SUBJECTS = (Subject("stop-many", (MANY,), concurrently),)
