"""Bodies of the requests and answers about validation, versions, limits and one-off services."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from coredinator.agent.agents import NEWEST
from coredinator.agent.one_offs import OneOff
from coredinator.agent.upgrade import Outcome, Versions
from coredinator.agent.validation import Finding, Order
from coredinator.service.record import ServiceRecord
from coredinator.web import examples
from coredinator.web.models import ServiceStatus


class ValidateAgent(BaseModel):
    """A start that is to be checked; what is wrong with it is a finding, not an error of this request."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"config_path": "/etc/plant/backwash.yaml", "limits": {"memory_max": "2G"}}]},
    )

    config_path: str = Field(max_length=4096)
    coreio_id: str | None = Field(default=None, max_length=255)
    version: str | None = Field(default=None, max_length=100)
    limits: dict[str, Any] | None = None

    def order(self) -> Order:
        """The start to be checked."""
        return Order(self.config_path, self.coreio_id, self.version, self.limits)


class FindingAnswer(BaseModel):
    """One thing that stands against a start."""

    model_config = ConfigDict(from_attributes=True)

    subject: str = Field(description="config, id, executable, port, limits or health")
    problem: str


class ValidationAnswer(BaseModel):
    """All that stands against a start."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "valid": False,
                    "agent_id": "backwash",
                    "findings": [
                        {
                            "subject": "port",
                            "problem": "coreio.coreio_origin names port 5559, "
                            "which is that of the event bus for publishers; give another port",
                        }
                    ],
                }
            ]
        }
    )

    valid: bool
    agent_id: str | None
    findings: list[FindingAnswer]

    @classmethod
    def of(cls, agent_id: str | None, findings: list[Finding]) -> Self:
        """The answer for what was found."""
        listed = [FindingAnswer.model_validate(finding) for finding in findings]
        return cls(valid=not findings, agent_id=agent_id, findings=listed)


class UpgradeAgent(BaseModel):
    """Which version of CoreRL to run from now on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"version": "1.5.0", "grace": 20}]})

    version: str = Field(
        default=NEWEST, min_length=1, max_length=100, description="A version, which is then pinned, or `newest`"
    )
    grace: float | None = Field(
        default=None, gt=0, le=3600,
        description="Seconds for the new version to become healthy, or, without a health check over the network, "
        "to run without a break; 30 (or the check's own grace period) and 10 by default",
    )  # fmt: skip


class UpgradeAnswer(BaseModel):
    """How an upgrade ended."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "agent_id": "backwash",
                    "outcome": "rolled_back",
                    "version": "1.4.2",
                    "previous_version": "1.4.2",
                    "reason": "it ended: result exit-code, exit status 3",
                }
            ]
        },
    )

    agent_id: str
    outcome: Outcome
    version: str | None = Field(description="The version that runs now")
    previous_version: str | None
    reason: str | None = Field(description="Why it is not the version that was asked for")


class AvailableVersion(BaseModel):
    """An executable of CoreRL below the base path."""

    version: str
    executable: str


class VersionsAnswer(BaseModel):
    """The version that an agent runs, and those that it could; the newest, which a start takes, is the first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "running": "1.4.2",
                    "executable": "/opt/coredinator/1.4.2/linux-corerl-v1.4.2",
                    "pinned": None,
                    "available": [
                        {"version": "1.5.0", "executable": "/opt/coredinator/1.5.0/linux-corerl-v1.5.0"},
                        {"version": "1.4.2", "executable": "/opt/coredinator/1.4.2/linux-corerl-v1.4.2"},
                    ],
                }
            ]
        }
    )

    running: str | None
    executable: str | None
    pinned: str | None = Field(description="The version that every start takes; null for the newest")
    available: list[AvailableVersion]

    @classmethod
    def of(cls, versions: Versions) -> Self:
        """The answer for an agent's versions."""
        available = [
            AvailableVersion(version=str(item.version), executable=str(item.path)) for item in versions.available
        ]
        return cls(
            running=versions.running, executable=versions.executable, pinned=versions.pinned, available=available
        )


class LimitsAnswer(BaseModel):
    """The service's own limits after a change, and those of them that wait for its next start."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"limits": {"memory_max": 536870912, "nice": 5}, "at_next_start": ["nice"]}]}
    )

    limits: dict[str, int | str]
    at_next_start: list[str]

    @classmethod
    def of(cls, record: ServiceRecord, at_next_start: list[str]) -> Self:
        """The answer to a change of limits."""
        return cls(limits=record.limits.shown() if record.limits else {}, at_next_start=at_next_start)


class OneOffAnswer(BaseModel):
    """A one-off service; `autostart` starts it by itself as long as nobody stops it."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.ONE_OFF]})

    name: str
    declared: bool = Field(description="Whether the settings file still has it")
    autostart: bool = Field(description="Whether it is started by itself as long as nobody stops it")
    status: ServiceStatus

    @classmethod
    def of(cls, service: OneOff) -> Self:
        """The answer for a service."""
        return cls(
            name=service.record.identity.instance,
            declared=service.definition is not None,
            autostart=service.definition is not None and service.definition.autostart,
            status=ServiceStatus.of(service.record),
        )


class OneOffList(BaseModel):
    """All one-off services."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"services": [examples.ONE_OFF]}]})

    services: list[OneOffAnswer]
