"""Many agents, many faults, one manager: `make soak DURATION=600`.

Round after round clients, operators and bad luck act on some of the agents at the same moment; after
each round all promises are checked for all agents. At the end the manager must hold no more than it
did once everything had run for a while. Ends with exit code 1 otherwise.
"""

import argparse
import contextlib
import random
import signal
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.support.footprint import Footprint
from tests.support.host import PROGRAM
from tests.support.model import Action, Unit, coreio, corerl
from tests.support.world import COUNTS, World, fault_count

WARM_UP = 0.25
"""The part of the time after which the manager's footprint is taken for the first time."""
RSS_GROWTH = 1.05
SAMPLES = 12
PAUSE = 0.5
"""Seconds between samples of what the manager holds; what it holds for an instant only is no leak."""


@dataclass
class Lag:
    """Seconds from a change at systemd to the row that another reader of the mirror sees."""

    seconds: list[float] = field(default_factory=list[float])

    @contextlib.contextmanager
    def sampling(self, database: Path) -> Iterator[None]:
        done = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            sampling = pool.submit(self._sample, database, done)
            try:
                yield
            finally:
                done.set()
        sampling.result()

    def quantile(self, part: float) -> float:
        return statistics.quantiles(self.seconds, n=1000)[round(part * 1000) - 1]

    def _sample(self, database: Path, done: threading.Event) -> None:
        with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as reader:
            query = "SELECT unit, since FROM services"
            seen: dict[str, str | None] = dict(reader.execute(query))
            version = reader.execute("PRAGMA data_version").fetchone()
            while not done.wait(0.001):
                now = datetime.now(UTC)
                if version == (version := reader.execute("PRAGMA data_version").fetchone()):
                    continue
                for unit, since in reader.execute(query):
                    if since is not None and since != seen.get(unit):
                        self.seconds.append((now - datetime.fromisoformat(since)).total_seconds())
                    seen[unit] = since


@dataclass(frozen=True)
class Report:
    """What a soak did and found."""

    agents: int
    rounds: int
    before: Footprint
    after: Footprint
    lag: Lag

    @property
    def leaks(self) -> list[str]:
        """What the manager holds more of than before."""
        then, now = asdict(self.before), asdict(self.after)
        bound = {name: value * (RSS_GROWTH if name == "rss" else 1) for name, value in then.items()}
        return [f"{name}: {then[name]:g} before, {now[name]:g} after" for name in now if now[name] > bound[name]]


def soak(folder: Path, *, duration: float, agents: int, seed: int) -> Report:
    """Run one; raises AssertionError with what was broken at the first violation."""
    dice = random.Random(seed)  # noqa: S311  # the same seed makes the same choices
    with World.running(folder, PROGRAM) as world:
        names = [f"agent-{number}" for number in range(agents)]
        for name in names:
            world.do(world.write_config(name))
        for batch in (names[at : at + 8] for at in range(0, agents, 8)):
            world.do(*(world.start(name) for name in batch))
        world.settle()
        begun = time.monotonic()
        before: Footprint | None = None
        rounds = 0
        lag = Lag()
        with lag.sampling(world.host.state_dir / "coredinator.db"):
            while (passed := time.monotonic() - begun) < duration:
                if before is None and passed > duration * WARM_UP:
                    before = _at_rest(world, names)
                actions = [_action(world, name, dice) for name in dice.sample(names, min(8, agents))]
                if dice.random() < 0.1:
                    actions.append(_disturbance(world, dice))
                world.do(*actions)
                world.settle()
                rounds += 1
        assert before is not None
        return Report(agents, rounds, before, _at_rest(world, names), lag)


def _at_rest(world: World, names: list[str]) -> Footprint:
    """The footprint with all agents running, so that two of them can be compared."""
    for batch in (names[at : at + 8] for at in range(0, len(names), 8)):
        world.do(*(world.start(name) for name in batch))
    world.settle()
    world.host.reconnect()  # each client thread left a connection behind
    world.settle()
    assert world.host.process is not None
    samples = []
    for _ in range(SAMPLES):
        samples.append(Footprint.of(world.host.process.pid))
        time.sleep(PAUSE)
    return Footprint.least(samples)


def _action(world: World, agent: str, dice: random.Random) -> Action:
    unit: Unit = dice.choice([corerl(agent), coreio(f"{agent}-coreio")])
    return dice.choice([
        lambda: world.start(agent),
        lambda: world.start(agent),
        lambda: world.stop(agent),
        lambda: world.stop_coreio(f"{agent}-coreio"),
        lambda: world.crash(unit, signal.SIGKILL),
        lambda: world.crash(unit, signal.SIGSEGV),
        lambda: world.crash(unit, signal.SIGTERM),
        lambda: world.operator(dice.choice(["start", "stop", "restart"]), unit),
    ])()  # fmt: skip


def _disturbance(world: World, dice: random.Random) -> Action:
    return dice.choice([
        world.kill_event_bus,
        world.cut_bus,
        lambda: world.systemd("daemon-reload"),
        lambda: world.systemd("daemon-reexec"),
    ])()  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=float, default=600, metavar="SECONDS")
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        try:
            report = soak(Path(folder), duration=arguments.duration, agents=arguments.agents, seed=arguments.seed)
        except AssertionError as error:
            console.print(f"violation (seed {arguments.seed}):\n{error}", markup=False)
            return 1
    faults = fault_count()
    table = Table(title=f"{report.agents} agents, {report.rounds} rounds, seed {arguments.seed}")
    table.add_column("")
    table.add_column("", justify="right")
    for what, times in sorted(COUNTS.items()):
        table.add_row(what, str(times))
    table.add_section()
    table.add_row("operations", str(COUNTS.total() - faults))
    table.add_row("faults", str(faults))
    table.add_row("violations", "0")
    for name, value in asdict(report.before).items():
        table.add_row(f"{name} before, after", f"{value:g}, {asdict(report.after)[name]:g}")
    for part in (0.5, 0.99):
        table.add_row(
            f"mirror lag p{part * 100:g} of {len(report.lag.seconds)}", f"{report.lag.quantile(part) * 1000:.1f} ms"
        )
    console.print(table)
    for leak in report.leaks:
        console.print(f"leak: {leak}", markup=False)
    return 1 if report.leaks else 0


if __name__ == "__main__":
    sys.exit(main())
