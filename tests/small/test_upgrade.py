"""What tells that a new version is no good."""

from dataclasses import replace

import pytest

from coredinator.agent.upgrade import trial_seconds, why_failed, why_unproven
from coredinator.service.identity import Identity
from coredinator.service.record import Health, Pending, ServiceRecord
from coredinator.service.state import Intent, Observation, State
from coredinator.services import KindName
from coredinator.services.health import HealthSection, ProbeType


def record(state: State, *, restarts: int = 0, error: str | None = None, health: Health | None = None) -> ServiceRecord:
    observed = Observation(state, main_pid=7, restarts=restarts, result="exit-code", exit_status=3)
    return ServiceRecord(
        Identity(KindName.CORERL, "x"), "x", "/x.yaml", Intent.RUNNING, error=error, health=health, observed=observed
    )


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (record(State.RUNNING), None),
        (record(State.STARTING), None),
        (record(State.RUNNING, health=Health(ok=True, detail="answers")), None),
        (record(State.RUNNING, health=Health(ok=False, detail="answered 503")), "answered 503"),
        (record(State.FAILED), "exit status 3"),
        (record(State.RUNNING, restarts=1), "exit status 3"),
        (record(State.STOPPED, error="no executable"), "no executable"),
        (replace(record(State.FAILED), pending=Pending.START), None),
    ],
)
def test_failures_are_known_at_once(now: ServiceRecord, words: str | None) -> None:
    reason = why_failed(now)
    assert reason is None if words is None else words in str(reason)


@pytest.mark.parametrize(
    ("state", "probed", "words"),
    [(State.RUNNING, False, None), (State.STARTING, False, "starting"), (State.RUNNING, True, "not healthy")],
)
def test_at_the_end_of_its_grace_a_version_has_to_run_or_to_be_healthy(
    state: State,
    probed: bool,  # noqa: FBT001  # a table
    words: str | None,
) -> None:
    reason = why_unproven(record(state), 5, probed=probed)
    assert reason is None if words is None else words in str(reason)


@pytest.mark.parametrize(
    ("section", "seconds"),
    [
        (None, 10),
        (HealthSection(type=ProbeType.HTTP, grace=5), 30),
        (HealthSection(type=ProbeType.HTTP, grace=60), 60),
        (HealthSection(type=ProbeType.WATCHDOG, grace=60), 70),
    ],
)
def test_a_trial_lasts_longer_than_a_service_may_take_to_be_ready(
    section: HealthSection | None, seconds: float
) -> None:
    assert trial_seconds(section.check() if section else None) == seconds


def test_a_verdict_does_not_outlive_the_process() -> None:
    unwell = record(State.RUNNING, health=Health(ok=False, detail="answered 503"))
    assert unwell.state is State.FAILED
    assert unwell.with_observation(Observation(State.RUNNING, main_pid=7)).state is State.FAILED
    assert unwell.with_observation(Observation(State.RUNNING, main_pid=8)).state is State.RUNNING
    assert unwell.with_observation(Observation(State.STOPPED)).health is None
