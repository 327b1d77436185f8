"""How states follow from what systemd says, and an agent's from its services'."""

import pytest

from coredinator.agent.status import agent_state
from coredinator.service.state import Intent, State, observe, state_of
from coredinator.systemd import UnitProperties


@pytest.mark.parametrize(
    ("active", "sub", "state"),
    [
        ("activating", "start", State.STARTING),
        ("activating", "start-pre", State.STARTING),
        ("activating", "auto-restart", State.FAILED),
        ("activating", "auto-restart-queued", State.FAILED),
        ("active", "running", State.RUNNING),
        ("reloading", "reload", State.RUNNING),
        ("deactivating", "stop-sigterm", State.STOPPING),
        ("deactivating", "final-sigkill", State.STOPPING),
        ("inactive", "dead", State.STOPPED),
        ("failed", "failed", State.FAILED),
        ("maintenance", "unheard-of", State.STARTING),
    ],
)
def test_unit_states(active: str, sub: str, state: State) -> None:
    assert state_of(active, sub) is state


@pytest.mark.parametrize(
    ("intent", "services", "state"),
    [
        (Intent.STOPPED, [State.STOPPED, State.RUNNING], State.STOPPED),
        (Intent.STOPPED, [State.FAILED, State.FAILED], State.STOPPED),
        (Intent.RUNNING, [State.RUNNING, State.FAILED], State.FAILED),
        (Intent.RUNNING, [State.RUNNING, State.RUNNING], State.RUNNING),
        (Intent.RUNNING, [State.STOPPED, State.STOPPED], State.STOPPED),
        (Intent.RUNNING, [State.RUNNING, State.STOPPED], State.STARTING),
        (Intent.RUNNING, [State.STARTING, State.RUNNING], State.STARTING),
        (Intent.RUNNING, [State.STOPPING, State.RUNNING], State.STARTING),
    ],
)
def test_agent_states(intent: Intent, services: list[State], state: State) -> None:
    assert agent_state(intent, services) is state


def unit(**changes: object) -> UnitProperties:
    return UnitProperties("coredinator-agent@x.service").merge(changes)


def test_a_process_that_runs_has_no_exit_status() -> None:
    observed = observe(unit(ActiveState="active", SubState="running", MainPID=7, ExecMainStatus=0, ExecMainCode=0))
    assert (observed.main_pid, observed.exit_status) == (7, None)


def test_a_killed_process_shows_its_signal() -> None:
    observed = observe(
        unit(ActiveState="activating", SubState="auto-restart", Result="signal", ExecMainCode=2, ExecMainStatus=9)
    )
    assert (observed.state, observed.result, observed.exit_status) == (State.FAILED, "signal", 9)


@pytest.mark.parametrize(
    ("changes", "rests"),
    [
        ({"ActiveState": "inactive"}, True),
        ({"ActiveState": "failed"}, True),
        ({"ActiveState": "inactive", "Job": [7, "/job/7"]}, False),
        ({"ActiveState": "failed", "SubState": "failed-before-auto-restart"}, False),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, False),
        ({"ActiveState": "deactivating"}, False),
        ({"ActiveState": "active"}, False),
    ],
)
def test_a_unit_at_rest_has_no_process_and_none_to_come(changes: dict[str, object], rests: bool) -> None:  # noqa: FBT001
    assert unit(**changes).at_rest is rests


def test_properties_of_no_interest_are_ignored() -> None:
    assert unit(SomethingNew=1, ActiveState="active") == unit(ActiveState="active")
