"""Agents: CoreIO and CoreRL, started in order, stopped, listed and judged as one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coredinator.agent.status import agent_state
from coredinator.errors import ConfigError, UnknownService
from coredinator.service.config_file import read_config
from coredinator.service.identity import Identity, identify
from coredinator.service.record import Order, ServiceRecord
from coredinator.service.registry import Registry
from coredinator.service.rows import Transition
from coredinator.service.state import Intent, State
from coredinator.service.supervisor import Supervisor
from coredinator.services import KindName, Limits
from coredinator.utils.fleeting_threads import in_file_thread

NEWEST = "newest"
"""In place of a version: whichever is the newest at each start."""
PLANT_KINDS = (KindName.UASERVER, KindName.TEP)
"""The kinds that only demo agents have."""


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """An agent and its services by role; a service that is not known has no record.

    `sources` are all records that the status was made of by their units, None for a unit that is not known.
    """

    id: str
    state: State
    intent: Intent
    config_path: str | None
    services: Mapping[str, ServiceRecord]
    sources: Mapping[str, ServiceRecord | None]


class Agents:
    """Operations on agents and on their CoreIO services.

    `ensure_event_bus` is awaited before the first service of a start.
    """

    def __init__(
        self, supervisor: Supervisor, registry: Registry, ensure_event_bus: Callable[[], Awaitable[None]]
    ) -> None:
        self._supervisor = supervisor
        self._maintenance = supervisor.maintenance
        self._registry = registry
        self._ensure_event_bus = ensure_event_bus

    async def start(
        self, config_path: str, coreio_id: str | None, version: str | None, limits: Limits | None = None
    ) -> str:
        """Start CoreIO unless it runs, then CoreRL within `limits`; return the agent's id.

        A version that is named is pinned; without one the agent keeps the pin that it has.

        Raises ConfigError, InvalidId, InvalidLimits, UnitConflict, SystemdUnavailable, StoreError.
        """
        path, _ = await load_config(config_path)
        agent = identify(KindName.CORERL, path.stem)
        coreio = identify(KindName.COREIO, f"{path.stem}-coreio" if coreio_id is None else coreio_id)
        await self.start_bundle(agent, coreio, path, version=version, limits=limits)
        return agent.instance

    async def start_bundle(
        self,
        agent: Identity,
        coreio: Identity,
        path: Path,
        *,
        version: str | None = None,
        limits: Limits | None = None,
        plant: bool = False,
    ) -> None:
        """Start what belongs to an agent, in order; with `plant` the demo plant first."""
        await self._refuse_other_config(agent, path)
        await self._ensure_event_bus()
        name = agent.instance
        plants = [Order(wanted(identify(kind, name), name, path)) for kind in PLANT_KINDS] if plant else []
        corerl = wanted(agent, name, path, coreio_id=coreio.instance, version=version, limits=limits)
        order = Order(corerl, newest=version == NEWEST)
        link = Order(wanted(coreio, name, path), any_config=True, shared=True)
        await self._start_within(*plants, link, order)

    async def stop(self, agent_id: str) -> None:
        """Stop CoreRL; CoreIO goes on. Stopping what is stopped or unknown is no error."""
        if (record := self._agent(agent_id)) is not None:
            await self._supervisor.stop(record.identity)

    async def restart(self, agent_id: str) -> None:
        """Restart CoreRL with the newest fitting executable; CoreIO is started unless it runs.

        Raises UnknownService, ConfigError, ExecutableNotFound, UnitConflict, SystemdUnavailable, StoreError.
        """
        record = self.known(agent_id)
        if record.config_path is not None and record.coreio_id is not None:
            path, _ = await load_config(record.config_path)
            await self._ensure_event_bus()
            coreio = Identity(KindName.COREIO, record.coreio_id)
            await self._supervisor.start(Order(wanted(coreio, agent_id, path), any_config=True, shared=True))
        await self._maintenance.restart(record.identity, "restart asked for")

    async def delete(self, agent_id: str) -> None:
        """Forget an agent that is stopped, and its demo plant. Raises UnknownService, UnitConflict."""
        record = self.known(agent_id)
        # CoreRL last: as long as it is known, what could not be deleted can be tried again.
        plants = [plant for kind in PLANT_KINDS if self._registry.get((plant := Identity(kind, agent_id)).unit)]
        for identity in (*plants, record.identity):
            self._supervisor.refuse_running(identity)
        for identity in (*plants, record.identity):
            await self._maintenance.delete(identity)

    async def change_limits(self, agent_id: str, change: Callable[[Limits], Limits]) -> list[str]:
        """Change the limits of CoreRL; return the names of those that apply at its next start."""
        return await self._maintenance.change_limits(self.known(agent_id).identity, change)

    def known(self, agent_id: str) -> ServiceRecord:
        """The record of an agent's CoreRL. Raises UnknownService."""
        if (record := self._agent(agent_id)) is None:
            raise UnknownService(f"no agent {agent_id!r}; GET /api/agents/ lists them")
        return record

    def status(self, agent_id: str) -> AgentStatus:
        """The status out of the mirror; an unknown agent is a stopped one without services."""
        record = self._agent(agent_id)
        if record is None:
            return AgentStatus(agent_id, State.STOPPED, Intent.STOPPED, None, services={}, sources={})
        services, sources = self._services_of(record)
        state = agent_state(record.intent, (service.state for service in services.values()))
        return AgentStatus(agent_id, state, record.intent, record.config_path, services, sources)

    def is_current(self, status: AgentStatus) -> bool:
        """Whether the status of an agent that is known would be the same now: no record of it is another one."""
        return all(self._registry.get(unit) is record for unit, record in status.sources.items())

    def ids(self) -> tuple[str, ...]:
        """The ids of all agents, stopped ones included; the same object until an agent comes or goes."""
        return self._registry.ids(KindName.CORERL)

    async def history(self, agent_id: str, limit: int) -> list[Transition]:
        """The last changes of an agent's services, newest first. Raises StoreError."""
        services = self.status(agent_id).services.values()
        lists = await asyncio.gather(*(self._registry.history(service.unit, limit) for service in services))
        return sorted((line for lines in lists for line in lines), key=lambda line: line.at, reverse=True)[:limit]

    async def start_coreio(
        self, config_path: str, coreio_id: str | None, limits: Limits | None = None
    ) -> tuple[ServiceRecord, bool]:
        """Start a CoreIO by itself; the second value says whether it ran already."""
        path, _ = await load_config(config_path)
        identity = identify(KindName.COREIO, f"{path.stem}-coreio" if coreio_id is None else coreio_id)
        before = self._registry.get(identity.unit)
        await self._ensure_event_bus()
        await self._start_within(Order(wanted(identity, path.stem, path, limits=limits)))
        return self.coreio(identity.instance), before is not None and before.state is State.RUNNING

    async def stop_coreio(self, coreio_id: str) -> None:
        """Stop a CoreIO and forget it. Raises UnknownService."""
        await self._supervisor.forget(self.coreio(coreio_id).identity)

    async def restart_coreio(self, coreio_id: str) -> None:
        """Restart a CoreIO with the newest executable. Raises as `restart` does."""
        await self._maintenance.restart(self.coreio(coreio_id).identity, "restart asked for")

    async def delete_coreio(self, coreio_id: str) -> None:
        """Forget a CoreIO that is stopped. Raises UnknownService, UnitConflict."""
        await self._maintenance.delete(self.coreio(coreio_id).identity)

    async def change_coreio_limits(self, coreio_id: str, change: Callable[[Limits], Limits]) -> list[str]:
        """Change the limits of a CoreIO; return the names of those that apply at its next start."""
        return await self._maintenance.change_limits(self.coreio(coreio_id).identity, change)

    def coreio(self, coreio_id: str) -> ServiceRecord:
        """The record of a CoreIO. Raises UnknownService."""
        record = self._registry.get(Identity(KindName.COREIO, coreio_id).unit)
        if record is None:
            raise UnknownService(f"no CoreIO service {coreio_id!r}; GET /api/coreio/ lists them")
        return record

    def coreios(self) -> list[ServiceRecord]:
        """All CoreIO services."""
        return self._registry.of_kind(KindName.COREIO)

    def _services_of(self, agent: ServiceRecord) -> tuple[dict[str, ServiceRecord], dict[str, ServiceRecord | None]]:
        """An agent's services by role, and all records looked at for them, by unit.

        A CoreIO that was stopped and forgotten shows as stopped.
        """
        name = agent.identity.instance
        services = {KindName.CORERL.value: agent}
        sources: dict[str, ServiceRecord | None] = {agent.unit: agent}
        if agent.coreio_id is not None:
            coreio = Identity(KindName.COREIO, agent.coreio_id)
            record = sources[coreio.unit] = self._registry.get(coreio.unit)
            services[KindName.COREIO.value] = record or ServiceRecord(coreio, name, agent.config_path, Intent.STOPPED)
        for kind in PLANT_KINDS:
            plant = Identity(kind, name)
            if (record := self._registry.get(plant.unit)) is not None:
                services[kind.value] = record
            sources[plant.unit] = record
        return services, sources

    async def _start_within(self, *orders: Order) -> None:
        """Start services; the last one takes on the limits of its order, if it has any, also if it runs already."""
        await self._supervisor.start(*orders)
        last = orders[-1].wanted
        limits = last.limits
        if limits is not None and (record := self._registry.get(last.unit)) and record.limits != limits:
            await self._maintenance.change_limits(last.identity, lambda _: limits)

    def _agent(self, agent_id: str) -> ServiceRecord | None:
        return self._registry.get(Identity(KindName.CORERL, agent_id).unit)

    async def _refuse_other_config(self, agent: Identity, path: Path) -> None:
        """Refuse before CoreIO is started for an agent that cannot be."""
        record = self._registry.get(agent.unit)
        if record is not None:
            await self._supervisor.refuse_other_config(record, str(path))


def wanted(
    identity: Identity,
    agent_id: str,
    path: Path,
    *,
    coreio_id: str | None = None,
    version: str | None = None,
    limits: Limits | None = None,
) -> ServiceRecord:
    """A service as a start asks for it."""
    config_path = str(path) if identity.spec.takes_config else None
    return ServiceRecord(
        identity, agent_id, config_path, Intent.RUNNING,
        coreio_id=coreio_id, pinned_version=pin_of(version), limits=limits,
    )  # fmt: skip


def pin_of(version: str | None) -> str | None:
    """The version that is to be kept, None for the newest."""
    return None if version is None or version == NEWEST else version.removeprefix("v")


async def load_config(config_path: str) -> tuple[Path, Mapping[str, Any]]:
    """Read a config named by a request. Raises ConfigError."""
    path = Path(config_path)
    if not path.is_absolute():
        raise ConfigError(f"config path {config_path!r} is not absolute; give the whole path, beginning with /")
    if "$" in config_path:
        raise ConfigError(f"config path {config_path!r} has a '$', which systemd would expand; rename it")
    return path, await in_file_thread(read_config, path)
