"""Whether an agent or a service could be started: everything that stands against it at once. Nothing is created."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from coredinator.agent.agents import NEWEST, PLANT_KINDS, load_config
from coredinator.agent.ports import Ports, ports_of
from coredinator.errors import ConfigError, ExecutableNotFound, InvalidId
from coredinator.service.config_file import read_config
from coredinator.service.executable import find_executable
from coredinator.service.identity import Identity, identify
from coredinator.service.listeners import Listener
from coredinator.service.record import ServiceRecord
from coredinator.service.runnable import why_not_runnable
from coredinator.services import Catalogue, Definition, KindName, Limits
from coredinator.services.limits import LimitsModel, contradiction
from coredinator.utils.fleeting_threads import in_file_thread


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and with what: config, id, executable, port, limits or health."""

    subject: str
    problem: str


@dataclass(frozen=True, slots=True)
class Order:
    """A start as it is asked for, unchecked."""

    config_path: str
    coreio_id: str | None = None
    version: str | None = None
    limits: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another agent, and the ports that its config names."""

    agent_id: str
    coreio_id: str | None
    ports: Ports


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a start meets: executables, ports that are spoken for, other agents, and what of this one runs."""

    base_path: Path
    catalogue: Catalogue
    reserved: Mapping[int, str]
    listeners: Mapping[int, Listener]
    neighbours: tuple[Neighbour, ...] = ()
    running: frozenset[str] = frozenset()
    """Units that have a process; what listens unseen on the port of one of them is taken for its own."""


def neighbours(agents: Iterable[ServiceRecord], agent_id: str) -> tuple[Neighbour, ...]:
    """All agents but one, with the ports in their configs; unreadable configs name none."""
    return tuple(
        Neighbour(record.identity.instance, record.coreio_id, _ports_in(record.config_path))
        for record in agents
        if record.identity.instance != agent_id
    )


async def validate_agent(order: Order, around: Surroundings) -> tuple[str | None, list[Finding]]:
    """The agent's id, if its config path has one, and all findings."""
    findings: list[Finding] = []
    stem = Path(order.config_path).stem
    ids = {
        KindName.CORERL: stem,
        KindName.COREIO: f"{stem}-coreio" if order.coreio_id is None else order.coreio_id,
    }
    for kind, instance in ids.items():
        try:
            identify(kind, instance)
        except InvalidId as error:
            findings.append(Finding("id", f"{kind}: {error}"))
    findings += await _executables(ids, order.version, around)
    findings += check_limits(order.limits, around.catalogue.kinds[KindName.CORERL].limits)
    try:
        _, config = await load_config(order.config_path)
    except ConfigError as error:
        return stem or None, [Finding("config", str(error)), *findings]
    ports = ports_of(config)
    findings += check_ports(ids[KindName.CORERL], ids[KindName.COREIO], ports, around)
    findings += check_health(KindName.CORERL, around.catalogue.kinds[KindName.CORERL], ports.corerl)
    findings += check_health(KindName.COREIO, around.catalogue.kinds[KindName.COREIO], ports.coreio)
    return stem, findings


async def validate_services(around: Surroundings) -> list[Finding]:
    """All findings about the one-off services that the settings file declares, and the health checks of kinds."""
    findings = [
        finding for kind in PLANT_KINDS for finding in check_health(f"kind {kind}", around.catalogue.kinds[kind], None)
    ]
    for name, definition in around.catalogue.services.items():
        subject = f"service {name}"
        findings += await _executable(subject, definition, None, around.base_path)
        ports = Ports()
        if definition.config_path is not None:
            try:
                _, config = await load_config(definition.config_path)
                ports = ports_of(config)
            except ConfigError as error:
                findings.append(Finding(subject, str(error)))
                continue
        findings += check_health(subject, definition, ports.corerl)
    return findings


def check_limits(limits: Mapping[str, Any] | None, others: Limits) -> list[Finding]:
    """What is wrong with limits as they were written, by themselves or beside `others` that hold for the rest."""
    try:
        own = LimitsModel.model_validate(limits or {}).limits()
    except ValidationError as error:
        return [Finding("limits", _describe(problem)) for problem in error.errors()]
    problem = contradiction(own.over(others))
    return [] if problem is None else [Finding("limits", problem)]


def check_ports(agent_id: str, coreio_id: str, ports: Ports, around: Surroundings) -> list[Finding]:
    """Ports of the config that are spoken for, that another agent names too, or that somebody else uses."""
    named = (
        ("event_bus.cli_connection", ports.corerl, Identity(KindName.CORERL, agent_id)),
        ("coreio.coreio_origin", ports.coreio, Identity(KindName.COREIO, coreio_id)),
    )
    findings: list[Finding] = []
    if ports.corerl is not None and ports.corerl == ports.coreio:
        findings.append(Finding("port", f"{named[0][0]} and {named[1][0]} both name port {ports.corerl}; change one"))
    for key, port, identity in named:
        if port is not None and (holder := _holder(port, identity, around)) is not None:
            findings.append(Finding("port", f"{key} names port {port}, which {holder}; give another port"))
    return findings


def check_health(subject: str, definition: Definition, port: int | None) -> list[Finding]:
    """A health check over the network needs a port, from somewhere."""
    check = definition.health
    if check is None or not check.probed or check.port is not None or port is not None:
        return []
    return [Finding("health", f"{subject} has a health check, but its config names no port; set health.port")]


def _holder(port: int, identity: Identity, around: Surroundings) -> str | None:
    """Who has a port that a service's config names, None if nobody else has."""
    if (reserved := around.reserved.get(port)) is not None:
        return f"is {reserved}"
    for other in around.neighbours:
        own_coreio = identity.kind is KindName.COREIO and other.coreio_id == identity.instance
        if port in {other.ports.corerl, other.ports.coreio} and not (own_coreio and port == other.ports.coreio):
            return f"agent {other.agent_id!r} names too"
    listener = around.listeners.get(port)
    if listener is None or listener.belongs_to(identity.unit):
        return None
    if listener.pid is None and identity.unit in around.running:
        return None
    return f"is in use by {listener.name}"


def _describe(problem: ErrorDetails) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    # A key that somebody else thought up may hold anything, even what an answer cannot.
    where = [str(part) if str(part).isprintable() else repr(part) for part in problem["loc"]]
    return ": ".join([*where, message])


def _ports_in(config_path: str | None) -> Ports:
    try:
        return ports_of(read_config(Path(config_path))) if config_path else Ports()
    except ConfigError:
        return Ports()


async def _executables(ids: Iterable[KindName], version: str | None, around: Surroundings) -> list[Finding]:
    findings: list[Finding] = []
    for kind in ids:
        pinned = version if kind is KindName.CORERL and version != NEWEST else None
        findings += await _executable("executable", around.catalogue.kinds[kind], pinned, around.base_path)
    return findings


async def _executable(subject: str, definition: Definition, version: str | None, base_path: Path) -> list[Finding]:
    try:
        found = await in_file_thread(find_executable, base_path, definition.spec, version)
    except ExecutableNotFound as error:
        return [Finding(subject, str(error))]
    problem = await in_file_thread(why_not_runnable, found.path)
    return [Finding(subject, problem)] if problem is not None else []
