"""Comparing all that systemd has loaded with all that is known, and with what is wanted."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from copy import replace
from typing import Protocol

from coredinator.service.decide import Decision, decide
from coredinator.service.identity import parse_unit
from coredinator.service.late_reads import LateReads
from coredinator.service.observer import Look, Observer
from coredinator.service.record import Pending, ServiceRecord
from coredinator.service.registry import Registry
from coredinator.service.state import State
from coredinator.service.units import UnitCache
from coredinator.systemd import ListedUnit, SystemdUnavailable

_PATIENCE = 2.0
"""Seconds for which a request waits until all that is loaded is known."""
_AT_ONCE = 32
"""Units that are asked about at a time; each answer may be 20 kB."""


class SettleSoon(Protocol):
    """Decides about a unit soon, after a look at it."""

    def __call__(self, name: str, look: Look = Look.NONE) -> None:
        """Have it decided."""
        ...


class Stocktaking:
    """What is done at each connection to systemd, after a reload, and on the slow timer.

    `settle` decides about one unit at once, `settle_soon` when whoever holds its lock is done.
    """

    def __init__(
        self,
        registry: Registry,
        units: UnitCache,
        observer: Observer,
        late_reads: LateReads,
        settle: Callable[[str], Awaitable[None]],
        settle_soon: SettleSoon,
    ) -> None:
        self._registry = registry
        self._units = units
        self._observer = observer
        self._late_reads = late_reads
        self._settle = settle
        self._settle_soon = settle_soon
        self._connections = 0
        self._current = asyncio.Event()

    @property
    def is_current(self) -> bool:
        """Whether all that is loaded has been looked at since systemd was last met."""
        return self._current.is_set()

    def outdate(self) -> None:
        """Note that systemd has gone, or is another one: what was known says nothing of it."""
        self._connections += 1
        self._current.clear()

    async def wait_current(self) -> None:
        """Return once all that is loaded is known. Raises SystemdUnavailable."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._current.wait()
        except TimeoutError:
            raise SystemdUnavailable("the units of systemd are not known yet; try again in a moment") from None

    async def take(self, *, fresh: bool, autostart: Iterable[ServiceRecord] = ()) -> list[ServiceRecord]:
        """Learn what is loaded, adopt what is not known, and return the starts that are due.

        With `fresh` this run of systemd has not been asked for the wanted services yet. Those in
        `autostart` of which nothing is known are due, too. `carry_out` starts them.
        """
        connection = self._connections
        listed = await self._units.list()
        for name in sorted(self._units.names() - listed.keys()):
            await self._observer.verify(name)
        for record in self._registry.all():
            # Whatever has been loaded since the list was made has sent a signal.
            loaded = record.unit in listed or self._units.get(record.unit) is not None
            if not loaded and record.observed.state is not State.STOPPED:
                self._observer.gone(record)
        limit = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(self._learn(row, limit) for row in listed.values()))
        wanted = [
            record
            for record in self._registry.all()
            if decide(record, self._units.get(record.unit), fresh_systemd=fresh) is Decision.START
        ]
        wanted += [
            record
            for record in autostart
            if self._registry.get(record.unit) is None and self._units.get(record.unit) is None
        ]
        due = [replace(record, pending=Pending.START) for record in wanted]
        for record in due:
            self._registry.update(record, "recovery")
        if connection == self._connections:
            self._current.set()
        return due

    async def carry_out(self) -> None:
        """Start and stop what is due, in the order of the kinds."""
        identities = {name: parse_unit(name) for name in sorted(self._names())}
        for rank in sorted({identity.spec.start_rank for identity in identities.values() if identity}):
            ranked = [name for name, of in identities.items() if of and of.spec.start_rank == rank]
            await asyncio.gather(*(self._settle(name) for name in ranked))

    async def resynchronise(self) -> None:
        """Catch up with what no signal told, and retry what failed: a start, or to write something down."""
        listed = await self._units.list()
        for name, row in listed.items():
            unit = self._units.get(name)
            if unit is None or (unit.active_state, unit.sub_state) != (row.active_state, row.sub_state):
                await self._observer.refresh(name)
                self._settle_soon(name)
        for name in sorted(self._units.names() - listed.keys()):
            self._settle_soon(name, Look.VERIFY)
        for name in self._names():
            record = self._registry.get(name)
            decision = decide(record, self._units.get(name), fresh_systemd=False)
            if record is None or record.pending is not None or decision is not Decision.KEEP:
                self._settle_soon(name)

    def _names(self) -> set[str]:
        """All units that are loaded or known."""
        return self._units.names() | {record.unit for record in self._registry.all()}

    async def _learn(self, row: ListedUnit, limit: asyncio.Semaphore) -> None:
        """Have a loaded unit known: what is in its record will do until it is quiet, if the state is still that."""
        async with limit:
            if await self._observer.recognise(row):
                self._late_reads.ask(row.name)
            else:
                await self._observer.take_up(row.name)
