"""From a unit's change at PID 1 to its row in SQLite, and to its event on the bus, while many units change.

PID 1 itself tells when a unit changed (StateChangeTimestamp), in µs of the real-time clock. The row
carries that time too, so that the lag of a row is the time at which another SQLite reader first sees
it, less the row's own. An event is matched by its unit and main PID with what PID 1 said of them.
"""

import json
import signal
import sqlite3
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import cycle
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import zmq
from gi.repository import GLib

from benchmarks.bare import BareSystemd, Call, unit_call
from benchmarks.figure import Comparison, Figure, Goal, Round, Sample, Samples, Scale, Subject
from benchmarks.http_client import HOST
from benchmarks.manager import Manager, names_of
from benchmarks.measure import quantile

_AGENTS = 50
_DISTURBANCES = 26
"""Units restarted or killed in a second: some 100 changes of state, four to a restart."""
_WARM_UP = 0.5
_AFTERMATH = 1.0
_POLL = 0.0005
_USEC = 1_000_000

ROW_MEDIAN = Figure(
    "mirror-row", "PID 1 → row in SQLite, 100 changes/s: p50", "ms", Goal(5), comparison=Comparison.ITSELF
)
ROW_TAIL = Figure("mirror-row-p99", "PID 1 → row in SQLite: p99", "ms", Goal(25), comparison=Comparison.ITSELF)
EVENT_MEDIAN = Figure("mirror-event", "PID 1 → event on the bus: p50", "ms", Goal(5), comparison=Comparison.ITSELF)
EVENT_TAIL = Figure("mirror-event-p99", "PID 1 → event on the bus: p99", "ms", Goal(25), comparison=Comparison.ITSELF)


@dataclass(frozen=True, slots=True)
class Seen:
    """When another process saw what; times in seconds of the real-time clock."""

    rows: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """The row's own time of change, and when it was seen."""
    events: list[tuple[str, int, float]] = field(default_factory=list[tuple[str, int, float]])
    """Unit and main PID that an event says to be started, and when it was heard."""


@contextmanager
def lag(folder: Path, scale: Scale) -> Generator[Round]:
    """CoreRL of the agents is restarted and killed in turn."""
    names = names_of(min(_AGENTS, scale.fleet))
    with Manager(folder) as manager:
        manager.launch()
        manager.start_agents(names, clients=scale.clients)
        units = [manager.agent(name)[1].unit for name in names]

        def measure(_number: int) -> Samples:
            with BareSystemd() as systemd, watching(manager.database, manager.sub_port) as watcher:
                truth = Truth()
                systemd.watch(truth.changed)
                since = time.time() + _WARM_UP
                disturb(systemd, units, scale.lag_time)
                watcher.send(None)
                seen: Seen = watcher.recv()
            rows = [(at - changed) * 1000 for changed, at in seen.rows if changed > since]
            starts = [(truth.started.get((unit, pid), 0.0), at) for unit, pid, at in seen.events]
            events = [(at - started) * 1000 for started, at in starts if started > since]
            rate = {"changes/s": truth.rate(since)}
            return {
                ROW_MEDIAN.key: Sample(quantile(rows, 0.5), notes=rate | {"rows": len(rows)}),
                ROW_TAIL.key: Sample(quantile(rows, 0.99), notes=rate),
                EVENT_MEDIAN.key: Sample(quantile(events, 0.5), notes=rate | {"events": len(events)}),
                EVENT_TAIL.key: Sample(quantile(events, 0.99), notes=rate),
            }

        yield measure


class Truth:
    """What PID 1 says: when each unit began to be active with which main PID, and how often units changed."""

    def __init__(self) -> None:
        self.started: dict[tuple[str, int], float] = {}
        self._pids: dict[str, int] = {}
        self._changes: set[tuple[str, int]] = set()

    def rate(self, since: float) -> float:
        """Changes in a second from then to the last one."""
        times = [usec / _USEC for _, usec in self._changes if usec / _USEC > since]
        return len(times) / (max(times) - since)

    def changed(self, unit: str, properties: Mapping[str, object]) -> None:
        """Take in a signal. That of the service, with the PID, comes before that of the unit."""
        if isinstance(pid := properties.get("MainPID"), int):
            self._pids[unit] = pid
        if isinstance(usec := properties.get("StateChangeTimestamp"), int):
            self._changes.add((unit, usec))
            if properties["ActiveState"] == "active":
                self.started.setdefault((unit, self._pids.get(unit, 0)), usec / _USEC)


def disturb(systemd: BareSystemd, units: Sequence[str], seconds: float) -> None:
    """Restart and kill units in turn at an even pace, and wait until all of them have settled."""
    calls = cycle(
        [unit_call("RestartUnit", unit) if number % 2 == 0 else _kill(unit) for number, unit in enumerate(units)]
    )
    started = time.monotonic()
    done = 0
    while (elapsed := time.monotonic() - started) < seconds + _AFTERMATH:
        if elapsed < seconds and done < elapsed * _DISTURBANCES:
            systemd.send(*next(calls))
            done += 1
        systemd.turn()
        time.sleep(_POLL)


def _kill(unit: str) -> Call:
    return "KillUnit", GLib.Variant("(ssi)", (unit, "main", signal.SIGKILL))


@contextmanager
def watching(database: Path, sub_port: int) -> Generator[Connection]:
    """A process that looks at the database and listens to the bus; told to end it answers with a `Seen`."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=watch, args=(database, sub_port, there), daemon=True)
    process.start()
    here.recv()
    yield here
    process.join()


def watch(database: Path, sub_port: int, control: Connection) -> None:
    """Look and listen twice a millisecond until told to end."""
    seen = Seen()
    known: dict[str, str] = {}
    version = 0
    with (
        zmq.Context() as context,
        context.socket(zmq.SUB) as events,
        closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None)) as reader,
    ):
        events.connect(f"tcp://{HOST}:{sub_port}")
        events.subscribe(b"agent.started")
        control.send(None)
        while not control.poll():
            while events.poll(0):
                event = json.loads(events.recv_multipart()[1])
                seen.events.append((event["unit"], event["main_pid"], time.time()))
            if version != (version := reader.execute("PRAGMA data_version").fetchone()[0]):
                rows = reader.execute("SELECT unit, since FROM services WHERE since IS NOT NULL").fetchall()
                now = time.time()
                for unit, since in rows:
                    if known.get(unit) != since:
                        known[unit] = since
                        seen.rows.append((datetime.fromisoformat(since).timestamp(), now))
            time.sleep(_POLL)
    control.send(seen)


SUBJECTS = (Subject("mirror", (ROW_MEDIAN, ROW_TAIL, EVENT_MEDIAN, EVENT_TAIL), lag, most_rounds=3),)
