"""Bodies of requests and answers, as the OpenAPI page shows them."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from coredinator.agent.agents import AgentStatus
from coredinator.agent.demo import DemoStatus
from coredinator.service.accounting import usage_of
from coredinator.service.record import Health, ServiceRecord
from coredinator.service.rows import Transition
from coredinator.service.state import Intent, State
from coredinator.services.limits import NO_LIMITS, Limits, LimitsModel
from coredinator.web import examples


class StartCoreio(BaseModel):
    """Which config to start with."""

    # Limits of length keep answers and log lines short, and make pydantic refuse lone surrogates: JSON can spell
    # such characters, files and databases cannot hold them.
    model_config = ConfigDict(json_schema_extra={"examples": [{"config_path": "/etc/plant/backwash.yaml"}]})

    config_path: str = Field(description="Absolute path of the agent's YAML config", min_length=1, max_length=4096)
    coreio_id: str | None = Field(
        default=None,
        description="CoreIO to use, shared with whoever names it too; `<config stem>-coreio` by default",
        max_length=255,
    )


class StartLimitedCoreio(StartCoreio):
    """Which config to start a CoreIO with, and within which limits."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"config_path": "/etc/plant/backwash.yaml", "limits": {"memory_max": "512M"}}]}
    )

    limits: LimitsModel | None = Field(
        default=None, description="What it may use; without this it keeps the limits that it had"
    )


class StartAgent(StartCoreio):
    """Which config to start an agent with, and with which CoreRL."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"config_path": "/etc/plant/backwash.yaml"},
                {
                    "config_path": "/etc/plant/backwash.yaml",
                    "version": "1.4.2",
                    "limits": {"memory_max": "2G", "cpu_quota": "150%"},
                },
            ]
        }
    )

    version: str | None = Field(
        default=None,
        description="Version of CoreRL to run and keep, or `newest`; without this the one that is pinned, if any",
        examples=["1.4.2"],
        max_length=100,
    )
    limits: LimitsModel | None = Field(
        default=None, description="What CoreRL may use; without this it keeps the limits that it had"
    )


class HealthVerdict(BaseModel):
    """What a health check found of a service that runs."""

    healthy: bool
    detail: str

    @classmethod
    def of(cls, health: Health | None) -> Self | None:
        """The answer for a verdict, if there is one."""
        return None if health is None else cls(healthy=health.ok, detail=health.detail)


class ServiceStatus(BaseModel):
    """A service, as last seen by systemd. Times are UTC; what is not known is null."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.SERVICE]})

    id: str
    state: State
    intended_state: Intent
    config_path: str | None
    unit: str
    main_pid: int | None
    executable: str | None
    version: str | None
    since: datetime | None = Field(description="When the unit's state last changed")
    restarts: int = Field(description="Restarts by systemd since the last start or stable period")
    result: str | None = Field(description="systemd's Result: success, exit-code, signal, watchdog, oom-kill, …")
    exit_status: int | None = Field(description="Exit code or signal number of the last main process")
    error: str | None = Field(description="Why the last start made no unit")
    memory_bytes: int | None = Field(
        description="Of all processes; of the main process where the host has no memory controller"
    )
    memory_peak_bytes: int | None
    cpu_seconds: float | None = Field(
        description="Of all processes; of the main process where the host has no unified cgroups"
    )
    tasks: int | None = Field(description="Processes and threads")
    io_read_bytes: int | None
    io_write_bytes: int | None
    unavailable: list[str] = Field(
        description="Figures that the kernel does not give for this unit: null, "
        "or in the case of memory and CPU time those of the main process alone"
    )
    limits: dict[str, int | str] = Field(
        description="Limits in force, those of drop-ins a moment after the start; "
        "of a stopped service those that it was given itself"
    )
    health: HealthVerdict | None = Field(description="What its health check found; null without one, or not yet")
    frozen: bool = Field(description="Whether an operator holds it still (systemctl freeze)")
    drop_ins: list[str] = Field(description="Drop-in files that apply to the unit, known a moment after its start")

    @classmethod
    def of(cls, record: ServiceRecord) -> Self:
        """The status of a service."""
        observed = record.observed
        usage = usage_of(observed)
        return cls(
            id=record.identity.service_id,
            state=record.state,
            intended_state=record.intent,
            config_path=record.config_path,
            unit=record.unit,
            main_pid=observed.main_pid,
            executable=record.executable,
            version=record.version,
            since=observed.since,
            restarts=observed.restarts,
            result=observed.result,
            exit_status=observed.exit_status,
            error=record.error,
            memory_bytes=usage.memory_bytes,
            memory_peak_bytes=usage.memory_peak_bytes,
            cpu_seconds=usage.cpu_seconds,
            tasks=usage.tasks,
            io_read_bytes=usage.io_read_bytes,
            io_write_bytes=usage.io_write_bytes,
            unavailable=list(usage.unavailable),
            limits=_limits(record).shown(),
            health=HealthVerdict.of(record.health),
            frozen=observed.frozen,
            drop_ins=list(observed.drop_ins),
        )


