"""Ids of services and the names of their units, both ways."""

import functools
from dataclasses import dataclass, field

from coredinator.errors import InvalidId
from coredinator.services import KINDS, Kind, KindName
from coredinator.systemd.escape import UNIT_NAME_MAX, escape, unescape

UNIT_PREFIX = "coredinator-"
WORKLOAD_PATTERN = "coredinator-*@*.service"
"""Every workload unit and none of Coredinator's own."""

_NAMES_KEPT = 4096
"""Each signal and each request asks for names, over and over again the same ones."""

_KIND_BY_PREFIX = {kind.unit_prefix: kind for kind in KINDS.values()}


@dataclass(frozen=True, slots=True)
class Identity:
    """Which service: its kind, and the instance that stands after the `@` of its unit's name, `unit`, escaped there."""

    kind: KindName
    instance: str
    unit: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # An id in a request may be of any length, and is not to fill memory.
        name = _unit_name if len(self.instance) <= UNIT_NAME_MAX else _unit_name.__wrapped__
        object.__setattr__(self, "unit", name(self.kind, self.instance))

    @property
    def service_id(self) -> str:
        """The id in the API: `backwash-corerl`, `backwash-coreio`."""
        return self.instance + self.spec.id_suffix

    @property
    def spec(self) -> Kind:
        """The data of the service's kind."""
        return KINDS[self.kind]


@functools.lru_cache(maxsize=_NAMES_KEPT)
def _unit_name(kind: KindName, instance: str) -> str:
    return f"{KINDS[kind].unit_prefix}@{escape(instance)}.service"


def identify(kind: KindName, instance: str) -> Identity:
    """The identity of a service. Raises InvalidId if `instance` cannot be part of a unit's name."""
    if not instance:
        raise InvalidId("the id is empty; give it at least one character")
    if "/" in instance or not instance.isprintable():
        raise InvalidId(f"id {instance!r} has a slash or a control character; use letters, digits, '-' and '_'")
    if instance in {".", ".."}:
        raise InvalidId(f"id {instance!r} names a folder in paths and URLs; use letters, digits, '-' and '_'")
    identity = Identity(kind, instance)
    if (length := len(identity.unit)) > UNIT_NAME_MAX:
        raise InvalidId(
            f"id {instance[:40]!r}… makes a unit name of {length} characters, "
            f"systemd allows {UNIT_NAME_MAX}; shorten it"
        )
    return identity


@functools.lru_cache(maxsize=_NAMES_KEPT)
def parse_unit(unit: str) -> Identity | None:
    """The service behind a unit's name, None if the unit is not a workload of ours."""
    prefix, at, rest = unit.removesuffix(".service").partition("@")
    kind = _KIND_BY_PREFIX.get(prefix)
    if kind is None or not at or not rest or not unit.endswith(".service"):
        return None
    try:
        return identify(kind.name, unescape(rest))
    except (InvalidId, ValueError):
        return None
