"""Reading: status answers with many agents, and the list of even more."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean

from benchmarks.figure import FULL, Figure, Goal, Round, Sample, Samples, Scale, Subject, alternately
from benchmarks.http_client import get, load, send
from benchmarks.manager import Manager, names_of
from benchmarks.paths import CONSTANT
from benchmarks.processes import cpu_seconds

_CONSTANT = "a FastAPI route in the same server that returns a constant of the same size"

STATUS = Figure(
    "status",
    f"GET status at {FULL.clients} connections with {FULL.fleet} agents",
    "1/s",
    Goal(0.7, at_most=False),
    limit=_CONSTANT,
)
LIST = Figure("list", f"GET list of {FULL.listed:,} agents", "1/s", Goal(0.7, at_most=False), limit=_CONSTANT)


@contextmanager
def status(folder: Path, scale: Scale) -> Generator[Round]:
    """Each connection asks for all agents in turn; each agent has a CoreIO of its own."""
    names = names_of(scale.fleet)
    with Manager(folder) as manager:
        manager.launch()
        manager.start_agents(names, clients=scale.clients)
        manager.settle()
        yield compare(STATUS, manager, [f"/api/agents/{name}/status" for name in names], scale)


@contextmanager
def listing(folder: Path, scale: Scale) -> Generator[Round]:
    """All agents share one CoreIO, which the list does not show."""
    with Manager(folder) as manager:
        manager.launch()
        manager.start_agents(names_of(scale.listed), clients=scale.clients, coreio_id="shared")
        manager.settle()
        yield compare(LIST, manager, ["/api/agents/"], scale)


def compare(figure: Figure, manager: Manager, paths: Sequence[str], scale: Scale) -> Round:
    """Rounds that load the paths, and the constant with the body that the first path has."""
    body = manager.ask(get(paths[0]))
    manager.ask(send("PUT", CONSTANT, body))

    def loaded(requests: Sequence[bytes]) -> Callable[[], tuple[float, float, float]]:
        def measure() -> tuple[float, float, float]:
            before = cpu_seconds(manager.pid)
            done = load(manager.port, requests, connections=scale.clients, seconds=scale.load_time)
            server = cpu_seconds(manager.pid) - before
            return done.requests / done.seconds, server / done.seconds, done.cpu_seconds / done.seconds

        return measure

    of_ours, of_limit = loaded([get(path) for path in paths]), loaded([get(CONSTANT)])

    def measure(number: int) -> Samples:
        turns = [alternately(number + turn, of_ours, of_limit) for turn in range(scale.load_turns)]
        ours, limit = ([fmean(values) for values in zip(*side, strict=True)] for side in zip(*turns, strict=True))
        notes = {
            "bytes": len(body),
            "server's cores": ours[1],
            "client's cores": ours[2],
            "server's cores, limit": limit[1],
            "client's cores, limit": limit[2],
        }
        return {figure.key: Sample(ours[0], limit[0], notes)}

    return measure


SUBJECTS = (Subject("status", (STATUS,), status), Subject("list", (LIST,), listing))
