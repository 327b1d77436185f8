"""The benchmark's arithmetic: gate, rounds, statistics and what is written of them."""

from collections.abc import Sequence
from math import inf

import pytest

from benchmarks.figure import Comparison, Figure, Goal, Sample, Samples, Subject, alternately
from benchmarks.growth import steepest
from benchmarks.measure import Busy, Rounds, quantile, run_rounds, summarise
from benchmarks.neighbours import Gate, Snapshot, Usage, parse_stat, used_between, without_tree
from benchmarks.report import markdown, number
from benchmarks.results import describe
from benchmarks.staircase import Staircase

COST = Figure("cost", "a cost", "ms", Goal(2.0))
SPEED = Figure("speed", "a speed", "1/s", Goal(0.7, at_most=False))
EXTRA = Figure("extra", "what comes on top", "s", Goal(1.0), comparison=Comparison.DIFFERENCE)


def subject(*figures: Figure) -> Subject:
    def prepare(*_: object) -> None:
        raise AssertionError("only rounds are summarised here")

    return Subject("subject", figures, prepare)  # type: ignore[arg-type]


def gate(*looks: Snapshot, allowed: float = 0.05) -> Gate:
    left = iter(looks)
    return Gate(lambda: next(left), allowed)


def test_a_process_name_may_hold_brackets_and_blanks() -> None:
    stat = "7 (a) b) c) S 3 " + " ".join(["0"] * 9) + " 100 20 3 400 20 0"
    usage = parse_stat(stat)
    assert usage.parent == 3
    assert (usage.own, usage.children) == (pytest.approx(1.2), pytest.approx(4.03))


@pytest.mark.parametrize(
    ("before", "after", "used"),
    [
        pytest.param({1: Usage(0, 5.0)}, {1: Usage(0, 5.5)}, 0.5, id="one that lives throughout"),
        pytest.param({}, {1: Usage(0, 0.25)}, 0.25, id="one that began"),
        pytest.param({1: Usage(0, 1.0)}, {1: Usage(0, 1.0, 0.75)}, 0.75, id="one that began and ended"),
        pytest.param(
            {1: Usage(0, 1.0), 2: Usage(1, 3.0, 1.0)},
            {1: Usage(0, 1.0, 4.5)},
            0.5,
            id="one that had used some and ended",
        ),
        pytest.param(
            {1: Usage(0, 1.0), 2: Usage(1, 3.0), 3: Usage(2, 2.0)},
            {1: Usage(0, 1.0, 5.25)},
            0.25,
            id="a family that ended",
        ),
        pytest.param({1: Usage(0, 1.0), 2: Usage(1, 3.0)}, {1: Usage(0, 1.0)}, 0.0, id="one that nobody waited for"),
    ],
)
def test_what_others_used(before: Snapshot, after: Snapshot, used: float) -> None:
    assert used_between(before, after) == pytest.approx(used)


def test_the_benchmark_is_not_its_own_neighbour() -> None:
    processes = {1: Usage(0, 1), 10: Usage(1, 1), 11: Usage(10, 1), 12: Usage(11, 1), 20: Usage(1, 1)}
    assert without_tree(processes, 10).keys() == {1, 20}


def test_a_disturbed_round_is_discarded_and_measured_again() -> None:
    busy: Snapshot = {1: Usage(0, 1e6)}
    numbers: list[int] = []

    def measure(number: int) -> Samples:
        numbers.append(number)
        return {"cost": Sample(len(numbers))}

    rounds = run_rounds(measure, gate({}, {}, {}, busy, busy, busy), 2, lambda _: None)
    assert numbers == [0, 1, 1]
    assert [samples["cost"].ours for samples in rounds.kept] == [1, 3]
    assert (rounds.discarded, rounds.others) == (1, 0.0)


def test_a_machine_that_is_always_busy_gives_no_figures() -> None:
    looks: Sequence[Snapshot] = [{1: Usage(0, 1e6 * look)} for look in range(100)]
    with pytest.raises(Busy, match="5%"):
        run_rounds(lambda _: {}, gate(*looks), 2, lambda _: None)


