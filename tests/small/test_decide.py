"""What is done about a service: the whole table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coredinator.service.decide import Decision, decide
from coredinator.service.identity import Identity
from coredinator.service.record import Pending, ServiceRecord
from coredinator.service.state import Intent
from coredinator.services import KindName
from coredinator.systemd import UnitProperties

RUNNING, STOPPED = Intent.RUNNING, Intent.STOPPED
ACTIVE = UnitProperties("u", active_state="active", sub_state="running")
WAITING = UnitProperties("u", active_state="activating", sub_state="auto-restart")
JUST_STOPPED = UnitProperties("u", active_state="inactive", sub_state="dead", job=(7, "/job/7"))
STOPPING = UnitProperties("u", active_state="deactivating", sub_state="stop-sigterm")
DEAD = UnitProperties("u", active_state="inactive", sub_state="dead")
FAILED = UnitProperties("u", active_state="failed", sub_state="failed")
UNITS = (None, ACTIVE, WAITING, STOPPING, DEAD, FAILED)


def record(intent: Intent, pending: Pending | None = None, error: str | None = None) -> ServiceRecord:
    return ServiceRecord(Identity(KindName.CORERL, "x"), "x", "/x.yaml", intent, pending, error=error)


@pytest.mark.parametrize(
    ("known", "unit", "fresh", "decision"),
    [
        (None, None, False, Decision.KEEP),
        (None, ACTIVE, False, Decision.ADOPT),
        (None, WAITING, True, Decision.ADOPT),
        (None, FAILED, False, Decision.ADOPT),
        (None, DEAD, False, Decision.KEEP),
        (None, STOPPING, False, Decision.KEEP),
        (record(RUNNING), ACTIVE, False, Decision.KEEP),
        (record(RUNNING), WAITING, False, Decision.KEEP),
        (record(RUNNING), STOPPING, False, Decision.KEEP),
        (record(RUNNING), None, False, Decision.WANT_STOPPED),
        (record(RUNNING), DEAD, False, Decision.WANT_STOPPED),
        (record(RUNNING), FAILED, False, Decision.WANT_STOPPED),
        (record(RUNNING), None, True, Decision.START),
        (record(RUNNING), DEAD, True, Decision.START),
        (record(RUNNING, Pending.START), None, False, Decision.START),
        (record(RUNNING, Pending.START), ACTIVE, False, Decision.KEEP),
        (record(RUNNING, error="no executable"), None, False, Decision.START),
        (record(STOPPED), None, False, Decision.KEEP),
        (record(STOPPED), None, True, Decision.KEEP),
        (record(STOPPED), DEAD, False, Decision.KEEP),
        (record(STOPPED), STOPPING, False, Decision.KEEP),
        (record(STOPPED), JUST_STOPPED, False, Decision.KEEP),
        (record(RUNNING), JUST_STOPPED, False, Decision.KEEP),
        (record(STOPPED), ACTIVE, False, Decision.WANT_RUNNING),
        (record(STOPPED), WAITING, False, Decision.WANT_RUNNING),
        (record(STOPPED, Pending.STOP), ACTIVE, False, Decision.STOP),
        (record(STOPPED, Pending.STOP), WAITING, True, Decision.STOP),
        (record(STOPPED, Pending.STOP), None, False, Decision.KEEP),
    ],
)
def test_decisions(known: ServiceRecord | None, unit: UnitProperties | None, fresh: bool, decision: Decision) -> None:  # noqa: FBT001
    assert decide(known, unit, fresh_systemd=fresh) is decision


@given(st.sampled_from(UNITS), st.sampled_from([None, Pending.STOP]))
def test_a_reboot_starts_nothing_that_was_stopped(unit: UnitProperties | None, pending: Pending | None) -> None:
    assert decide(record(STOPPED, pending), unit, fresh_systemd=True) is not Decision.START


@given(st.sampled_from(UNITS), st.sampled_from([None, Pending.START]), st.booleans())
def test_what_runs_and_is_wanted_is_never_touched(
    unit: UnitProperties | None,
    pending: Pending | None,
    fresh: bool,  # noqa: FBT001
) -> None:
    if unit is not None and not unit.at_rest:
        assert decide(record(RUNNING, pending), unit, fresh_systemd=fresh) is Decision.KEEP
