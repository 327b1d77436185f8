"""Routes of CoreIO services."""

from typing import Annotated

from fastapi import APIRouter, Path

from coredinator.web.dependencies import AgentsOf
from coredinator.web.errors import problems
from coredinator.web.models import CoreioAnswer, CoreioList, CoreioStarted, Message, ServiceStatus, StartCoreio

router = APIRouter(tags=["coreio"])

CoreioId = Annotated[str, Path(examples=["backwash-coreio"])]


@router.post("/start", responses=problems(400, 409, 422, 502, 503))
async def start_coreio(order: StartCoreio, agents: AgentsOf) -> CoreioStarted:
    """Start a CoreIO by itself."""
    record, ran = await agents.start_coreio(order.config_path, order.coreio_id)
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


@router.get("/{coreio_id}/status", responses=problems(404))
async def coreio_status(coreio_id: CoreioId, agents: AgentsOf) -> CoreioAnswer:
    """The state of a CoreIO, from the mirror."""
    return CoreioAnswer.of(agents.coreio(coreio_id))


@router.get("/")
async def list_coreio(agents: AgentsOf) -> CoreioList:
    """All CoreIO services."""
    return CoreioList(coreio_services=[CoreioAnswer.of(record) for record in agents.coreios()])