def test_a_result_holds_medians_and_the_spread_of_what_is_compared() -> None:
    kept = [{"cost": Sample(ours, limit, {"note": ours})} for ours, limit in ((10, 5), (30, 10), (12, 10))]
    (result,) = summarise(subject(COST), Rounds(kept, discarded=4, others=0.01))
    assert (result.ours, result.limit, result.value) == (12, 10, 2.0)
    assert (result.low, result.high) == (1.2, 3.0)
    assert (result.notes, result.rounds, result.discarded, result.others) == ({"note": 12}, 3, 4, 0.01)
    assert result.met


def test_figures_compare_as_they_say() -> None:
    kept = [{"speed": Sample(60, 100), "extra": Sample(2.5, 1.0)}]
    speed, extra = summarise(subject(SPEED, EXTRA), Rounds(kept, 0, 0.0))
    assert (speed.value, speed.met) == (0.6, False)
    assert (extra.value, extra.met) == (1.5, False)


def test_a_figure_that_was_left_out_has_no_result() -> None:
    results = summarise(subject(COST, SPEED), Rounds([{"cost": Sample(1, 1)}], 0, 0.0))
    assert [result.figure for result in results] == [COST]


def test_spent_is_one_where_the_goal_is_just_met() -> None:
    assert (Goal(2.0).spent_by(2.0), Goal(2.0).spent_by(1.0)) == (1.0, 0.5)
    assert (Goal(0.5, at_most=False).spent_by(0.5), Goal(0.5, at_most=False).spent_by(1.0)) == (1.0, 0.5)


@pytest.mark.parametrize(("part", "value"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_a_quantile_is_one_of_the_values(part: float, value: int) -> None:
    assert quantile(range(100, 0, -1), part) == value


def test_ours_and_the_limit_take_turns_in_being_first() -> None:
    order: list[str] = []
    for turn in range(2):
        assert alternately(turn, lambda: order.append("ours") or 1, lambda: order.append("limit") or 2) == (1, 2)
    assert order == ["ours", "limit", "limit", "ours"]


def test_growth_is_the_steepest_part() -> None:
    assert steepest({10: 1.0, 100: 1.0, 1000: 1.0}) == 0
    assert steepest({1000: 100.0, 10: 5.0, 100: 10.0}) == pytest.approx(1.0)


@pytest.mark.parametrize("start", [10_000, 100_000, 400_000])
def test_the_search_settles_at_the_highest_rate_without_loss(start: float) -> None:
    assert climb(Staircase(start), highest=70_000) == pytest.approx(70_000, rel=0.05)


def test_one_unlucky_trial_hardly_moves_the_search() -> None:
    assert climb(Staircase(60_000), highest=70_000, unlucky=9) == pytest.approx(70_000, rel=0.05)


@pytest.mark.parametrize("lost", [True, False])
def test_publishers_that_stand_still_for_a_trial_hardly_move_the_search(*, lost: bool) -> None:
    search = Staircase(60_000)
    climb(search, highest=70_000)
    search.note(search.asked / 3, lost=lost)
    assert climb(search, highest=70_000) == pytest.approx(70_000, rel=0.05)
    assert search.asked > 60_000


def test_publishers_that_are_slower_than_the_bus_are_the_limit() -> None:
    assert climb(Staircase(10_000), highest=inf, fastest=50_000) == 50_000


def climb(search: Staircase, *, highest: float, fastest: float = inf, unlucky: int | None = None) -> float:
    for trial in range(16):
        reached = min(search.asked, fastest)
        search.note(reached, lost=reached > highest or trial == unlucky)
    return search.rate


@pytest.mark.parametrize(
    ("value", "text"), [(1234567.0, "1,230,000"), (0.98765, "0.988"), (5.0, "5"), (0.0, "0"), (0.00012345, "0.000123")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_the_document_shows_what_was_measured_and_where() -> None:
    results = summarise(subject(COST, EXTRA), Rounds([{"cost": Sample(30, 10), "extra": Sample(1.5, 1.0)}], 1, 0.012))
    shown = markdown({result.figure.key: describe(result) | {"run": {"kernel": "6.12"}} for result in results})
    lines = shown.splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:4]]
    assert cells[0][:3] == ["a cost", "30 ms", "10 ms"]
    assert cells[1][:4] == ["what comes on top", "1.5 s", "1 s", "0.5 more"]
    assert [row[6:] for row in cells] == [["no", "1 (+1 disturbed)", "1.2%"], ["yes", "1 (+1 disturbed)", "1.2%"]]
    assert lines[-1] == "- kernel 6.12"
