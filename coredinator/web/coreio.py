"""Routes of CoreIO services."""

from typing import Annotated

from fastapi import APIRouter, Path

from coredinator.services.limits import LimitsModel
from coredinator.web.dependencies import AgentsOf
from coredinator.web.errors import problems
from coredinator.web.models import (
    CoreioAnswer,
    CoreioList,
    CoreioStarted,
    Message,
    ServiceStatus,
    StartLimitedCoreio,
)
from coredinator.web.operation_models import LimitsAnswer

router = APIRouter(tags=["coreio"])

CoreioId = Annotated[str, Path(examples=["backwash-coreio"])]


@router.post("/start", responses=problems(400, 409, 422, 502, 503))
async def start_coreio(order: StartLimitedCoreio, agents: AgentsOf) -> CoreioStarted:
    """Start a CoreIO by itself."""
    limits = order.limits.limits() if order.limits else None
    record, ran = await agents.start_coreio(order.config_path, order.coreio_id, limits)
    name = record.identity.service_id
    return CoreioStarted(
        service_id=name,
        message=f"CoreIO {name} {'runs already' if ran else 'was started'}",
        config_path=record.config_path,
        status=ServiceStatus.of(record),
    )


@router.post("/{coreio_id}/stop", responses=problems(404, 502, 503))
async def stop_coreio(coreio_id: CoreioId, agents: AgentsOf) -> Message:
    """Stop a CoreIO and forget it."""
    await agents.stop_coreio(coreio_id)
    return Message(message=f"CoreIO {coreio_id} was stopped")


@router.post("/{coreio_id}/restart", responses=problems(400, 404, 409, 502, 503))
async def restart_coreio(coreio_id: CoreioId, agents: AgentsOf) -> Message:
    """Restart a CoreIO with the newest executable; it is stopped only once all is there for the start."""
    await agents.restart_coreio(coreio_id)
    return Message(message=f"CoreIO {coreio_id} was restarted")


@router.delete("/{coreio_id}", responses=problems(404, 409, 502, 503))
async def delete_coreio(coreio_id: CoreioId, agents: AgentsOf) -> Message:
    """Forget a CoreIO that is stopped: by an operator, say, for a stop through the API forgets it anyway."""
    await agents.delete_coreio(coreio_id)
    return Message(message=f"CoreIO {coreio_id} is forgotten")


@router.patch("/{coreio_id}/limits", responses=problems(400, 404, 409, 422, 502, 503))
async def limit_coreio(coreio_id: CoreioId, change: LimitsModel, agents: AgentsOf) -> LimitsAnswer:
    """Change limits of a CoreIO, as `PATCH /api/agents/{id}/limits` does those of CoreRL."""
    waiting = await agents.change_coreio_limits(coreio_id, change.changed)
    return LimitsAnswer.of(agents.coreio(coreio_id), waiting)


@router.get("/{coreio_id}/status", responses=problems(404))
async def coreio_status(coreio_id: CoreioId, agents: AgentsOf) -> CoreioAnswer:
    """The state of a CoreIO, from the mirror."""
    return CoreioAnswer.of(agents.coreio(coreio_id))


@router.get("/")
async def list_coreio(agents: AgentsOf) -> CoreioList:
    """All CoreIO services."""
    return CoreioList(coreio_services=[CoreioAnswer.of(record) for record in agents.coreios()])
