"""The manager's own health."""

import os

from fastapi import APIRouter

from coredinator import __version__
from coredinator.web.dependencies import RuntimeOf
from coredinator.web.models import BusConfig, BusHealth, ManagerHealth, SystemdHealth

router = APIRouter(tags=["health"])


@router.get("/api/healthcheck")
async def healthcheck(runtime: RuntimeOf) -> ManagerHealth:
    """Whether the event bus, systemd and the state database work; always 200."""
    bus, systemd, addresses = runtime.event_bus, runtime.systemd, runtime.addresses
    found = (
        ("event bus", bus.reason),
        ("systemd", systemd.down_reason),
        ("state database", runtime.mirror.problem),
    )
    reasons = [f"{part}: {reason}" for part, reason in found if reason is not None]
    return ManagerHealth(
        status="degraded" if reasons else "healthy",
        process_id=os.getpid(),
        service="coredinator",
        version=__version__,
        event_bus=BusHealth(
            status="running" if bus.running else "stopped",
            config=BusConfig(
                xsub_addr=addresses.xsub_addr,
                xpub_addr=addresses.xpub_addr,
                publisher_endpoint=addresses.publisher_endpoint,
                subscriber_endpoint=addresses.subscriber_endpoint,
            ),
        ),
        systemd=SystemdHealth(
            status="unreachable" if systemd.down_reason else "connected",
            scope=systemd.scope,
            version=systemd.version,
        ),
        reasons=reasons,
    )
