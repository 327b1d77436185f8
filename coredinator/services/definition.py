"""How a service is to be run, beyond what its kind says: the settings file's word, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from coredinator.services.health import HealthCheck
from coredinator.services.kinds import KINDS, Kind, KindName
from coredinator.services.limits import DEFAULTS, Limits


class Restart(StrEnum):
    """When systemd starts a service again that has ended by itself (Restart= in systemd.service(5))."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Definition:
    """How to run a service.

    `spec` says which executable to look for. A one-off service brings its own `config_path`,
    `arguments` and `environment`; an agent's services have the config of the request.
    """

    spec: Kind
    limits: Limits = DEFAULTS
    health: HealthCheck | None = None
    restart: Restart = Restart.ALWAYS
    config_path: str | None = None
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    autostart: bool = False


def _none() -> Mapping[str, Definition]:
    return {}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the settings file says of the kinds, and the one-off services that it declares, by name."""

    kinds: Mapping[KindName, Definition] = field(
        default_factory=lambda: {name: Definition(kind) for name, kind in KINDS.items()}
    )
    services: Mapping[str, Definition] = field(default_factory=_none)

    def find(self, kind: KindName, instance: str) -> Definition | None:
        """The definition of a service; None for a one-off service that is not declared."""
        return self.services.get(instance) if kind is KindName.SERVICE else self.kinds[kind]

    @property
    def probes(self) -> list[HealthCheck]:
        """The health checks that the manager makes."""
        checks = (definition.health for definition in (*self.kinds.values(), *self.services.values()))
        return [check for check in checks if check is not None and check.probed]
