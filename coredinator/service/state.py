"""States of a service, and how they follow from what systemd says."""

import functools
from copy import replace
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter

from coredinator.services import Limits
from coredinator.services.limits import INFINITY, NO_LIMITS, PROPERTIES, limit_properties
from coredinator.systemd import ListedUnit, UnitProperties
from coredinator.utils.quick_replace import quick_replace

_CGROUP_LIMITS = sorted(PROPERTIES.keys() - {"nice"})
_limits_of = attrgetter(*_CGROUP_LIMITS)


class State(StrEnum):
    """What is observed."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Intent(StrEnum):
    """What the last start or stop asked for, whoever gave it."""

    RUNNING = "running"
    STOPPED = "stopped"


def state_of(active_state: str, sub_state: str) -> State:
    """Map ActiveState and SubState of a unit; states that a newer systemd adds count as starting."""
    if sub_state.startswith("auto-restart"):
        return State.FAILED  # it died and waits for its next try
    match active_state:
        case "active" | "reloading" | "refreshing":
            return State.RUNNING
        case "deactivating":
            return State.STOPPING
        case "inactive":
            return State.STOPPED
        case "failed":
            return State.FAILED
        case _:
            return State.STARTING


@dataclass(frozen=True, slots=True)
class Observation:
    """What systemd last said of a unit, in the words of the API; the default is 'not loaded'."""

    state: State = State.STOPPED
    main_pid: int | None = None
    since: datetime | None = None
    restarts: int = 0
    result: str | None = None
    exit_status: int | None = None
    control_group: str = ""
    drop_ins: tuple[str, ...] = ()
    frozen: bool = False
    limits: Limits = NO_LIMITS

    __replace__ = quick_replace


NOT_LOADED = Observation()


def observe(unit: UnitProperties | None) -> Observation:
    """Turn a unit's properties into an observation.

    `exit_status` is the exit code or signal number of the last main process (ExecMainStatus), None
    while it runs or if it never did. `limits` are those in force, drop-ins included.
    """
    if unit is None:
        return NOT_LOADED
    return Observation(
        state=state_of(unit.active_state, unit.sub_state),
        main_pid=unit.main_pid or None,
        since=_time(unit.state_change_usec),
        restarts=unit.n_restarts,
        result=unit.result,
        exit_status=unit.exec_main_status if unit.exec_main_code else None,
        control_group=unit.control_group,
        drop_ins=unit.drop_in_paths,
        frozen=unit.freezer_state in {"freezing", "frozen", "frozen-by-parent"},
        limits=_limits(unit),
    )


def remembered(row: ListedUnit, since_usec: int, observed: Observation, limits: Limits) -> UnitProperties | None:
    """A loaded unit out of the last observation of it and its limits, None if its state has changed since."""
    state = state_of(row.active_state, row.sub_state)
    if row.job_id or (state, _time(since_usec)) != (observed.state, observed.since):
        return None
    unit = UnitProperties(
        row.name,
        active_state=row.active_state,
        sub_state=row.sub_state,
        main_pid=observed.main_pid or 0,
        result=observed.result or "success",
        exec_main_code=0 if observed.exit_status is None else 1,
        exec_main_status=observed.exit_status or 0,
        n_restarts=observed.restarts,
        state_change_usec=since_usec,
        control_group=observed.control_group,
        drop_in_paths=observed.drop_ins,
    )
    return unit.merge(limit_properties(limits.given()))


def gone(observed: Observation) -> Observation:
    """What remains to be said of a unit that is no longer loaded."""
    return replace(
        observed, state=State.STOPPED, main_pid=None, control_group="", drop_ins=(), frozen=False, limits=NO_LIMITS
    )


def _time(usec: int) -> datetime | None:
    return datetime.fromtimestamp(usec / 1_000_000, UTC) if usec else None


def _limits(unit: UnitProperties) -> Limits:
    return _in_force(_limits_of(unit), unit.nice)


@functools.lru_cache
def _in_force(values: tuple[int, ...], nice: int) -> Limits:
    """Most services have the same."""
    given = {name: value for name, value in zip(_CGROUP_LIMITS, values, strict=True) if value != INFINITY}
    return Limits(**given, nice=nice or None)
