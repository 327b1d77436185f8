"""What systemd tells, as frozen dataclasses."""

from collections.abc import Iterable, Mapping, Sequence
from copy import replace
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import cast

from coredinator.utils.quick_replace import quick_replace


class JobResult(StrEnum):
    """How a job ended (JobRemoved in org.freedesktop.systemd1(5))."""

    DONE = "done"
    CANCELED = "canceled"
    TIMEOUT = "timeout"
    FAILED = "failed"
    DEPENDENCY = "dependency"
    SKIPPED = "skipped"
    OTHER = "other"

    @classmethod
    def _missing_(cls, value: object) -> "JobResult":  # noqa: ARG003  # the name is enum's
        return cls.OTHER  # newer versions of systemd add results


@dataclass(frozen=True, slots=True)
class Identity:
    """Which run of systemd this is: it changes with a reboot or with a new user manager.

    A container has its host's boot id, and a host without a clock may start at the same time twice,
    so both count. `daemon-reexec` keeps the start time.
    """

    boot_id: str
    started_usec: int

    def __str__(self) -> str:
        return f"{self.boot_id}/{self.started_usec}"


@dataclass(frozen=True, slots=True)
class ListedUnit:
    """One row of ListUnitsByPatterns."""

    name: str
    load_state: str
    active_state: str
    sub_state: str
    job_id: int


class Interface(StrEnum):
    """The part of a unit's D-Bus object whose PropertiesChanged carries a property."""

    UNIT = "org.freedesktop.systemd1.Unit"
    SERVICE = "org.freedesktop.systemd1.Service"


def _dbus(name: str, signalled: Interface | None = None) -> dict[str, str | None]:
    """The property of a field, and which signal tells that it changed (org.freedesktop.systemd1(5)); None does."""
    return {"dbus": name, "signalled": signalled}


def _of_unit(name: str) -> dict[str, str | None]:
    return _dbus(name, Interface.UNIT)


def _of_service(name: str) -> dict[str, str | None]:
    return _dbus(name, Interface.SERVICE)


UNLIMITED = 2**64 - 1
"""systemd's number for a limit or a weight that is not set."""


