"""Everything that speaks D-Bus to systemd, behind a typed asyncio interface."""

from coredinator.systemd.errors import (
    AccessDenied,
    NoSuchUnit,
    SystemdError,
    SystemdUnavailable,
    UnitExists,
)
from coredinator.systemd.manager import Listing, Scope, SystemdManager
from coredinator.systemd.types import (
    Connected,
    Disconnected,
    Event,
    Identity,
    JobResult,
    ListedUnit,
    Reloaded,
    UnitChanged,
    UnitProperties,
    UnitRemoved,
)

__all__ = [
    "AccessDenied",
    "Connected",
    "Disconnected",
    "Event",
    "Identity",
    "JobResult",
    "ListedUnit",
    "Listing",
    "NoSuchUnit",
    "Reloaded",
    "Scope",
    "SystemdError",
    "SystemdManager",
    "SystemdUnavailable",
    "UnitChanged",
    "UnitExists",
    "UnitProperties",
    "UnitRemoved",
]
