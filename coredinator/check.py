"""`coredinator --check-config`: says what is wrong with the settings and with agents' configs, and does nothing."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from coredinator.agent.agents import wanted
from coredinator.agent.validation import Order, Surroundings, neighbours, validate_agent, validate_services
from coredinator.event_bus.addresses import reserved_ports
from coredinator.service.identity import Identity
from coredinator.service.listeners import tcp_listeners
from coredinator.service.record import ServiceRecord
from coredinator.services import KindName
from coredinator.settings import Settings


def findings_of(settings: Settings, configs: Sequence[str]) -> list[str]:
    """Everything that stands against the services of the settings and against agents with these configs."""
    return asyncio.run(_findings(settings, [str(Path(config).absolute()) for config in configs]))


async def _findings(settings: Settings, configs: Sequence[str]) -> list[str]:
    reserved = reserved_ports(settings.port, settings.event_bus_pub_port, settings.event_bus_sub_port)
    listeners = tcp_listeners()

    def around(config: str | None) -> Surroundings:
        # Those that are checked along with it; what is wrong with them is said of themselves.
        others = neighbours([_agent(Path(other)) for other in configs], Path(config).stem if config else "")
        return Surroundings(settings.base_path, settings.catalogue, reserved, listeners, others)

    lines = [f"{finding.subject}: {finding.problem}" for finding in await validate_services(around(None))]
    for config in configs:
        _, findings = await validate_agent(Order(config), around(config))
        lines += [f"{config}: {finding.subject}: {finding.problem}" for finding in findings]
    return lines


def _agent(path: Path) -> ServiceRecord:
    """An agent as it would be started with a config."""
    return wanted(Identity(KindName.CORERL, path.stem), path.stem, path, coreio_id=f"{path.stem}-coreio")
