"""Starting agents: one after the other, and many at a time."""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.bare import BareSystemd
from benchmarks.bed import clean_up
from benchmarks.figure import FULL, Figure, Goal, Round, Sample, Samples, Scale, Subject, alternately
from benchmarks.http_client import Connection
from benchmarks.manager import SERVER, Manager, names_of, state_of
from benchmarks.processes import cpu_seconds

_WARM_UP = 3

ONE = Figure(
    "start", "one start: POST to `running` in a status answer", "ms", Goal(2.0),
    limit="bare `StartTransientUnit` of the two units, one after the other",
)  # fmt: skip
MANY = Figure(
    "start-many", f"{FULL.bundles} agents ({2 * FULL.bundles} units) started by {FULL.clients} clients", "s", Goal(1.3),
    limit="bare `StartTransientUnit` of the same units, as many under way as there are clients",
)  # fmt: skip


@contextmanager
def one_by_one(folder: Path, scale: Scale, *, figure: Figure = ONE, server: str = SERVER) -> Generator[Round]:
    """Each start is timed; the manager is warm, and is not there while the limit is measured."""
    names = names_of(scale.starts)
    with Manager(folder, server) as manager:

        def ours() -> float:
            manager.launch()
            manager.start_agents(names_of(_WARM_UP, "warm"), clients=1)
            seconds = median(asyncio.run(time_starts(manager, names)))
            manager.reset()
            return seconds

        def bare() -> float:
            with BareSystemd() as systemd:
                warm_up = [
                    systemd.start(record) for name in names_of(_WARM_UP, "warm") for record in manager.agent(name)
                ]
                systemd.run_jobs(warm_up)
                pairs = [[systemd.start(record) for record in manager.agent(name)] for name in names]
                seconds = median(systemd.run_jobs(pair) for pair in pairs)
                clean_up()
            return seconds

        def measure(number: int) -> Samples:
            seconds, limit = alternately(number, ours, bare)
            return {figure.key: Sample(seconds * 1000, limit * 1000)}

        yield measure


async def time_starts(manager: Manager, names: list[str]) -> list[float]:
    """Start agents one after the other; the seconds of each until a status answer says `running`."""
    requests = [(name, manager.start_request(name)) for name in names]
    connection = await Connection.open(manager.port)
    seconds: list[float] = []
    for name, request in requests:
        started = time.perf_counter()
        await connection.ask(request)
        while await state_of(connection, name) != "running":
            pass
        seconds.append(time.perf_counter() - started)
    connection.close()
    return seconds


@contextmanager
def concurrently(folder: Path, scale: Scale, *, figure: Figure = MANY, server: str = SERVER) -> Generator[Round]:
    """The manager is new in each round and knows nothing; it is not there while the limit is measured."""
    names = names_of(scale.bundles)
    with Manager(folder, server) as manager:

        def ours() -> tuple[float, float]:
            manager.launch()
            before = cpu_seconds(manager.pid)
            seconds = manager.start_agents(names, clients=scale.clients)
            cpu = cpu_seconds(manager.pid) - before
            manager.reset()
            return seconds, cpu

        def bare() -> float:
            with BareSystemd() as systemd:
                calls = [systemd.start(record) for name in names for record in manager.agent(name)]
                seconds = systemd.run_jobs(calls, at_once=scale.clients)
                clean_up()
            return seconds

        def measure(number: int) -> Samples:
            (seconds, cpu), limit = alternately(number, ours, bare)
            notes = {"agents": scale.bundles, "manager's CPU ms an agent": cpu * 1000 / scale.bundles}
            return {figure.key: Sample(seconds, limit, notes)}

        yield measure


SUBJECTS = (
    Subject("start", (ONE,), one_by_one),
    Subject("start-many", (MANY,), concurrently),
)
