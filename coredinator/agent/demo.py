"""The demo agent: CoreIO and CoreRL on a simulated Tennessee Eastman plant behind an OPC UA server."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from coredinator.agent.agents import PLANT_KINDS, Agents, AgentStatus, load_config
from coredinator.agent.ports import Ports, ports_of
from coredinator.errors import ConfigError, FilesUnavailable, UnknownService
from coredinator.service.config_file import read_config
from coredinator.service.identity import Identity, identify
from coredinator.service.record import ServiceRecord
from coredinator.service.registry import Registry
from coredinator.service.state import Intent, State
from coredinator.service.supervisor import Supervisor, same_file
from coredinator.services import KindName
from coredinator.utils.fleeting_threads import in_file_thread


@dataclass(frozen=True, slots=True)
class DemoStatus:
    """A demo agent's status; `uptime` is in seconds since its plant runs, 0 if it does not."""

    agent: AgentStatus
    uptime: float
    ports: Ports


class TepDemo:
    """Start, stop and judge demo agents. Each has an id of its own; a config runs at most once."""

    def __init__(self, agents: Agents, supervisor: Supervisor, registry: Registry) -> None:
        self._agents = agents
        self._supervisor = supervisor
        self._registry = registry
        # What is being started, so that a second request for the same config finds it.
        self._starting: list[tuple[Path, Identity]] = []
        self._choice = asyncio.Lock()

    async def start(self, config_path: str, coreio_id: str | None) -> DemoStatus:
        """Start a demo, or whatever is missing of the one that runs with this config.

        Raises ConfigError, InvalidId, FilesUnavailable, SystemdUnavailable, StoreError.
        """
        path, _ = await load_config(config_path)
        coreio = identify(KindName.COREIO, f"{path.stem}-coreio" if coreio_id is None else coreio_id)
        async with self._choice:
            agent = await self._running_with(path) or self._next_id()
            starting = (path, agent)
            self._starting.append(starting)
        try:
            await self._agents.start_bundle(agent, coreio, path, plant=True)
        finally:
            self._starting.remove(starting)
        return await self.status(agent.instance)

    async def stop(self, agent_id: str) -> None:
        """Stop CoreRL, then the plant and its OPC UA server; CoreIO goes on. Raises UnknownService."""
        self._plant(agent_id)
        for kind in (KindName.CORERL, *reversed(PLANT_KINDS)):
            await self._supervisor.stop(Identity(kind, agent_id))

    async def status(self, agent_id: str) -> DemoStatus:
        """The demo's status. Raises UnknownService."""
        plant = self._plant(agent_id)
        since = plant.observed.since
        running = plant.state is State.RUNNING and since is not None
        uptime = (datetime.now(UTC) - since).total_seconds() if running and since else 0.0
        return DemoStatus(self._agents.status(agent_id), uptime, await _ports(plant.config_path))

    def _plant(self, agent_id: str) -> ServiceRecord:
        record = self._registry.get(Identity(KindName.TEP, agent_id).unit)
        if record is None:
            raise UnknownService(f"no demo agent {agent_id!r}; POST /api/agents/demo/tep/start makes one")
        return record

    async def _running_with(self, path: Path) -> Identity | None:
        for record in self._registry.of_kind(KindName.TEP):
            if record.intent is Intent.RUNNING and await same_file(record.config_path, str(path)):
                return Identity(KindName.CORERL, record.identity.instance)
        for other, agent in [*self._starting]:
            if await same_file(str(other), str(path)):
                return agent
        return None

    def _next_id(self) -> Identity:
        prefix = f"tep-demo-{datetime.now(UTC):%Y-%m-%d}-"
        taken = {record.identity.instance for record in self._registry.of_kind(KindName.TEP)}
        taken |= {agent.instance for _, agent in self._starting}
        number = next(n for n in range(1, len(taken) + 2) if f"{prefix}{n:03}" not in taken)
        return Identity(KindName.CORERL, f"{prefix}{number:03}")


async def _ports(config_path: str | None) -> Ports:
    """The ports in a config, none if it has become unreadable: a status must not fail for that."""
    try:
        return ports_of(await in_file_thread(read_config, Path(config_path))) if config_path else Ports()
    except (ConfigError, FilesUnavailable):
        return Ports()
