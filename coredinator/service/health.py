"""Watching the health of services that run: one task keeps time for all of them.

A probe is a coroutine on its own, so that one which hangs delays nobody; there is at most one for each service.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from copy import replace
from dataclasses import dataclass
from datetime import UTC, datetime

from coredinator.logs import MessageId
from coredinator.service.probes import probe
from coredinator.service.record import Health, ServiceRecord
from coredinator.service.registry import Registry, log_fields
from coredinator.service.state import Intent, State
from coredinator.services import Catalogue, Definition, HealthCheck, Restart
from coredinator.systemd import SystemdError

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 1.0
"""Seconds after which a new process is noticed at the latest."""


@dataclass(slots=True)
class _Watch:
    """One process of one service: when it is asked next, and how often in a row it was not well."""

    pid: int
    due: float
    failures: int = 0
    port: int | None = None
    probe: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        if self.probe is not None:
            self.probe.cancel()


class HealthMonitor:
    """Probes services that have a health check over HTTP or TCP, and has those restarted that fail it.

    `port_of` reads the port from a service's config, `restart` has systemd restart a process.
    """

    def __init__(
        self,
        registry: Registry,
        catalogue: Catalogue,
        port_of: Callable[[ServiceRecord], Awaitable[int | None]],
        restart: Callable[[ServiceRecord], Awaitable[None]],
    ) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._port_of = port_of
        self._restart = restart
        self._watches: dict[str, _Watch] = {}
        self._restarts: dict[str, asyncio.Task[None]] = {}
        intervals = [check.interval for check in catalogue.probes]
        self._pause = min(_LONGEST_PAUSE, min(intervals) / 2) if intervals else None

    async def run(self) -> None:
        """Watch until cancelled; return at once where no service is to be asked."""
        try:
            while True:
                self._look()
                if self._pause is None:
                    return
                await asyncio.sleep(self._pause)
        finally:
            for watch in self._watches.values():
                watch.cancel()
            for restart in self._restarts.values():
                restart.cancel()

    def _look(self) -> None:
        """Begin the probes that are due; let go of processes that are gone."""
        now = asyncio.get_running_loop().time()
        records = {record.unit: record for record in self._registry.all()}
        for unit in self._watches.keys() - records.keys():
            self._watches.pop(unit).cancel()
        for record in records.values():
            check = self._check(record)
            if check is None:
                self._let_go(record)
            elif (watch := self._watch(record, now)) is not None and watch.due <= now:
                watch.due = now + check.interval
                if watch.probe is None or watch.probe.done():
                    watch.probe = asyncio.create_task(self._ask(record, check, watch))

    def _definition(self, record: ServiceRecord) -> Definition | None:
        return self._catalogue.find(record.identity.kind, record.identity.instance)

    def _check(self, record: ServiceRecord) -> HealthCheck | None:
        definition = self._definition(record)
        check = definition.health if definition else None
        return check if check is not None and check.probed else None

    def _let_go(self, record: ServiceRecord) -> None:
        """Forget what was found while the service had a health check that it has no longer."""
        if (watch := self._watches.pop(record.unit, None)) is not None:
            watch.cancel()
        if record.health is not None:
            self._registry.update(replace(record, health=None), "health")

    def _watch(self, record: ServiceRecord, now: float) -> _Watch | None:
        """The watch on a service's process; None if it does not run, or is held still by an operator."""
        observed = record.observed
        watch = self._watches.get(record.unit)
        asleep = observed.state is not State.RUNNING or observed.main_pid is None or observed.frozen
        if watch is not None and (asleep or watch.pid != observed.main_pid):
            self._watches.pop(record.unit).cancel()
            watch = None
        if asleep or observed.main_pid is None:
            return None
        if watch is None:
            watch = self._watches[record.unit] = _Watch(observed.main_pid, due=now)
        return watch

    async def _ask(self, record: ServiceRecord, check: HealthCheck, watch: _Watch) -> None:
        if watch.port is None:
            watch.port = check.port or await self._port_of(record)
        if watch.port is None:
            _log.warning(
                "%s has a health check, but its config names no port; set health.port in the settings file",
                record.identity.service_id, extra=log_fields(record, MessageId.HEALTH_UNKNOWN),
            )  # fmt: skip
            watch.due = float("inf")
            return
        problem = await probe(check, watch.port)
        current = self._registry.get(record.unit)
        if current is None or current.observed.main_pid != watch.pid or current.observed.frozen:
            return
        if problem is None:
            watch.failures = 0
            self._found(current, Health(ok=True, detail=f"answers on port {watch.port}"))
        elif _age(current) >= check.grace:
            watch.failures += 1
            if watch.failures >= check.failures:
                self._unwell(current, problem)

    def _unwell(self, record: ServiceRecord, problem: str) -> None:
        """The service has failed; have it restarted, unless it is one that systemd never restarts."""
        now = self._found(record, Health(ok=False, detail=problem))
        definition = self._definition(record)
        if definition is None or definition.restart is Restart.NO or now.intent is not Intent.RUNNING:
            return
        if record.unit not in self._restarts:
            # On its own: the restart ends the process, and with it the probe that found it unwell.
            self._restarts[record.unit] = asyncio.create_task(self._restart_safely(now, problem))

    async def _restart_safely(self, record: ServiceRecord, problem: str) -> None:
        _log.warning(
            "%s does not pass its health check and is restarted: %s", record.identity.service_id, problem,
            extra=log_fields(record, MessageId.HEALTH_FAILED) | {"cause": "health"},
        )  # fmt: skip
        try:
            await self._restart(record)
        except SystemdError as error:
            _log.warning("%s; will be tried again", error)
        finally:
            del self._restarts[record.unit]

    def _found(self, record: ServiceRecord, health: Health) -> ServiceRecord:
        if record.health == health:
            return record
        now = replace(record, health=health)
        self._registry.update(now, "health")
        return now


def _age(record: ServiceRecord) -> float:
    """Seconds for which the service has run."""
    since = record.observed.since
    return (datetime.now(UTC) - since).total_seconds() if since else 0.0