def _limits(record: ServiceRecord) -> Limits:
    in_force = record.observed.limits
    return in_force if record.state is not State.STOPPED and in_force != NO_LIMITS else record.limits or NO_LIMITS


class AgentAnswer(BaseModel):
    """An agent and its services by role: corerl, coreio, and a demo's tep and uaserver."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.AGENT]})

    id: str
    state: State
    intended_state: Intent
    config_path: str | None
    service_statuses: dict[str, ServiceStatus]

    @classmethod
    def of(cls, agent: AgentStatus) -> Self:
        """The answer for an agent."""
        return cls(
            id=agent.id,
            state=agent.state,
            intended_state=agent.intent,
            config_path=agent.config_path,
            service_statuses={role: ServiceStatus.of(record) for role, record in agent.services.items()},
        )


class UnknownAgent(BaseModel):
    """An agent of which nothing is known is a stopped one."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.UNKNOWN_AGENT]})

    id: str
    state: State = State.STOPPED
    config_path: None = None
    service_statuses: dict[str, ServiceStatus] = Field(default_factory=dict[str, ServiceStatus])


class TransitionAnswer(BaseModel):
    """A change of state in the history, with who or what caused it."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.TRANSITION]})

    at: datetime
    unit: str
    previous_state: str
    state: str
    cause: str
    main_pid: int | None
    result: str | None
    exit_status: int | None
    restarts: int

    @classmethod
    def of(cls, transition: Transition) -> Self:
        """The answer for a line of the history."""
        return cls.model_validate(transition)


class CoreioAnswer(BaseModel):
    """A CoreIO service."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.COREIO]})

    service_id: str
    status: ServiceStatus

    @classmethod
    def of(cls, record: ServiceRecord) -> Self:
        """The answer for a CoreIO."""
        return cls(service_id=record.identity.service_id, status=ServiceStatus.of(record))


class CoreioStarted(CoreioAnswer):
    """A CoreIO that was started, or that ran already."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.COREIO_STARTED]})

    message: str
    config_path: str | None


class CoreioList(BaseModel):
    """All CoreIO services."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"coreio_services": [examples.COREIO]}]})

    coreio_services: list[CoreioAnswer]


class Message(BaseModel):
    """What was done."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"message": "agent backwash is stopped"}]})

    message: str


class Problem(BaseModel):
    """What went wrong, with what, and what to do about it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"detail": "no agent 'backwash'; GET /api/agents/ lists them"}]}
    )

    detail: str


class MalformedPart(BaseModel):
    """A part of a request that is not what it should be."""

    type: str
    loc: list[str | int]
    msg: str


class InvalidRequest(BaseModel):
    """What is wrong with a request: with its parts, or with an id that cannot become the name of a unit."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"detail": [{"type": "missing", "loc": ["body", "config_path"], "msg": "Field required"}]},
                {"detail": "id '..' names a folder in paths and URLs; use letters, digits, '-' and '_'"},
            ]
        }
    )

    detail: str | list[MalformedPart]


class PortsAnswer(BaseModel):
    """Ports in the agent's config, null where it names none."""

    coreio: int | None
    corerl: int | None


class DemoAnswer(BaseModel):
    """A demo agent."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DEMO]})

    agent_id: str
    status: State
    uptime_seconds: float
    ports: PortsAnswer
    config: str | None = Field(description="Path of the config it was started with")
    service_statuses: dict[str, ServiceStatus]

    @classmethod
    def of(cls, demo: DemoStatus) -> Self:
        """The answer for a demo agent."""
        agent = AgentAnswer.of(demo.agent)
        return cls(
            agent_id=agent.id,
            status=agent.state,
            uptime_seconds=demo.uptime,
            ports=PortsAnswer(coreio=demo.ports.coreio, corerl=demo.ports.corerl),
            config=agent.config_path,
            service_statuses=agent.service_statuses,
        )


class BusConfig(BaseModel):
    """Addresses of the event bus: where it binds, and where clients connect."""

    xsub_addr: str
    xpub_addr: str
    publisher_endpoint: str
    subscriber_endpoint: str


class BusHealth(BaseModel):
    """The event bus."""

    status: str
    config: BusConfig


class SystemdHealth(BaseModel):
    """The systemd that runs the units."""

    status: str
    scope: str
    version: int


class ManagerHealth(BaseModel):
    """The manager's health; `reasons` say what is degraded."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.MANAGER]})

    status: str
    process_id: int
    service: str
    version: str
    event_bus: BusHealth
    systemd: SystemdHealth
    reasons: list[str]
