"""Starting and stopping one service, and following what systemd and operators do to it."""

import asyncio
import logging
from contextlib import AsyncExitStack
from copy import replace
from pathlib import Path

from coredinator.errors import CoredinatorError, StoreError, UnitConflict
from coredinator.logs import MessageId
from coredinator.service.decide import Decision, decide
from coredinator.service.identity import Identity, parse_unit
from coredinator.service.late_reads import LateReads
from coredinator.service.launcher import Launcher
from coredinator.service.maintenance import Maintenance
from coredinator.service.observer import Look, Observer, runs_another
from coredinator.service.record import Order, Pending, ServiceRecord
from coredinator.service.registry import Registry, log_fields
from coredinator.service.state import Intent, State
from coredinator.service.stocktaking import Stocktaking
from coredinator.service.units import UnitCache
from coredinator.service.workload import refuse_contradiction
from coredinator.services import Catalogue, Restart
from coredinator.systemd import (
    SystemdError,
    SystemdManager,
    UnitChanged,
    UnitProperties,
    UnitRemoved,
)
from coredinator.utils.fleeting_threads import in_file_thread
from coredinator.utils.keyed_lock import KeyedLock

_log = logging.getLogger(__name__)


class Supervisor:
    """Start and stop are idempotent and serialised per unit."""

    def __init__(self, systemd: SystemdManager, registry: Registry, base_path: Path, catalogue: Catalogue) -> None:
        self._systemd = systemd
        self._registry = registry
        self._catalogue = catalogue
        self._units = UnitCache(systemd)
        self._launcher = Launcher(systemd, registry, self._units, base_path, self._catalogue)
        self._observer = Observer(systemd, registry, self._units, catalogue, self._launcher.cause)
        self._locks = KeyedLock(self._settle_if_due)
        self.maintenance = Maintenance(
            systemd, registry, self._units, self._launcher, self._locks, self._wait_ready, self._settle_soon
        )
        self._late_reads = LateReads(self._read_late)
        self.stocktaking = Stocktaking(
            registry, self._units, self._observer, self._late_reads, self._settle_safely, self._settle_soon
        )
        # Units to decide about, and how to look at them first; one task for each.
        self._due: dict[str, Look] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, *orders: Order) -> None:
        """Have services run, each started once the one before it runs; they come in the order of their kinds.

        Without limits a service keeps those that it had. A missing executable or a refusal by systemd is
        kept as the record's error. Raises InvalidLimits, UnitConflict, SystemdUnavailable, StoreError, and
        ExecutableNotFound for another version of what runs that could not be started when its turn comes.
        """
        for wanted in (order.wanted for order in orders if order.wanted.limits is not None):
            refuse_contradiction(wanted, self._launcher.definition(wanted))
        await self._wait_ready()
        self._late_reads.hold_off()
        due: list[ServiceRecord] = []
        async with AsyncExitStack() as locks:
            for order in orders:
                # All take the locks in the order of the kinds, so that nobody waits in a circle.
                lock = await locks.enter_async_context(AsyncExitStack())
                await lock.enter_async_context(self._locks.hold(order.wanted.unit))
                wanted = await self._unless_up(order)
                if wanted is None:
                    await lock.aclose()
                else:
                    due.append(wanted)
            if due:
                await self._launcher.start(*due)
        for wanted in due:
            self._settle_soon(wanted.unit)

    async def refuse_other_config(self, current: ServiceRecord, config_path: str | None) -> None:
        """Raise UnitConflict if the service is up with another config than `config_path`."""
        if self._is_up(current.unit) and not await same_file(current.config_path, config_path):
            raise UnitConflict(
                f"{current.unit} runs with config {current.config_path}; "
                f"stop it before it is started with {config_path}"
            )

    def refuse_running(self, identity: Identity) -> None:
        """Raise UnitConflict if the service is up."""
        if self._is_up(identity.unit):
            raise UnitConflict(f"{identity.unit} is up; stop it before it is deleted")

    async def stop(self, identity: Identity) -> None:
        """Have the service stopped and return when its processes are gone. Unknown ones are stopped.

        Raises SystemdUnavailable, StoreError.
        """
        await self._wait_ready()
        self._late_reads.hold_off()
        async with self._locks.hold(identity.unit):
            record = self._registry.get(identity.unit)
            if record is None:
                return
            await self._launcher.stop(record)
        self._settle_soon(identity.unit)

    async def forget(self, identity: Identity) -> None:
        """Stop the service, and drop its record and its unit. Raises SystemdUnavailable, StoreError."""
        await self._wait_ready()
        async with self._locks.hold(identity.unit):
            record = self._registry.get(identity.unit)
            if record is None:
                return
            await self._launcher.stop(record)
            await self._launcher.discard(identity.unit)
            await self._registry.forget(identity)

    def handle(self, event: UnitChanged | UnitRemoved) -> None:
        """Take in a signal of systemd about any unit; those that are no workloads are ignored."""
        if parse_unit(event.unit) is None:
            return
        if isinstance(event, UnitRemoved):
            self._units.announce_removal(event.unit)
            self._settle_soon(event.unit, Look.VERIFY)
            return
        before = self._units.get(event.unit)
        unit = self._units.apply(event)
        self._observer.observed(unit)
        started = before is None or before.invocation_id != unit.invocation_id
        if started:
            self._late_reads.ask(event.unit)  # drop-ins and cgroup come with no signal
        if started or unit.at_rest or (before is not None and before.at_rest):
            self._settle_soon(event.unit)

    async def reset_backoff(self, record: ServiceRecord) -> None:
        """Make the next crash of a service count as its first."""
        await self._systemd.reset_failed(record.unit)
        await self._observer.refresh(record.unit)
        _log.info(
            "%s has been stable; its restart delay begins anew", record.identity.service_id,
            extra=log_fields(record, MessageId.BACKOFF_RESET),
        )  # fmt: skip

    async def close(self) -> None:
        """Drop what is under way; what was asked for is in the mirror."""
        self._due.clear()
        await self._late_reads.close()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait_ready(self) -> None:
        """Return once systemd can be called and what it has loaded is known. Raises SystemdUnavailable."""
        await self._systemd.wait_available()
        await self.stocktaking.wait_current()

    def _is_up(self, unit: str) -> bool:
        properties = self._units.get(unit)
        return properties is not None and properties.is_up

    async def _unless_up(self, order: Order) -> ServiceRecord | None:
        """The record that is to be started, None for a service that is up: that it is wanted so is written down."""
        wanted = order.wanted
        current = self._registry.get(wanted.unit)
        if current is None:
            return wanted
        if wanted.limits is None:
            wanted = replace(wanted, limits=current.limits)
        if wanted.pinned_version is None and not order.newest:
            wanted = replace(wanted, pinned_version=current.pinned_version)
        if not self._is_up(wanted.unit):
            return wanted
        if not order.any_config:
            await self.refuse_other_config(current, wanted.config_path)
        if current.observed.state is State.FAILED:
            if order.shared:  # it is still that of whoever started it
                wanted = replace(wanted, agent_id=current.agent_id, config_path=current.config_path)
            return wanted
        if wanted.pinned_version not in {None, current.pinned_version}:
            await self._launcher.find(wanted)
        await self._confirm(current, wanted)
        return None

    async def _confirm(self, current: ServiceRecord, wanted: ServiceRecord) -> None:
        """Write down that a service which is up already is wanted so."""
        confirmed = replace(
            current, intent=Intent.RUNNING, coreio_id=wanted.coreio_id, pinned_version=wanted.pinned_version
        )
        if confirmed != current:
            await self._registry.commit([confirmed], "request")

    def _settle_soon(self, name: str, look: Look = Look.NONE) -> None:
        """Decide about a unit once nobody holds its lock."""
        self._due[name] = max(look, self._due.get(name, Look.NONE))
        self._settle_if_due(name)

    def _settle_if_due(self, name: str) -> None:
        if name not in self._due or name in self._tasks or self._locks.is_held(name):
            return
        if self._due[name] is Look.NONE and self._is_settled(name):
            del self._due[name]
        else:
            self._tasks[name] = asyncio.get_running_loop().create_task(self._settle_due(name))

    def _is_settled(self, name: str) -> bool:
        """Whether there is nothing to decide: most of what systemd tells is what was asked of it."""
        record, unit = self._registry.get(name), self._units.get(name)
        return (
            record is not None
            and record.pending is None
            and record.error is None
            and decide(record, unit, fresh_systemd=False) is Decision.KEEP
            and not (unit is not None and runs_another(record, unit))
        )

    async def _settle_due(self, name: str) -> None:
        try:
            while name in self._due:
                await self._settle_safely(name, self._due.pop(name))
        finally:
            self._tasks.pop(name, None)

    async def _read_late(self, name: str) -> None:
        """Read a unit; one that is just being started or stopped holds up nobody else."""
        if self._locks.is_held(name):
            self._settle_soon(name, Look.READ)
        else:
            await self._settle_safely(name, Look.READ)

    async def _settle_safely(self, name: str, look: Look = Look.NONE) -> None:
        """Settle a unit; trouble with one never touches another, and is met again on the slow timer."""
        try:
            await self._settle(name, look)
        except (CoredinatorError, SystemdError) as error:
            _log.warning("%s: %s; will be tried again", name, error)
        except Exception:  # noqa: BLE001  # it is logged; one unit must not end what looks after all of them
            _log.exception("%s was not looked after; will be tried again", name)

    async def _settle(self, name: str, look: Look) -> None:
        async with self._locks.hold(name):
            await self._observer.look(name, look)
            record = self._registry.get(name)
            unit = self._units.get(name)
            match decide(record, unit, fresh_systemd=False):
                case Decision.ADOPT:
                    await self._observer.take_up(name)
                case Decision.START if record is not None:
                    await self._launcher.start_again(record)
                case Decision.STOP if record is not None:
                    await self._launcher.stop(record)
                case Decision.WANT_STOPPED if record is not None:
                    await self._confirm_stopped(record)
                case Decision.WANT_RUNNING if record is not None:
                    await self._operator_said(record, Intent.RUNNING)
                case _ if record is None and unit is None:
                    self._launcher.forget(name)
                case _ if record is None:
                    await self._systemd.unref(name)  # taken, perhaps, while it was being forgotten
                case _ if unit is not None and _is_being_restarted(record, unit):
                    pass  # it is started once it is at rest, should whoever was about to do it be gone
                case _ if unit is not None and unit.is_up:
                    # Why a crashed one could not be started is to be read until it runs.
                    runs = record.observed.state is State.RUNNING
                    clear = self._registry.clear_error if runs else self._registry.clear_pending
                    clear(name, "recovery")
                    self._observer.correct(name)
                case _:
                    self._registry.clear_pending(name, "recovery")

    async def _confirm_stopped(self, record: ServiceRecord) -> None:
        """Look twice before a unit at rest counts as stopped by an operator.

        A unit that dies rests for an instant before its automatic restart, and at shutdown systemd
        stops everything. A service that may end by itself was stopped only if somebody was seen to do so.
        """
        definition = self._catalogue.find(record.identity.kind, record.identity.instance)
        may_end = definition is not None and definition.restart is not Restart.ALWAYS
        if may_end and not self._units.was_told_to_stop(record.unit):
            return
        await self._observer.verify(record.unit)
        again = decide(record, self._units.get(record.unit), fresh_systemd=False)
        if again is not Decision.WANT_STOPPED or await self._systemd.is_stopping():
            return
        if self.stocktaking.is_current:  # a systemd that was met just now has been asked for nothing yet
            await self._operator_said(record, Intent.STOPPED)

    async def _operator_said(self, record: ServiceRecord, intent: Intent) -> None:
        """Take a start or stop that was not asked of us for what it is: somebody's wish."""
        current = self._registry.get(record.unit) or record
        wanted = replace(current, intent=intent, pending=None, error=None)
        self._registry.note(wanted, f"operator wants it {intent}")
        try:
            # After a power cut no unit is left that could say it once more.
            await self._registry.commit([wanted], "operator")
        except StoreError:
            self._registry.update(wanted, "operator")
        started = intent is Intent.RUNNING
        _log.info(
            "%s was %s by an operator (systemctl); it is wanted %s from now on",
            record.identity.service_id, "started" if started else "stopped", intent,
            extra=log_fields(wanted, MessageId.OPERATOR_STARTED if started else MessageId.OPERATOR_STOPPED)
            | {"cause": "operator"},
        )  # fmt: skip


def _is_being_restarted(record: ServiceRecord, unit: UnitProperties) -> bool:
    return record.pending is Pending.START and unit.active_state == "deactivating"


async def same_file(one: str | None, other: str | None) -> bool:
    """Whether two config paths name the same file. Raises FilesUnavailable."""
    if one == other:
        return True
    return one is not None and other is not None and await in_file_thread(_same_file, Path(one), Path(other))


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
