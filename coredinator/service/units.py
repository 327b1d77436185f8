"""What systemd says of the workload units, kept current by its signals."""

import asyncio
from collections.abc import Iterable, Mapping
from itertools import count

from coredinator.service.identity import WORKLOAD_PATTERN, parse_unit
from coredinator.systemd import ListedUnit, Listing, SystemdManager, UnitChanged, UnitProperties

_READ_ATTEMPTS = 5


class UnitCache:
    """The loaded workload units by name.

    An answer to a question can be older than a signal that was handled while it was on its way; an
    answer that a signal has overtaken is asked for again.
    """

    def __init__(self, systemd: SystemdManager) -> None:
        self._systemd = systemd
        self._units: dict[str, UnitProperties] = {}
        # When a unit was last heard of, in the order of all signals.
        self._signals: dict[str, int] = {}
        self._signal = count(1)
        self._removals: dict[str, asyncio.Event] = {}
        self._read: dict[str, bytes] = {}
        self._announced: dict[str, UnitProperties] = {}
        self._told_to_stop: set[str] = set()
        self._listing: Listing | None = None
        self._listed: Mapping[str, ListedUnit] = {}

    def get(self, unit: str) -> UnitProperties | None:
        """The unit as last heard of, None if it is not loaded."""
        return self._units.get(unit)

    def names(self) -> set[str]:
        """The names of all loaded units."""
        return set(self._units)

    def apply(self, event: UnitChanged) -> UnitProperties:
        """Take in a signal."""
        self._signals[event.unit] = next(self._signal)
        known = self._units.get(event.unit) or self._announced.pop(event.unit, None) or UnitProperties(event.unit)
        unit = known.merge(event.properties)
        self._units[event.unit] = unit
        if unit.is_up:
            self._told_to_stop.discard(event.unit)
        elif (unit.active_state == "deactivating" and unit.job[0]) or known.waits_to_restart:
            self._told_to_stop.add(event.unit)
        return unit

    def announce(self, unit: str, properties: Mapping[str, object]) -> None:
        """Take in what a unit is about to be made with, so that it need not be asked for."""
        self._announced[unit] = UnitProperties(unit).merge(properties)

    def was_told_to_stop(self, unit: str) -> bool:
        """Whether somebody was seen to stop the unit: without a job it ended by itself."""
        return unit in self._told_to_stop

    def announce_removal(self, unit: str) -> None:
        """Systemd says that it unloads the unit. A daemon-reload says so too: ask before believing it."""
        self._signals[unit] = next(self._signal)
        if (removal := self._removals.get(unit)) is not None:
            removal.set()

    async def list(self) -> Mapping[str, ListedUnit]:
        """The workloads that systemd has loaded, as it says now, without those that are only mentioned."""
        listing = await self._systemd.listing(WORKLOAD_PATTERN, self._listing)
        if listing is not self._listing:
            self._listing, self._listed = listing, _loaded(listing.units)
        return self._listed

    async def read(self, unit: str) -> UnitProperties:
        """Read all properties of a loaded unit."""
        for _ in range(_READ_ATTEMPTS):
            before = self._signals.get(unit)
            properties = await self._systemd.unit_properties(unit)
            self._read[unit] = properties.invocation_id
            if self._signals.get(unit) == before:
                self._units[unit] = properties
                return properties
            # What signals carry is newer than this answer; the rest comes with none.
            self._units[unit] = properties.merge_newer(self._units.get(unit, properties))
        return self._units[unit]

    async def state_since(self, unit: str) -> int | None:
        """When the state of a loaded unit last changed, in µs; None if it does so at this moment."""
        before = self._signals.get(unit)
        since = await self._systemd.state_change(unit)
        return since if self._signals.get(unit) == before else None

    def remember(self, unit: UnitProperties) -> UnitProperties | None:
        """Take in what is remembered of a unit, unless more is known; what is known then, None if it is outdated.

        It counts as not read.
        """
        known = self._units.setdefault(unit.name, unit)
        self._read.pop(unit.name, None)
        is_current = (known.active_state, known.sub_state, known.state_change_usec) == (
            unit.active_state, unit.sub_state, unit.state_change_usec,
        )  # fmt: skip
        return known if is_current else None

    def is_read(self, unit: str) -> bool:
        """Whether all properties were read since the unit was last started; what is set at its start is known then."""
        known = self._units.get(unit)
        return known is not None and self._read.get(unit) == known.invocation_id

    async def verify(self, unit: str) -> UnitProperties | None:
        """Ask whether the unit is loaded, and for its properties if so."""
        # Unit names hold no wildcards, and systemd takes a backslash literally (FNM_NOESCAPE).
        if not _loaded(await self._systemd.list_units(unit)):
            self._drop(unit)
            return None
        return await self.read(unit)

    def forget(self, unit: str) -> None:
        """Drop what is kept of a unit that is neither loaded nor known."""
        self._drop(unit)
        self._signals.pop(unit, None)
        self._told_to_stop.discard(unit)

    async def discard(self, unit: str, *, job_timeout: float, removal_timeout: float) -> None:
        """Make systemd forget the unit: stop it, clear its failure, give up our reference."""
        removal = self._removals.setdefault(unit, asyncio.Event())
        try:
            properties = await self.verify(unit)
            if properties is None:
                return
            if not properties.at_rest:
                await self._systemd.stop_unit(unit, job_timeout=job_timeout)
            removal.clear()
            await self._systemd.reset_failed(unit)
            await self._systemd.unref(unit)
            if await self.verify(unit) is not None:
                async with asyncio.timeout(removal_timeout):
                    await removal.wait()
                self._drop(unit)
        except TimeoutError:
            return  # somebody else holds it; whoever creates it next gets UnitExists
        finally:
            self._removals.pop(unit, None)

    def _drop(self, unit: str) -> None:
        self._units.pop(unit, None)
        self._read.pop(unit, None)
        self._announced.pop(unit, None)


def _loaded(listed: Iterable[ListedUnit]) -> Mapping[str, ListedUnit]:
    return {unit.name: unit for unit in listed if unit.load_state != "not-found" and parse_unit(unit.name)}
