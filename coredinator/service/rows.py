"""Records and transitions as rows of the mirror, both ways."""

import functools
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from coredinator.service.identity import identify
from coredinator.service.record import Health, Pending, ServiceRecord
from coredinator.service.state import Intent, Observation, State
from coredinator.services import KindName, Limits
from coredinator.store import Row


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of a service's state, or of what is wanted of it; `cause` says why or who."""

    at: datetime
    unit: str
    previous_state: str
    state: str
    cause: str
    main_pid: int | None
    result: str | None
    exit_status: int | None
    restarts: int


def record_to_row(record: ServiceRecord) -> Row:
    """A row of `services`."""
    observed = record.observed
    return {
        "unit": record.unit,
        "kind": record.identity.kind.value,
        "instance": record.identity.instance,
        "agent_id": record.agent_id,
        "config_path": record.config_path,
        "intent": record.intent.value,
        "pending": record.pending.value if record.pending else None,
        "executable": record.executable,
        "version": record.version,
        "pinned_version": record.pinned_version,
        "previous_version": record.previous_version,
        "coreio_id": record.coreio_id,
        "error": record.error,
        "limits": json.dumps(record.limits.given()) if record.limits else None,
        "health": json.dumps(asdict(record.health)) if record.health else None,
        "state": observed.state.value,
        "main_pid": observed.main_pid,
        "since": observed.since.isoformat() if observed.since else None,
        "restarts": observed.restarts,
        "result": observed.result,
        "exit_status": observed.exit_status,
        "control_group": observed.control_group,
        "drop_ins": _drop_ins(observed.drop_ins),
        "frozen": int(observed.frozen),
    }


@functools.lru_cache
def _drop_ins(paths: tuple[str, ...]) -> str:
    """Most services have the same."""
    return json.dumps(paths)


def record_from_row(row: Row) -> ServiceRecord:
    """Read a row of `services`.

    Raises ValueError, TypeError, AttributeError or InvalidId for one that makes no sense.
    """
    return ServiceRecord(
        identity=identify(KindName(row["kind"]), row["instance"]),
        agent_id=row["agent_id"],
        config_path=row["config_path"],
        intent=Intent(row["intent"]),
        pending=Pending(row["pending"]) if row["pending"] else None,
        executable=row["executable"],
        version=row["version"],
        pinned_version=row["pinned_version"],
        previous_version=row["previous_version"],
        coreio_id=row["coreio_id"],
        error=row["error"],
        limits=_limits(json.loads(row["limits"])) if row["limits"] else None,
        health=Health(**json.loads(row["health"])) if row["health"] else None,
        observed=Observation(
            state=State(row["state"]),
            main_pid=row["main_pid"],
            since=datetime.fromisoformat(row["since"]) if row["since"] else None,
            restarts=row["restarts"],
            result=row["result"],
            exit_status=row["exit_status"],
            control_group=row["control_group"],
            drop_ins=tuple(json.loads(row["drop_ins"])),
            frozen=bool(row["frozen"]),
        ),
    )


def _limits(values: dict[str, Any]) -> Limits:
    if not all(isinstance(value, int) for value in values.values()):
        raise ValueError(f"limits {values} are no numbers")
    return Limits(**values)


def transition_to_row(transition: Transition) -> Row:
    """A row of `transitions`."""
    return {
        "at": transition.at.isoformat(),
        "unit": transition.unit,
        "previous_state": transition.previous_state,
        "state": transition.state,
        "cause": transition.cause,
        "main_pid": transition.main_pid,
        "result": transition.result,
        "exit_status": transition.exit_status,
        "restarts": transition.restarts,
    }


def transition_from_row(row: Row) -> Transition:
    """Read a row of `transitions`."""
    values: dict[str, Any] = {name: row[name] for name in Transition.__dataclass_fields__}
    values["at"] = datetime.fromisoformat(row["at"])
    return Transition(**values)
