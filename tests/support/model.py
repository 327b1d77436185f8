"""What somebody does to a host, and what is expected of its units then."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from tests.support.host import systemd_escape


class Unit(NamedTuple):
    """A service by its template and id."""

    kind: str
    id: str

    @property
    def name(self) -> str:
        return _name(self)


@functools.cache
def _name(unit: Unit) -> str:
    return systemd_escape(f"coredinator-{unit.kind}@.service", unit.id)


def corerl(agent: str) -> Unit:
    return Unit("agent", agent)


def coreio(name: str) -> Unit:
    return Unit("coreio", name)


class Wanted(StrEnum):
    """What somebody wants of a unit; SAME only lets its process change, GONE also drops its record."""

    RUNNING = "running"
    STOPPED = "stopped"
    SAME = "same"
    GONE = "gone"


class Outcome(StrEnum):
    """Whether an action took place; nobody knows of one that was cut short, and one that has no effect is refused."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Action:
    """Something that somebody does, and what it means for each unit concerned."""

    sort: str
    wishes: tuple[tuple[Unit, Wanted], ...]
    carry_out: Callable[[], Outcome]
    by_operator: bool = False

    @property
    def decided(self) -> set[Unit]:
        """The units whose intent it says."""
        return {unit for unit, wanted in self.wishes if wanted is not Wanted.SAME}


@dataclass
class Expected:
    """What may be wanted of a unit; `pid` is the process that must still be there."""

    intents: set[str] = field(default_factory=set[str])
    known: set[bool] = field(default_factory=lambda: {True})
    pid: int | None = None

    def take(self, wanted: Wanted, *, certain: bool) -> None:
        """Add what somebody wants now; if that is certain, nothing that was wanted before counts."""
        if wanted is not Wanted.RUNNING:
            self.pid = None
        match wanted:
            case Wanted.SAME:
                pass
            case Wanted.GONE:
                self.known = {False} if certain else self.known | {False}
                self.intents.add("stopped")
            case Wanted.STOPPED:  # also where nothing is known, and then nothing is afterwards
                self.intents = {wanted.value} if certain else self.intents | {wanted.value}
            case Wanted.RUNNING:
                self.intents = {wanted.value} if certain else self.intents | {wanted.value}
                self.known = {True} if certain else self.known | {True}
