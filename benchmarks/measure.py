"""Rounds and what they come to: medians, spread, and how many were disturbed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figure import Figure, Round, Sample, Samples, Subject
from benchmarks.neighbours import Gate

_PATIENCE = 3
"""So many times the rounds that are wanted are tried before the machine is taken for a busy one."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rounds that counted, how many did not, and the largest share of the machine others had in one that did."""

    kept: Sequence[Samples]
    discarded: int
    others: float


@dataclass(frozen=True, slots=True)
class Result:
    """A figure's medians over all rounds. `value` is what the goal is about, between `low` and `high`."""

    figure: Figure
    ours: float
    limit: float | None
    value: float
    low: float
    high: float
    notes: dict[str, float]
    rounds: int
    discarded: int
    others: float

    @property
    def met(self) -> bool:
        """Whether the median meets the goal."""
        return self.figure.goal.met_by(self.value)


class Busy(Exception):
    """Others used the machine in every round."""


def run_rounds(measure: Round, gate: Gate, wanted: int, said: Callable[[str], object]) -> Rounds:
    """Measure until `wanted` rounds were undisturbed, or patience is at its end.

    Raises Busy if none was.
    """
    kept: list[Samples] = []
    shares: list[float] = []
    discarded = 0
    while len(kept) < wanted and discarded < wanted * _PATIENCE:
        with gate.watch() as watch:
            samples = measure(len(kept))
        share = watch.share or 0.0
        if gate.passes(watch):
            kept.append(samples)
            shares.append(share)
            said(f"round {len(kept)} of {wanted}, others used {share:.1%}")
        else:
            discarded += 1
            said(f"a round is discarded: others used {share:.1%} of the machine")
    if not kept:
        raise Busy(f"others used more than {gate.allowed:.0%} of the machine in all {discarded} rounds")
    return Rounds(kept, discarded, max(shares))


def summarise(subject: Subject, rounds: Rounds) -> list[Result]:
    """The result of each figure of a subject that was measured: a smaller scale leaves some out."""
    return [
        _summary(figure, [samples[figure.key] for samples in rounds.kept], rounds)
        for figure in subject.figures
        if all(figure.key in samples for samples in rounds.kept)
    ]


def quantile(values: Sequence[float], part: float) -> float:
    """The smallest of the values that at least `part` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-part * len(ordered) // 1) - 1))]


def _summary(figure: Figure, samples: Sequence[Sample], rounds: Rounds) -> Result:
    values = [sample.compared(figure.comparison) for sample in samples]
    limits = [sample.limit for sample in samples if sample.limit is not None]
    names = sorted({name for sample in samples for name in sample.notes})
    return Result(
        figure=figure,
        ours=median(sample.ours for sample in samples),
        limit=median(limits) if limits else None,
        value=median(values),
        low=min(values),
        high=max(values),
        notes={name: median(sample.notes[name] for sample in samples if name in sample.notes) for name in names},
        rounds=len(samples),
        discarded=rounds.discarded,
        others=rounds.others,
    )
