"""The benchmark works; how fast anything is, is not for tests to say."""

from math import isfinite
from pathlib import Path

import pytest

from benchmarks.event_bus import cases
from benchmarks.figure import Scale, Subject
from benchmarks.measure import run_rounds, summarise
from benchmarks.neighbours import Gate
from benchmarks.results import describe
from benchmarks.subjects import ALL

TINY = Scale(
    starts=1, clients=2, bundles=2, stop_turns=2, fleet=2, listed=2, load_time=0.1, load_turns=2,
    lag_time=0.8, crashes=1, idle_time=0.1,
    bus_search=0.1, bus_searches=2, bus_trials=2, bus_sizes=(64,), bus_peers=(1, 4), growth=(2, 4), growth_time=0.1,
    growth_idle_time=1.5,
)  # fmt: skip


@pytest.mark.parametrize("subject", ALL, ids=lambda subject: subject.name)
def test_a_tiny_round_of_each_figure_gives_finite_numbers(subject: Subject, tmp_path: Path) -> None:
    always = Gate(dict, allowed=1.0)
    with subject.prepare(tmp_path, TINY) as measure:
        results = summarise(subject, run_rounds(measure, always, 1, lambda _: None))
    expected = {figure.key for figure in subject.figures}
    if subject.name.startswith("bus-"):
        expected &= {figure.key for case in cases(TINY) for figure in (case.rate, case.cpu, case.latency)}
    assert {result.figure.key for result in results} == expected != set()
    for result in results:
        described = describe(result)
        numbers = [result.ours, result.value, described["spent"], *result.notes.values()]
        assert all(isfinite(number) for number in numbers), described
        assert (result.limit is not None) == bool(result.figure.limit)
