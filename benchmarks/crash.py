"""From a crash to running again."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.bare import BareSystemd
from benchmarks.bed import clean_up
from benchmarks.figure import Figure, Goal, Round, Sample, Samples, Scale, Subject, alternately
from benchmarks.http_client import Connection, get
from benchmarks.manager import Manager, names_of
from coredinator.systemd.escape import unit_to_object_path

AGAIN = Figure(
    "crash", "crash to `running` in a status answer", "ms", Goal(1.1),
    limit="a bare unit with the same properties, crash to `active`",
)  # fmt: skip
_POLL = 0.001


@contextmanager
def crashes(folder: Path, scale: Scale) -> Generator[Round]:
    """Each agent crashes once in a round: later crashes wait longer, as they should."""
    names = names_of(scale.crashes)
    with Manager(folder) as manager:

        def ours() -> float:
            manager.launch()
            manager.start_agents(names, clients=1)
            seconds = median(asyncio.run(time_crashes(manager, names)))
            manager.reset()
            return seconds

        def bare() -> float:
            with BareSystemd() as systemd:
                records = [manager.agent(name)[1] for name in names]
                systemd.run_jobs([systemd.start(record) for record in records])
                seconds = median(time_bare_crashes(systemd, [record.unit for record in records]))
                clean_up()
            return seconds

        def measure(number: int) -> Samples:
            seconds, limit = alternately(number, ours, bare)
            return {AGAIN.key: Sample(seconds * 1000, limit * 1000)}

        yield measure


async def time_crashes(manager: Manager, names: Sequence[str]) -> list[float]:
    """Kill CoreRL of each agent; seconds until the agent is `running` with another PID."""
    connection = await Connection.open(manager.port)
    seconds: list[float] = []
    for name in names:
        request = get(f"/api/agents/{name}/status")
        before = json.loads(await connection.ask(request))["service_statuses"]["corerl"]["main_pid"]
        started = time.perf_counter()
        os.kill(before, signal.SIGKILL)
        while True:
            status = json.loads(await connection.ask(request))
            if status["state"] == "running" and status["service_statuses"]["corerl"]["main_pid"] != before:
                break
            await asyncio.sleep(_POLL)
        seconds.append(time.perf_counter() - started)
    connection.close()
    return seconds


def time_bare_crashes(systemd: BareSystemd, units: Sequence[str]) -> list[float]:
    """Kill the main process of each unit; seconds until systemd says that it is active again."""
    states: dict[str, str] = {}

    def changed(unit: str, properties: Mapping[str, object]) -> None:
        if "ActiveState" in properties:
            states[unit] = str(properties["ActiveState"])

    systemd.watch(changed)
    seconds: list[float] = []
    for unit in units:
        pid = systemd.main_pid(unit_to_object_path(unit))
        systemd.turn()
        states.clear()
        started = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        while states.get(unit) != "active":
            systemd.turn(block=True)
        seconds.append(time.perf_counter() - started)
    return seconds


SUBJECTS = (Subject("crash", (AGAIN,), crashes),)
