"""Limits on what a service may use: as they are written, and as systemd takes them (systemd.resource-control(5))."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

INFINITY = 2**64 - 1
"""What systemd takes for no limit, and for a weight that is not set."""

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SMALLEST_MEMORY = 2**20
_USEC_PER_PERCENT = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service may use; None leaves it to the next best: the kind's limit, or systemd's default.

    Memory in bytes, `cpu_quota` in µs of CPU time per second, INFINITY for no limit.
    """

    memory_max: int | None = None
    memory_high: int | None = None
    cpu_quota: int | None = None
    cpu_weight: int | None = None
    tasks_max: int | None = None
    io_weight: int | None = None
    nice: int | None = None

    def over(self, other: "Limits") -> "Limits":
        """These limits, with those of `other` where there are none."""
        mine = self.given()
        return Limits(**(other.given() | mine))

    def given(self) -> dict[str, int]:
        """The limits that are set, by name."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def shown(self) -> dict[str, int | str]:
        """The limits that are set, as they may be written: bytes, per cent, `infinity`."""
        return {name: _show(name, value) for name, value in self.given().items()}


PROPERTIES: Mapping[str, str] = {
    "memory_max": "MemoryMax",
    "memory_high": "MemoryHigh",
    "cpu_quota": "CPUQuotaPerSecUSec",
    "cpu_weight": "CPUWeight",
    "tasks_max": "TasksMax",
    "io_weight": "IOWeight",
    "nice": "Nice",
}
"""The unit property of each limit on D-Bus."""

AT_START_ONLY = frozenset({"nice"})
"""Limits that systemd takes when it makes a process, and that a running one keeps."""

NO_LIMITS = Limits()

DEFAULTS = Limits(tasks_max=4096)
"""Limits of every service for which nobody sets others: a fork bomb ends there."""


def setting_of(limit: str) -> str:
    """The name of a limit in a unit file."""
    return PROPERTIES[limit].removesuffix("PerSecUSec")


def limit_properties(limits: Mapping[str, int]) -> dict[str, object]:
    """Unit properties for limits by name."""
    return {PROPERTIES[name]: value for name, value in limits.items()}


def changes(before: Limits, after: Limits) -> dict[str, int]:
    """What to set on a loaded unit to get from some limits to others, by name; one that is gone is lifted."""
    old, new = before.given(), after.given()
    changed = {name: new.get(name, INFINITY) for name in old | new if old.get(name) != new.get(name)}
    return {name: value for name, value in changed.items() if name not in AT_START_ONLY}


def read_size(value: object) -> int:
    """Bytes of `512M`, `2G`, `1073741824` or `infinity`; K, M, G and T are powers of 1024."""
    if value == "infinity":
        return INFINITY
    match = re.fullmatch(r"(\d{1,20}(?:\.\d{1,9})?)\s*([KMGT]?)B?", _written(value), re.IGNORECASE | re.ASCII)
    if match is None:
        raise ValueError("is no size; write bytes, or 512M, 2G, infinity")
    size = int(Decimal(match[1]) * _UNITS[match[2].upper()])
    if not _SMALLEST_MEMORY <= size < INFINITY:
        raise ValueError("is no size a process could live with; give at least 1M")
    return size


def read_quota(value: object) -> int:
    """µs of CPU time per second out of `150%` or `infinity`; 100% is one whole CPU."""
    if value == "infinity":
        return INFINITY
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*%", _written(value), re.ASCII)
    if match is None:
        raise ValueError("is no share of CPU time; write 50%, 150% (one and a half CPUs) or infinity")
    quota = int(Decimal(match[1]) * _USEC_PER_PERCENT)
    if not _USEC_PER_PERCENT <= quota <= _USEC_PER_PERCENT * 1_000_000:
        raise ValueError("is out of range; give at least 1%")
    return quota


def read_count(value: object) -> int:
    """A number of tasks (processes and threads), or `infinity`."""
    if value == "infinity":
        return INFINITY
    text = _written(value)
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) < 1:
        raise ValueError("is no number of tasks; give 1 or more, or infinity")
    return int(text)


type Size = Annotated[int, BeforeValidator(read_size, json_schema_input_type=int | str)]
type Quota = Annotated[int, BeforeValidator(read_quota, json_schema_input_type=str)]
type Count = Annotated[int, BeforeValidator(read_count, json_schema_input_type=int | str)]
type Weight = Annotated[int, Field(ge=1, le=10_000, strict=True)]


class LimitsModel(BaseModel):
    """Limits on what a service may use; null or absent leaves it to the settings file's, or to systemd's default."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"memory_max": "512M", "cpu_quota": "150%", "tasks_max": 200}]}
    )

    memory_max: Size | None = Field(
        default=None, description="Above this the kernel ends the service (result `oom-kill`): bytes, or 512M, 2G"
    )
    memory_high: Size | None = Field(default=None, description="Above this the service is slowed down")
    cpu_quota: Quota | None = Field(default=None, description="Share of CPU time: 150% is one and a half CPUs")
    cpu_weight: Weight | None = Field(
        default=None, description="Share among services that compete for CPU; 100 is usual"
    )
    tasks_max: Count | None = Field(default=None, description="Processes and threads (4096 unless set)")
    io_weight: Weight | None = Field(
        default=None, description="Share among services that compete for disks; 100 is usual"
    )
    nice: Annotated[int, Field(ge=-20, le=19, strict=True)] | None = Field(
        default=None, description="Priority, -20 (first) to 19 (last); a change applies at the next start"
    )

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if (problem := contradiction(self.limits())) is not None:
            raise ValueError(problem)
        return self

    def limits(self) -> Limits:
        """The limits as data."""
        return Limits(**self.model_dump())

    def changed(self, limits: Limits) -> Limits:
        """`limits` with what this model names: a value sets it, an explicit null takes it away."""
        named = {name: getattr(self, name) for name in self.model_fields_set}
        return Limits(**{**limits.given(), **named})


def contradiction(limits: Limits) -> str | None:
    """Why limits make no sense together, None if they do."""
    high, most = limits.memory_high, limits.memory_max
    if high is not None and most is not None and most < high < INFINITY:
        return f"memory_high ({high}) is above memory_max ({most}), so it would never be reached; lower it"
    return None


def _show(name: str, value: int) -> int | str:
    if value == INFINITY:
        return "infinity"
    return f"{value / _USEC_PER_PERCENT:g}%" if name == "cpu_quota" else value


def _written(value: object) -> str:
    """A number or a text as it was written; nothing for all that is neither."""
    return str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
