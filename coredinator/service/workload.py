"""The properties of a workload's transient unit, and reading them back from a running one."""

from collections.abc import Mapping
from copy import replace
from pathlib import Path
from urllib.parse import quote, unquote

from coredinator.errors import InvalidLimits
from coredinator.service.drop_ins import setting_in
from coredinator.service.executable import parse_name
from coredinator.service.identity import Identity
from coredinator.service.record import ServiceRecord
from coredinator.service.state import Intent, Observation, observe
from coredinator.services import Definition, HealthCheck, Limits
from coredinator.services.limits import DEFAULTS, INFINITY, contradiction, limit_properties, setting_of
from coredinator.systemd import UnitProperties

SLICE = "coredinator.slice"
BACKOFF_SINCE = 254
"""The systemd that brought RestartSteps= and RestartMaxDelaySec= (systemd.service(5))."""

_MS = 1_000
_S = 1_000_000
_STOP_TIMEOUT_USEC = 5 * _S


def command_line(record: ServiceRecord, definition: Definition) -> list[str]:
    """The argument vector of a workload. Raises ValueError for a record without an executable."""
    if record.executable is None:
        raise ValueError(f"{record.unit} has no executable to run")
    takes_config = record.identity.spec.takes_config and record.config_path is not None
    config = ["--config-name", record.config_path] if takes_config and record.config_path else []
    return [record.executable, *config, *definition.arguments]


def refuse_contradiction(record: ServiceRecord, definition: Definition) -> None:
    """Raise InvalidLimits if the service's own limits and those of the settings file make no sense together."""
    if (problem := contradiction(effective_limits(record, definition))) is not None:
        raise InvalidLimits(problem)


def effective_limits(record: ServiceRecord, definition: Definition) -> Limits:
    """The limits of a service: its own, and for the rest those of the settings file."""
    return (record.limits or Limits()).over(definition.limits)


def own_limits(observed: Observation, definition: Definition | None) -> Limits | None:
    """The limits that a unit which was found running has of its own: not from the settings file or a drop-in."""
    general = definition.limits if definition else DEFAULTS
    own = {
        name: value
        for name, value in observed.limits.given().items()
        if getattr(general, name) != value and setting_in(observed.drop_ins, setting_of(name)) is None
    }
    return Limits(**own) if own else None


def workload_properties(record: ServiceRecord, definition: Definition, *, systemd_version: int) -> dict[str, object]:
    """Properties for StartTransientUnit. Raises ValueError for a record without an executable."""
    identity = record.identity
    argv = command_line(record, definition)
    return {
        "Description": identity.spec.description.format(id=identity.instance),
        **_readiness(definition.health),
        # Of what a path can hold systemd takes all but '$' literally here; find_executable and
        # load_config refuse that one, for no spelling of it survives a daemon-reload on 252 and 257.
        "ExecStart": [(argv[0], argv, False)],
        "Environment": tuple(f"{name}={value}" for name, value in definition.environment),
        "Slice": SLICE,
        "Restart": definition.restart.value,
        "StartLimitIntervalUSec": 0,
        "TimeoutStopUSec": _STOP_TIMEOUT_USEC,
        "SyslogIdentifier": identity.service_id,
        "LogExtraFields": [f"{name}={value}".encode() for name, value in _fields(record).items()],
        "CPUAccounting": True,
        "IOAccounting": True,
        "MemoryAccounting": True,
        "TasksAccounting": True,
        **limit_properties(effective_limits(record, definition).given()),
        "AddRef": True,
        **_restart_delays(systemd_version),
    }


def _readiness(health: HealthCheck | None) -> dict[str, object]:
    """When a unit counts as started, what waits for that, and what signs of life it owes to systemd."""
    if health is None or health.probed:
        # At shutdown the manager stops first, so that it never takes the shutdown for an operator's stop.
        return {"Type": "exec", "Before": ("coredinator.service",)}
    return {
        # It may never be ready, and no manager is to wait for that at its own start. At shutdown it asks systemd.
        "Type": "notify",
        # An executable may be a small loader whose child does the work, and sends the messages.
        "NotifyAccess": "all",
        "TimeoutStartUSec": int(health.grace * _S) or INFINITY,
        "WatchdogUSec": int(health.timeout * _S),
    }


def _restart_delays(systemd_version: int) -> dict[str, object]:
    if systemd_version < BACKOFF_SINCE:
        return {"RestartUSec": 500 * _MS}
    return {"RestartUSec": 100 * _MS, "RestartSteps": 8, "RestartMaxDelayUSec": 30 * _S}


def _fields(record: ServiceRecord) -> Mapping[str, str]:
    fields = {"COREDINATOR_AGENT": record.agent_id, "COREDINATOR_SERVICE": record.identity.service_id}
    if record.coreio_id is not None:
        # Quoted because a daemon-reload splits the values at blanks (seen with systemd 252).
        fields["COREDINATOR_COREIO"] = quote(record.coreio_id, safe="")
    return fields


def adopt(identity: Identity, unit: UnitProperties) -> ServiceRecord:
    """The record of a unit that runs but is not in the mirror, out of what systemd has of it."""
    fields = unit.extra_fields
    coreio_id = fields.get("COREDINATOR_COREIO")
    record = ServiceRecord(
        identity=identity,
        agent_id=fields.get("COREDINATOR_AGENT", identity.instance),
        config_path=None,
        intent=Intent.RUNNING if unit.is_up else Intent.STOPPED,
        coreio_id=unquote(coreio_id) if coreio_id else None,
        observed=observe(unit),
    )
    return as_it_runs(record, unit)


def as_it_runs(record: ServiceRecord, unit: UnitProperties) -> ServiceRecord:
    """The record with the executable and the config of the unit's command line."""
    argv = unit.argv
    executable = argv[0] if argv else None
    named = parse_name(Path(executable).name, record.identity.spec) if executable else None
    return replace(
        record,
        executable=executable,
        version=str(named.version) if named and named.version else None,
        config_path=argv[argv.index("--config-name") + 1] if "--config-name" in argv[:-1] else None,
    )
