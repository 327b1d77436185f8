"""What is done to a service that exists: restarted, limited anew, forgotten."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import replace
from pathlib import Path

from coredinator.errors import StoreError, UnitConflict, UnknownService
from coredinator.service.config_file import read_config
from coredinator.service.drop_ins import setting_in
from coredinator.service.identity import Identity
from coredinator.service.launcher import Launcher
from coredinator.service.record import ServiceRecord
from coredinator.service.registry import Registry
from coredinator.service.state import Intent, observe
from coredinator.service.units import UnitCache
from coredinator.service.workload import effective_limits, refuse_contradiction
from coredinator.services import Limits
from coredinator.services.limits import AT_START_ONLY, changes, limit_properties, setting_of
from coredinator.systemd import NoSuchUnit, SystemdManager
from coredinator.utils.fleeting_threads import in_file_thread
from coredinator.utils.keyed_lock import KeyedLock


def _as_it_is(record: ServiceRecord) -> ServiceRecord:
    return record


class Maintenance:
    """Operations on known services, each under the unit's lock.

    `ready` returns once systemd can be called and what it has loaded is known, `settle` looks at a
    unit afterwards.
    """

    def __init__(
        self,
        systemd: SystemdManager,
        registry: Registry,
        units: UnitCache,
        launcher: Launcher,
        locks: KeyedLock,
        ready: Callable[[], Awaitable[None]],
        settle: Callable[[str], None],
    ) -> None:
        self._systemd = systemd
        self._registry = registry
        self._units = units
        self._launcher = launcher
        self._locks = locks
        self._ready = ready
        self._settle = settle

    async def amend(self, identity: Identity, change: Callable[[ServiceRecord], ServiceRecord], cause: str) -> None:
        """Change the record of a service, if there is one."""
        async with self._locks.hold(identity.unit):
            if (record := self._registry.get(identity.unit)) is not None:
                self._registry.update(change(record), cause)

    async def restart(
        self, identity: Identity, cause: str, change: Callable[[ServiceRecord], ServiceRecord] = _as_it_is
    ) -> None:
        """Stop the service, if it runs, and start it as `change` wants it, with the newest fitting executable.

        What runs is touched only once the config can be read and an executable is there that this
        machine can run. Raises UnknownService, ConfigError, ExecutableNotFound, UnitConflict,
        SystemdUnavailable, StoreError.
        """
        async with self._locks.hold(identity.unit):
            record = self._known(identity)
            wanted = change(record)
            if wanted.config_path is not None:
                await in_file_thread(read_config, Path(wanted.config_path))
            await self._launcher.find(wanted)
            await self._ready()
            self._registry.note(record, cause)
            await self._launcher.start(wanted)
        self._settle(identity.unit)

    async def restart_unhealthy(self, record: ServiceRecord) -> None:
        """Have systemd restart a process that is not well, unless it has gone or is not wanted any more.

        Nobody's start or stop: the intent stays. Raises SystemdUnavailable.
        """
        async with self._locks.hold(record.unit):
            current = self._registry.get(record.unit)
            same = current is not None and current.observed.main_pid == record.observed.main_pid
            if current is None or not same or current.intent is not Intent.RUNNING:
                return
            await self._ready()
            with suppress(NoSuchUnit):  # it ended in this moment
                await self._launcher.restart_in_place(current, "health")
        self._settle(record.unit)

    async def delete(self, identity: Identity) -> None:
        """Forget a service that is at rest. Raises UnknownService, UnitConflict, SystemdUnavailable."""
        await self._ready()
        async with self._locks.hold(identity.unit):
            self._known(identity)
            if self._units.get(identity.unit) is not None:
                # Asked anew: of a stop that has just ended a job can be left in what the signals told.
                unit = await self._units.verify(identity.unit)
                if unit is not None and not unit.at_rest:
                    raise UnitConflict(f"{identity.unit} is {unit.active_state}; stop it before it is deleted")
                await self._launcher.discard(identity.unit)
            await self._registry.forget(identity)

    async def change_limits(self, identity: Identity, change: Callable[[Limits], Limits]) -> list[str]:
        """Change the service's own limits, at once where it runs; return those that wait for its next start.

        Raises UnknownService, InvalidLimits, UnitConflict for a limit that a drop-in sets,
        SystemdError, StoreError; nothing has changed then.
        """
        await self._ready()
        async with self._locks.hold(identity.unit):
            record = self._known(identity)
            own = change(record.limits or Limits())
            changed = replace(record, limits=own if own.given() else None)
            definition = self._launcher.definition(record)
            before, after = effective_limits(record, definition), effective_limits(changed, definition)
            refuse_contradiction(changed, definition)
            now = changes(before, after)
            unit = await self._units.verify(identity.unit)  # drop-ins come with no signal
            loaded = unit is not None
            if unit is not None:
                _refuse_set_elsewhere(record.unit, unit.drop_in_paths, now)
            if loaded and now:
                await self._set(record, now)
            try:
                await self._registry.commit([changed], "request")
            except StoreError:
                if loaded and now:
                    await self._set(record, changes(after, before))
                raise
            names = sorted(AT_START_ONLY & after.given().keys() | AT_START_ONLY & before.given().keys())
            return [name for name in names if loaded and getattr(before, name) != getattr(after, name)]

    async def _set(self, record: ServiceRecord, limits: Mapping[str, int]) -> None:
        await self._systemd.set_unit_properties(record.unit, limit_properties(limits))
        self._registry.observe(record.unit, observe(await self._units.read(record.unit)), "request")

    def _known(self, identity: Identity) -> ServiceRecord:
        record = self._registry.get(identity.unit)
        if record is None:
            raise UnknownService(f"{identity.unit} is not known; start it first")
        return record


def _refuse_set_elsewhere(unit: str, drop_ins: Sequence[str], limits: Iterable[str]) -> None:
    """A drop-in of the administrator's wins at each start: a limit beside it would hold only until then."""
    for setting in map(setting_of, limits):
        if (path := setting_in(drop_ins, setting)) is not None:
            raise UnitConflict(f"{setting} of {unit} is set by {path}, which wins; change it there")
