"""The kinds of services and their definitions, as data."""

from coredinator.services.definition import Catalogue, Definition, Restart
from coredinator.services.health import HealthCheck, ProbeType
from coredinator.services.kinds import KINDS, Kind, KindName
from coredinator.services.limits import Limits

__all__ = [
    "KINDS",
    "Catalogue",
    "Definition",
    "HealthCheck",
    "Kind",
    "KindName",
    "Limits",
    "ProbeType",
    "Restart",
]
