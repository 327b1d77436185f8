"""Turning what systemd says of units into what the records say of services."""

import logging
from collections.abc import Callable
from copy import replace
from enum import IntEnum

from coredinator.logs import MessageId
from coredinator.service.decide import Decision, decide
from coredinator.service.identity import parse_unit
from coredinator.service.record import ServiceRecord
from coredinator.service.registry import Registry, log_fields
from coredinator.service.state import gone, observe, remembered
from coredinator.service.units import UnitCache
from coredinator.service.workload import adopt, as_it_runs, effective_limits, own_limits
from coredinator.services import Catalogue
from coredinator.services.limits import NO_LIMITS
from coredinator.systemd import ListedUnit, SystemdManager, UnitProperties

_log = logging.getLogger(__name__)


class Look(IntEnum):
    """How to look at a unit before deciding: the last signal is enough, it is loaded, it may be gone."""

    NONE = 0
    READ = 1
    VERIFY = 2


class Observer:
    """Reads units and has the records follow; `cause` says why a service's state changes if it does so now."""

    def __init__(
        self,
        systemd: SystemdManager,
        registry: Registry,
        units: UnitCache,
        catalogue: Catalogue,
        cause: Callable[[ServiceRecord], str],
    ) -> None:
        self._systemd = systemd
        self._registry = registry
        self._units = units
        self._catalogue = catalogue
        self._cause = cause

    def observed(self, unit: UnitProperties) -> None:
        """Have the record of a known unit follow."""
        record = self._registry.get(unit.name)
        if record is not None:
            self._registry.observe(unit.name, observe(unit), self._cause(record))

    async def recognise(self, row: ListedUnit) -> bool:
        """Whether a loaded unit is in the state in which its record has it; then its state is known.

        One question, where reading all of it is a hundred times as much to send. What changes without
        the state, such as drop-ins and limits, is not known so. Where something was cut short the record
        may say more than was done: that unit is to be read.
        """
        record = self._registry.get(row.name)
        if record is None or record.pending is not None or record.previous_version is not None:
            return False
        since = await self._units.state_since(row.name)
        if since is None:
            return False
        definition = self._catalogue.find(record.identity.kind, record.identity.instance)
        limits = effective_limits(record, definition) if definition else record.limits or NO_LIMITS
        unit = remembered(row, since, record.observed, limits)
        known = None if unit is None else self._units.remember(unit)
        if known is None:
            return False
        self.observed(known)
        return True

    async def take_up(self, name: str) -> None:
        """Hold a loaded unit by a reference of this connection, and read it; one that is not known is adopted."""
        if self._registry.get(name) is not None:
            await self._systemd.ref(name)
            await self.refresh(name)
            return
        unit = await self._units.read(name)
        if decide(self._registry.get(name), unit, fresh_systemd=False) is Decision.ADOPT:
            await self._systemd.ref(name)
            self._adopt(unit)

    async def look(self, name: str, look: Look) -> None:
        """Look at a unit."""
        match look:
            case Look.READ if self._units.get(name) is not None and not self._units.is_read(name):
                await self.take_up(name)
            case Look.VERIFY:
                await self.verify(name)
            case _:
                pass

    async def refresh(self, name: str) -> None:
        """Read a loaded unit anew."""
        self.observed(await self._units.read(name))

    async def verify(self, name: str) -> None:
        """Read a unit anew that may be gone; how it ended stays known."""
        unit = await self._units.verify(name)
        if unit is not None:
            self.observed(unit)
        elif (record := self._registry.get(name)) is not None:
            self.gone(record)

    def gone(self, record: ServiceRecord) -> None:
        """Have the record of a unit that is not loaded any more follow."""
        self._registry.observe(record.unit, gone(record.observed), "systemd")

    def correct(self, name: str) -> None:
        """Have the record say what runs, also where a restart had another executable in mind and was cut short."""
        record, unit = self._registry.get(name), self._units.get(name)
        if record is not None and unit is not None and runs_another(record, unit):
            self._registry.update(as_it_runs(record, unit), "recovery")

    def _adopt(self, unit: UnitProperties) -> None:
        identity = parse_unit(unit.name)
        if identity is None:
            return
        record = adopt(identity, unit)
        definition = self._catalogue.find(identity.kind, identity.instance)
        record = replace(record, limits=own_limits(record.observed, definition))
        self._registry.adopt(record)
        _log.info("%s adopted", identity.service_id, extra=log_fields(record, MessageId.SERVICE_ADOPTED))


def runs_another(record: ServiceRecord, unit: UnitProperties) -> bool:
    """Whether another executable runs than the one in the record."""
    return unit.is_up and bool(unit.argv) and unit.argv[0] != record.executable
