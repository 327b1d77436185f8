"""Two signals make one change."""

from typing import Any

import pytest
from dbus_fast import Variant

from coredinator.systemd import UnitChanged
from coredinator.systemd.signals import UnitChanges, pick

PREFIX = "/org/freedesktop/systemd1/unit/coredinator_2d"
ONE, OTHER = f"{PREFIX}agent_40one_2eservice", f"{PREFIX}agent_40other_2eservice"
FOREIGN = "/org/freedesktop/systemd1/unit/basic_2etarget"


def signal(**properties: Variant) -> list[Any]:
    return ["an interface", properties, ["Invalidated"]]


def main_pid(pid: int) -> list[Any]:
    return signal(MainPID=Variant("u", pid), UID=Variant("u", 1000))


def active(state: str) -> list[Any]:
    return signal(ActiveState=Variant("s", state), CanStart=Variant("b", True))  # noqa: FBT003


def change(name: str, **properties: object) -> UnitChanged:
    return UnitChanged(f"coredinator-agent@{name}.service", properties)


@pytest.fixture
def told() -> list[UnitChanged]:
    return []


@pytest.fixture
def changes(told: list[UnitChanged]) -> UnitChanges:
    return UnitChanges(PREFIX, told.append)


def test_a_service_and_its_unit_change_at_once(changes: UnitChanges, told: list[UnitChanged]) -> None:
    changes.of_service(ONE, main_pid(7))
    assert not told
    changes.of_unit(ONE, active("active"))
    assert told == [change("one", MainPID=7, ActiveState="active")]


def test_a_half_whose_rest_does_not_come_is_passed_on_before_what_comes_instead(
    changes: UnitChanges, told: list[UnitChanged]
) -> None:
    changes.of_service(ONE, main_pid(7))
    changes.of_service(OTHER, main_pid(8))
    changes.of_unit(ONE, active("active"))
    changes.of_service(ONE, main_pid(9))
    changes.flush()
    changes.flush()
    assert told == [
        change("one", MainPID=7),
        change("other", MainPID=8),
        change("one", ActiveState="active"),
        change("one", MainPID=9),
    ]


def test_what_was_kept_for_a_connection_that_is_lost_is_dropped(changes: UnitChanges, told: list[UnitChanged]) -> None:
    changes.of_service(ONE, main_pid(7))
    changes.drop()
    changes.of_unit(ONE, active("failed"))
    assert told == [change("one", ActiveState="failed")]


def test_other_units_and_signals_without_anything_of_interest_are_ignored(
    changes: UnitChanges, told: list[UnitChanged]
) -> None:
    changes.of_service(FOREIGN, main_pid(7))
    changes.of_unit(FOREIGN, active("active"))
    changes.of_unit(ONE, signal(CanStart=Variant("b", True)))  # noqa: FBT003
    changes.flush()
    assert not told


def test_what_is_not_told_is_not_picked() -> None:
    properties = {"MainPID": Variant("u", 7), "UID": Variant("u", 1000)}
    assert pick(properties, ["MainPID", "Result"]) == {"MainPID": 7}
