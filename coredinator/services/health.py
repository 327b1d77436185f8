"""How it is found out whether a service that runs is well: as written in the settings file, and as data."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from coredinator.services.spelling import DASHED


class ProbeType(StrEnum):
    """Who asks: the manager over HTTP or TCP, or systemd, which waits for the service's own signs of life."""

    HTTP = "http"
    TCP = "tcp"
    WATCHDOG = "watchdog"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A health check; times in seconds.

    `failures` in a row make a service `failed`, once it has run for `grace`. Without a `port` it is
    the one that the service's config names. Of a watchdog `timeout` is the time without a sign of
    life, and `grace` the time until the service has to be ready.
    """

    type: ProbeType
    host: str
    port: int | None
    path: str
    interval: float
    timeout: float
    failures: int
    grace: float

    @property
    def probed(self) -> bool:
        """Whether the manager asks."""
        return self.type is not ProbeType.WATCHDOG


SHORTEST = 0.1
"""Seconds; whatever is done again and again after less keeps a core busy."""

type Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
type Seconds = Annotated[float, Field(ge=SHORTEST, le=86_400)]

_TIMEOUT = 2.0
_WATCHDOG_TIMEOUT = 30.0


class HealthSection(BaseModel):
    """The section `health` of a kind or a service in the settings file."""

    model_config = DASHED

    type: ProbeType
    host: str = Field(default="127.0.0.1", min_length=1)
    port: Port | None = None
    path: str = Field(default="/api/healthcheck", pattern=r"^/[!-~]*$")
    interval: Seconds = 10.0
    timeout: Seconds | None = None
    failures: int = Field(default=3, ge=1, le=1000)
    grace: float = Field(default=30.0, ge=0, le=86_400)

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        probing = {"host", "port", "path", "interval", "failures"} & self.model_fields_set
        if self.type is ProbeType.WATCHDOG and probing:
            raise ValueError(f"a watchdog has no {', '.join(sorted(probing))}; it has timeout and grace")
        return self

    def check(self) -> HealthCheck:
        """The check as data."""
        usual = _WATCHDOG_TIMEOUT if self.type is ProbeType.WATCHDOG else _TIMEOUT
        return HealthCheck(
            self.type, self.host, self.port, self.path,
            self.interval, self.timeout or usual, self.failures, self.grace,
        )  # fmt: skip
