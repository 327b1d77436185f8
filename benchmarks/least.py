"""What starts and stops cost at least with FastAPI and dbus-fast: the figures of a server that does nothing else."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import starts, stops
from benchmarks.figure import Figure, Round, Samples, Scale, Subject
from benchmarks.manager import BARE_SERVER

_PARTS = ((starts.ONE, starts.one_by_one), (starts.MANY, starts.concurrently), (stops.MANY, stops.concurrently))


def _of_the_bare_server(figure: Figure) -> Figure:
    return replace(
        figure, key=f"least-{figure.key}", title=f"the same by a server that only calls and hears systemd: {figure.key}"
    )


FIGURES = tuple(_of_the_bare_server(figure) for figure, _ in _PARTS)


@contextmanager
def least(folder: Path, scale: Scale) -> Generator[Round]:
    """Each in a folder of its own, one after the other."""
    with ExitStack() as stack:
        rounds: list[Round] = []
        for figure, (_, prepare) in zip(FIGURES, _PARTS, strict=True):
            part = folder / figure.key
            part.mkdir()
            rounds.append(stack.enter_context(prepare(part, scale, figure=figure, server=BARE_SERVER)))

        def measure(number: int) -> Samples:
            return {key: sample for one in rounds for key, sample in one(number).items()}

        yield measure


SUBJECTS = (Subject("least", FIGURES, least),)
