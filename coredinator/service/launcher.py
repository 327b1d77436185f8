"""Making the unit of one service run, and making it stop: the calls, in their order."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from copy import replace
from pathlib import Path

from coredinator.errors import ConfigError, ExecutableNotFound, StoreError, UnitConflict
from coredinator.logs import MessageId
from coredinator.service.config_file import read_config
from coredinator.service.executable import Executable, files_under, find_executable
from coredinator.service.record import Pending, ServiceRecord
from coredinator.service.registry import Registry, log_fields
from coredinator.service.runnable import why_not_runnable
from coredinator.service.state import Intent, observe
from coredinator.service.units import UnitCache
from coredinator.service.workload import workload_properties
from coredinator.services import Catalogue, Definition, KindName
from coredinator.systemd import (
    JobResult,
    NoSuchUnit,
    SystemdError,
    SystemdManager,
    SystemdUnavailable,
    UnitExists,
    UnitProperties,
)
from coredinator.utils.fleeting_threads import in_file_thread

_log = logging.getLogger(__name__)

_START_TIMEOUT = 10.0
_STOP_TIMEOUT = 20.0
_REMOVAL_TIMEOUT = 2.0
_RETRY_PAUSE = 0.5


class Launcher:
    """Starts and stops one unit at a time; whoever calls holds the unit's lock."""

    def __init__(
        self, systemd: SystemdManager, registry: Registry, units: UnitCache, base_path: Path, catalogue: Catalogue
    ) -> None:
        self._systemd = systemd
        self._registry = registry
        self._units = units
        self._base_path = base_path
        self._catalogue = catalogue
        self._created: dict[str, dict[str, object]] = {}
        self._causes: dict[str, str] = {}
        self._failed_at: dict[str, float] = {}

    async def start(self, *wanted: ServiceRecord, due: bool = False) -> None:
        """Find the executables, write down the intents, make the units run, each once the one before it does.

        A missing executable or a refusal by systemd is kept as the record's error, and the others are
        started. A start that is `due` is wanted on the disk already, and one that refuses does not keep
        it from running. Raises UnitConflict, and what comes behind the unit concerned is as it was;
        SystemdUnavailable, and what does not run yet stays pending; StoreError, and nothing has changed.
        """
        cause = "recovery" if due else "request"
        pending = [
            replace(record, intent=Intent.RUNNING, pending=Pending.START, error=record.error if due else None)
            for record in wanted
        ]
        ready = await self._prepare(pending, cause)
        if not ready:
            return
        before = [(record.unit, self._registry.get(record.unit)) for record in ready]
        try:
            await self._registry.commit(ready, cause)
        except StoreError:
            if not due:
                raise
            for record in ready:
                self._registry.update(record, "recovery")
        for number, record in enumerate(ready, 1):
            try:
                await self._run(record, cause)
            except UnitConflict:
                self._registry.restore(before[number:], cause)
                raise
        # A manager that is killed after the answer leaves no start behind to be carried out once more.
        with suppress(StoreError):  # what was wanted is written
            await self._registry.written()

    def _has_just_failed(self, record: ServiceRecord) -> bool:
        """Whether its last start failed a moment ago."""
        failed_at = self._failed_at.get(record.unit) if record.error else None
        return failed_at is not None and asyncio.get_running_loop().time() < failed_at + _RETRY_PAUSE

    async def find(self, record: ServiceRecord) -> None:
        """Look for the executable that a start would run. Raises ExecutableNotFound, also for one that cannot run."""
        await in_file_thread(self._find_runnable, record)

    def _find_runnable(self, record: ServiceRecord) -> None:
        if (problem := why_not_runnable(self._find(record).path)) is not None:
            raise ExecutableNotFound(problem)

    def _find(self, record: ServiceRecord, files: Sequence[tuple[str, str]] | None = None) -> Executable:
        return find_executable(self._base_path, self.definition(record).spec, record.pinned_version, files=files)

    def _find_each(self, records: Sequence[ServiceRecord]) -> list[Executable | ExecutableNotFound]:
        files = files_under(self._base_path)
        found: list[Executable | ExecutableNotFound] = []
        for record in records:
            try:
                found.append(self._find(record, files))
            except ExecutableNotFound as error:
                found.append(error)
        return found

    async def _prepare(self, pending: Sequence[ServiceRecord], cause: str) -> list[ServiceRecord]:
        """The records of services that are about to start, without those that cannot.

        The error of the last try stays with one that is tried again until it runs.
        """
        ready: list[ServiceRecord] = []
        for record, found in zip(pending, await in_file_thread(self._find_each, pending), strict=True):
            if isinstance(found, ExecutableNotFound):
                await self._impossible(record, str(found), cause)
            else:
                version = str(found.version) if found.version else None
                ready.append(replace(record, executable=str(found.path), version=version))
        return ready

    async def _run(self, record: ServiceRecord, cause: str) -> None:
        before = self._units.get(record.unit)
        try:
            result = await self._launch(record)
        except UnitExists as error:
            await self._impossible(record, f"{error}; it is held by another program", cause)
            raise UnitConflict(f"{record.unit} exists already and cannot be replaced; see systemctl status") from error
        except SystemdUnavailable:
            raise  # the start stays pending and is carried out when systemd is back
        except SystemdError as error:
            await self._impossible(record, str(error), cause)
        else:
            if (problem := why_not_begun(result, before, self._units.get(record.unit))) is None:
                self._failed_at.pop(record.unit, None)
                self._registry.clear_error(record.unit, cause)
            else:
                await self._impossible(record, f"{problem}; see systemctl status {record.unit}", cause)

    def definition(self, record: ServiceRecord) -> Definition:
        """How the service is to be run. Raises ExecutableNotFound for one that is not declared any more."""
        definition = self._catalogue.find(record.identity.kind, record.identity.instance)
        if definition is None:
            raise ExecutableNotFound(
                f"service {record.identity.instance!r} is not declared in the settings file; "
                "add it under services:, or DELETE it"
            )
        return definition

    async def start_again(self, record: ServiceRecord) -> None:
        """Carry out a start that is due, with no request that checked the config."""
        if self._has_just_failed(record):
            return  # what systemd tells of the last try is no reason for the next one; the slow timer is
        record = self._as_declared(record)
        if record.config_path is not None:
            try:
                await in_file_thread(read_config, Path(record.config_path))
            except ConfigError as error:
                await self._impossible(record, str(error), "recovery")
                return
        await self.start(record, due=True)
        if (now := self._registry.get(record.unit)) is not None and now.error is None:
            _log.info(
                "%s started again", record.identity.service_id, extra=log_fields(now, MessageId.SERVICE_RECOVERED)
            )

    async def stop(self, record: ServiceRecord) -> None:
        """Stop the unit, write down the intent, and return when its processes are gone and the disk has it.

        Neither waits for the other: a manager that ends in between leaves what an operator's stop leaves, and a
        disk that refuses keeps no controller running. StoreError is raised then, once the unit is stopped.
        """
        self._registry.update(
            replace(record, intent=Intent.STOPPED, pending=Pending.STOP, error=None), "request", durable=True
        )
        await self._bring_down(record.unit)
        self._registry.clear_pending(record.unit, "request")
        try:
            await self._registry.written()
        except StoreError as error:
            raise StoreError(f"{record.unit} was stopped, but that is not written down yet: {error}") from error

    async def _bring_down(self, name: str) -> None:
        """Stop a unit, unless it is at rest, and clear its failure."""
        unit = self._units.get(name)
        if unit is not None and not unit.at_rest:
            with suppress(NoSuchUnit):  # it ended in this moment
                await self._systemd.stop_unit(name, job_timeout=_STOP_TIMEOUT)
        unit = self._units.get(name)
        if unit is not None and unit.active_state == "failed":
            # A process that ends with an error when it is told to stop has been stopped all the same.
            await self._systemd.reset_failed(name)
            # systemd answers before it tells of the new state, and whoever asked for the stop may look at once.
            if (unit := await self._units.verify(name)) is not None:
                self._registry.observe(name, observe(unit), "request")

    async def restart_in_place(self, record: ServiceRecord, cause: str) -> None:
        """Have systemd restart the unit as it is, same executable and all.

        Raises NoSuchUnit, SystemdUnavailable.
        """
        self._causes[record.unit] = cause
        try:
            await self._systemd.restart_unit(record.unit, job_timeout=_START_TIMEOUT + _STOP_TIMEOUT)
        finally:
            del self._causes[record.unit]

    def cause(self, record: ServiceRecord) -> str:
        """Why the service's state changes, if it does so now."""
        return self._causes.get(record.unit, "request" if record.pending else "systemd")

    def forget(self, unit: str) -> None:
        """Drop what is kept of a unit that is neither loaded nor known."""
        self._created.pop(unit, None)
        self._failed_at.pop(unit, None)
        self._units.forget(unit)

    async def discard(self, unit: str) -> None:
        """Make systemd forget the unit."""
        self._created.pop(unit, None)
        await self._units.discard(unit, job_timeout=_STOP_TIMEOUT, removal_timeout=_REMOVAL_TIMEOUT)

    def _as_declared(self, record: ServiceRecord) -> ServiceRecord:
        """A one-off service with the config that its declaration has by now."""
        if record.identity.kind is not KindName.SERVICE:
            return record
        declared = self._catalogue.find(record.identity.kind, record.identity.instance)
        return record if declared is None else replace(record, config_path=declared.config_path)

    async def _launch(self, record: ServiceRecord) -> JobResult:
        properties = workload_properties(record, self.definition(record), systemd_version=self._systemd.version)
        unit = self._units.get(record.unit)
        if unit is not None and unit.active_state == "inactive" and self._created.get(record.unit) == properties:
            with suppress(NoSuchUnit):  # unloaded in this moment: make it anew
                return await self._systemd.start_unit(record.unit, job_timeout=_START_TIMEOUT)
        if unit is not None:
            await self.discard(record.unit)
        try:
            result = await self._make(record.unit, properties)
        except UnitExists:
            await self.discard(record.unit)
            result = await self._make(record.unit, properties)
        self._created[record.unit] = properties
        return result

    async def _make(self, unit: str, properties: dict[str, object]) -> JobResult:
        self._units.announce(unit, properties)
        return await self._systemd.start_transient_unit(unit, properties, job_timeout=_START_TIMEOUT)

    async def _impossible(self, record: ServiceRecord, error: str, cause: str) -> None:
        before = self._registry.get(record.unit)
        failed = replace(record, pending=None, error=error)
        await self._registry.commit([failed], cause)
        self._failed_at[record.unit] = asyncio.get_running_loop().time()
        if before is None or before.error != error:
            _log.error(
                "%s cannot be started: %s", record.identity.service_id, error,
                extra=log_fields(failed, MessageId.START_IMPOSSIBLE),
            )  # fmt: skip


def why_not_begun(result: JobResult, before: UnitProperties | None, after: UnitProperties | None) -> str | None:
    """Why a start that systemd has taken began no process, None if it did, or if somebody called it off.

    An unmet condition counts as done; each start that is really begun gets an invocation id of its own.
    Of a unit that has not changed at all, systemd tells nothing.
    """
    former = b"" if before is None else before.invocation_id
    if after is not None and (after.active_state != "inactive" or after.invocation_id not in {b"", former}):
        return None
    match result:
        case JobResult.DEPENDENCY:
            return "a unit that it requires could not be started"
        case JobResult.DONE | JobResult.SKIPPED | JobResult.OTHER:
            return "a condition of the unit, or of a drop-in, is not met"
        case _:
            return None
