"""How limits are written, put over each other, and turned into properties of a unit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coredinator.services.declared import LimitsSection
from coredinator.services.limits import (
    DEFAULTS,
    INFINITY,
    Limits,
    LimitsModel,
    changes,
    contradiction,
    limit_properties,
    read_count,
    read_quota,
    read_size,
)
from coredinator.systemd.properties import typed

MIB = 1024**2


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512M", 512 * MIB), ("2G", 2048 * MIB), ("1.5 GB", 1536 * MIB), ("2g", 2048 * MIB), ("1T", 1024**4),
        (MIB, MIB), (str(MIB), MIB), ("infinity", INFINITY),
    ],
)  # fmt: skip
def test_sizes(text: object, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize(
    ("text", "quota"), [("150%", 1_500_000), ("50 %", 500_000), ("0.5e1%", None), ("12.5%", 125_000), ("1%", 10_000)]
)
def test_quotas(text: str, quota: int | None) -> None:
    if quota is None:
        with pytest.raises(ValueError, match="150%"):
            read_quota(text)
    else:
        assert read_quota(text) == quota


def test_no_limit_at_all_can_be_asked_for() -> None:
    assert (read_size("infinity"), read_quota("infinity"), read_count("infinity")) == (INFINITY,) * 3


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"memory_max": "plenty"}, "512M"),
        ({"memory_max": "1K"}, "at least 1M"),
        ({"memory_max": -1}, "512M"),
        ({"memory_max": True}, "512M"),
        ({"memory_max": "99999999T"}, "at least 1M"),
        ({"cpu_quota": 150}, "150%"),
        ({"cpu_quota": "0%"}, "at least 1%"),
        ({"cpu_weight": 0}, "greater than or equal to 1"),
        ({"cpu_weight": 10_001}, "less than or equal to 10000"),
        ({"io_weight": "much"}, "integer"),
        ({"tasks_max": 0}, "1 or more"),
        ({"tasks_max": 2**40}, "1 or more"),
        ({"nice": 20}, "less than or equal to 19"),
        ({"memory_max": "1G", "memory_high": "2G"}, "memory_high"),
        ({"memory": "1G"}, "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_named_with_what_would(limits: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        LimitsModel.model_validate(limits)


def test_keys_of_the_settings_file_have_dashes_or_underscores() -> None:
    section = LimitsSection.model_validate({"memory-max": "1G", "tasks_max": 5})
    assert section.limits() == Limits(memory_max=1024 * MIB, tasks_max=5)


LIMITS = st.builds(
    Limits,
    **{
        name: st.none() | st.integers(MIB, 2**62) | st.just(INFINITY)
        for name in ("memory_max", "cpu_quota", "tasks_max")
    },
    cpu_weight=st.none() | st.integers(1, 10_000),
    nice=st.none() | st.integers(-20, 19),
)


@given(LIMITS, LIMITS)
def test_a_limit_of_its_own_wins(own: Limits, general: Limits) -> None:
    together = own.over(general)
    assert together.given() == general.given() | own.given()


@given(LIMITS, LIMITS)
def test_a_change_sets_what_differs_and_lifts_what_is_gone(before: Limits, after: Limits) -> None:
    state = limit_properties(before.given()) | limit_properties(changes(before, after))
    wanted = limit_properties(after.given())
    assert {name: value for name, value in state.items() if name != "Nice" and value != INFINITY} == {
        name: value for name, value in wanted.items() if name != "Nice" and value != INFINITY
    }


@given(LIMITS)
def test_every_limit_has_a_signature(limits: Limits) -> None:
    assert len(typed(limit_properties(limits.given()))) == len(limits.given())


@given(
    st.builds(Limits, memory_max=st.integers(MIB, 2**62), cpu_quota=st.integers(10_000, 10**8), tasks_max=st.just(7))
)
def test_what_is_shown_can_be_given_again(limits: Limits) -> None:
    shown = limits.shown()
    again = LimitsModel.model_validate(shown).limits()
    assert (again.memory_max, again.tasks_max) == (limits.memory_max, limits.tasks_max)
    assert again.cpu_quota == pytest.approx(limits.cpu_quota, rel=1e-5)


def test_a_patch_sets_takes_away_and_leaves() -> None:
    patch = LimitsModel.model_validate({"memory_max": "1G", "nice": None})
    assert patch.changed(Limits(nice=5, tasks_max=9)) == Limits(memory_max=1024 * MIB, tasks_max=9)


def test_contradictions_need_both_sides() -> None:
    assert contradiction(Limits(memory_high=2 * MIB)) is None
    assert contradiction(Limits(memory_high=INFINITY, memory_max=2 * MIB)) is None
    assert "memory_high" in str(contradiction(Limits(memory_high=2 * MIB, memory_max=MIB)))


def test_a_fork_bomb_ends_somewhere() -> None:
    assert limit_properties(DEFAULTS.given()) == {"TasksMax": 4096}
