"""What the manager says about the event bus's unit."""

import os
from collections.abc import Callable
from typing import NoReturn, cast

import pytest

from coredinator.event_bus.addresses import BusAddresses
from coredinator.event_bus.companion import UNIT, EventBusUnit
from coredinator.systemd import Disconnected, Event, SystemdError, SystemdManager, UnitChanged

RUNS = {"ActiveState": "active", "SubState": "running", "StatusText": "Forwarding", "ExecMainStatus": 0}
WAITS = {"ActiveState": "activating", "SubState": "auto-restart"}


class Systemd:
    """Sends what a test wants."""

    def __init__(self) -> None:
        self.send: Callable[[Event], None] = lambda _event: None

    def listen(self, listener: Callable[[Event], None]) -> None:
        self.send = listener

    async def list_units(self, unit: str) -> NoReturn:
        raise SystemdError(f"{unit} is refused")


@pytest.fixture
def systemd() -> Systemd:
    return Systemd()


@pytest.fixture
def bus(systemd: Systemd) -> EventBusUnit:
    return EventBusUnit(cast("SystemdManager", systemd), BusAddresses("*", 5559, 5560))


def test_a_bus_that_was_never_seen_is_stopped(bus: EventBusUnit) -> None:
    assert not bus.running
    assert bus.reason == f"{UNIT} is stopped"


def test_a_bus_that_runs_has_no_reason(bus: EventBusUnit, systemd: Systemd) -> None:
    systemd.send(UnitChanged(UNIT, RUNS))
    assert bus.running
    assert bus.reason is None


def test_other_units_are_none_of_its_business(bus: EventBusUnit, systemd: Systemd) -> None:
    systemd.send(UnitChanged("coredinator-agent@backwash.service", RUNS))
    assert not bus.running


@pytest.mark.parametrize("code", [os.EX_UNAVAILABLE, os.EX_CONFIG])
def test_a_bus_that_cannot_run_gives_its_own_reason(bus: EventBusUnit, systemd: Systemd, code: int) -> None:
    systemd.send(UnitChanged(UNIT, WAITS | {"StatusText": "cannot bind", "ExecMainStatus": code}))
    assert bus.reason == "cannot bind"


def test_what_a_killed_bus_said_when_all_was_well_is_no_reason(bus: EventBusUnit, systemd: Systemd) -> None:
    systemd.send(UnitChanged(UNIT, RUNS))
    systemd.send(UnitChanged(UNIT, WAITS | {"ExecMainStatus": 9}))
    assert bus.reason == f"{UNIT} is activating (auto-restart)"


def test_a_bus_that_was_stopped_is_stopped(bus: EventBusUnit, systemd: Systemd) -> None:
    systemd.send(UnitChanged(UNIT, RUNS))
    systemd.send(UnitChanged(UNIT, {"ActiveState": "inactive", "SubState": "dead"}))
    assert bus.reason == f"{UNIT} is stopped"


async def test_a_refusal_is_the_reason_until_the_bus_has_run(bus: EventBusUnit, systemd: Systemd) -> None:
    await bus.ensure()
    assert bus.reason == f"{UNIT} is refused"
    systemd.send(UnitChanged(UNIT, RUNS))
    systemd.send(UnitChanged(UNIT, {"ActiveState": "inactive", "SubState": "dead"}))
    assert bus.reason == f"{UNIT} is stopped"


def test_without_systemd_nobody_knows_that_it_runs(bus: EventBusUnit, systemd: Systemd) -> None:
    systemd.send(UnitChanged(UNIT, RUNS))
    systemd.send(Disconnected("gone"))
    assert not bus.running