@dataclass(frozen=True, slots=True)
class UnitProperties:
    """The properties of a service unit that Coredinator reads; times in µs since the epoch."""

    name: str
    active_state: str = field(default="inactive", metadata=_of_unit("ActiveState"))
    sub_state: str = field(default="dead", metadata=_of_unit("SubState"))
    job: tuple[int, str] = field(default=(0, "/"), metadata=_of_unit("Job"))
    main_pid: int = field(default=0, metadata=_of_service("MainPID"))
    result: str = field(default="success", metadata=_of_service("Result"))
    exec_main_code: int = field(default=0, metadata=_of_service("ExecMainCode"))
    exec_main_status: int = field(default=0, metadata=_of_service("ExecMainStatus"))
    n_restarts: int = field(default=0, metadata=_of_service("NRestarts"))
    state_change_usec: int = field(default=0, metadata=_of_unit("StateChangeTimestamp"))
    invocation_id: bytes = field(default=b"", metadata=_of_unit("InvocationID"))
    control_group: str = field(default="", metadata=_dbus("ControlGroup"))
    drop_in_paths: tuple[str, ...] = field(default=(), metadata=_dbus("DropInPaths"))
    exec_start: tuple[tuple[object, ...], ...] = field(default=(), metadata=_dbus("ExecStart"))
    log_extra_fields: tuple[bytes, ...] = field(default=(), metadata=_dbus("LogExtraFields"))
    memory_max: int = field(default=UNLIMITED, metadata=_dbus("MemoryMax"))
    memory_high: int = field(default=UNLIMITED, metadata=_dbus("MemoryHigh"))
    cpu_quota: int = field(default=UNLIMITED, metadata=_dbus("CPUQuotaPerSecUSec"))
    cpu_weight: int = field(default=UNLIMITED, metadata=_dbus("CPUWeight"))
    tasks_max: int = field(default=UNLIMITED, metadata=_dbus("TasksMax"))
    io_weight: int = field(default=UNLIMITED, metadata=_dbus("IOWeight"))
    nice: int = field(default=0, metadata=_dbus("Nice"))
    freezer_state: str = field(default="running", metadata=_of_unit("FreezerState"))
    status_text: str = field(default="", metadata=_of_service("StatusText"))

    __replace__ = quick_replace

    def merge(self, changed: Mapping[str, object]) -> "UnitProperties":
        """A copy with the D-Bus properties in `changed`, itself if it has them; unknown names are ignored."""
        news: dict[str, object] = {}
        for dbus_name, value in changed.items():
            name = FIELD_BY_DBUS_NAME.get(dbus_name)
            if name is not None:
                frozen = value if isinstance(value, _SCALARS) else _freeze(value)
                if getattr(self, name) != frozen:
                    news[name] = frozen
        return replace(self, **news) if news else self

    def merge_newer(self, signalled: "UnitProperties") -> "UnitProperties":
        """A copy with what systemd's signals carry, taken from `signalled`."""
        return replace(self, **{name: getattr(signalled, name) for name in _SIGNALLED})

    @property
    def at_rest(self) -> bool:
        """No process and none to come: inactive or failed, no job queued (a restart has one).

        On its way to an automatic restart a unit passes through such a state for an instant; from
        systemd 254 on its sub-state tells, before that only a second look does.
        """
        return (
            self.active_state in {"inactive", "failed"}
            and self.job[0] == 0
            and not self.sub_state.endswith("-before-auto-restart")
        )

    @property
    def is_up(self) -> bool:
        """Running, on its way there, or about to try again.

        Not the opposite of `at_rest`: systemd tells that a job has ended before it tells that the
        unit has none any more, so a stopped unit can have one for an instant.
        """
        return self.active_state not in {"inactive", "failed", "deactivating"}

    @property
    def waits_to_restart(self) -> bool:
        """It died and has no process until systemd restarts it."""
        return self.sub_state.startswith("auto-restart")

    @property
    def argv(self) -> tuple[str, ...]:
        """The command line of ExecStart=, empty if there is none."""
        if not self.exec_start:
            return ()
        return tuple(cast("tuple[str, ...]", self.exec_start[0][1]))

    @property
    def extra_fields(self) -> dict[str, str]:
        """LogExtraFields= as a mapping."""
        pairs = (raw.decode(errors="replace").partition("=") for raw in self.log_extra_fields)
        return {name: value for name, _, value in pairs}


_PROPERTIES = tuple(item for item in fields(UnitProperties) if "dbus" in item.metadata)
_SIGNALLED = tuple(item.name for item in _PROPERTIES if item.metadata["signalled"])

FIELD_BY_DBUS_NAME: Mapping[str, str] = {item.metadata["dbus"]: item.name for item in _PROPERTIES}
SIGNALLED_BY: Mapping[Interface, Sequence[str]] = {
    interface: [item.metadata["dbus"] for item in _PROPERTIES if item.metadata["signalled"] is interface]
    for interface in Interface
}
"""The properties that a signal carries each time, by their D-Bus names."""


_SCALARS = (str, int, bytes)


def _freeze(value: object) -> object:
    if isinstance(value, list | tuple):
        return tuple(_freeze(item) for item in cast("Iterable[object]", value))
    return value


@dataclass(frozen=True, slots=True)
class Connected:
    """systemd can be reached, for the first time or again: everything known before may be stale."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The bus or systemd went away; calls fail until `Connected`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reloaded:
    """`daemon-reload` ended: drop-ins may have changed."""


@dataclass(frozen=True, slots=True)
class UnitChanged:
    """Properties of a unit changed, by their D-Bus names."""

    unit: str
    properties: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class UnitRemoved:
    """systemd unloaded the unit."""

    unit: str


type Event = Connected | Disconnected | Reloaded | UnitChanged | UnitRemoved
