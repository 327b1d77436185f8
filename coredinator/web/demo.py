"""Routes of the demo agent on the simulated Tennessee Eastman plant."""

from typing import Annotated

from fastapi import APIRouter, Path

from coredinator.web.dependencies import DemoOf
from coredinator.web.errors import problems
from coredinator.web.models import DemoAnswer, Message, StartCoreio

router = APIRouter(tags=["demo"])

DemoId = Annotated[str, Path(examples=["tep-demo-2025-09-04-001"])]


@router.post("/start", responses=problems(400, 409, 422, 502, 503))
async def start_demo(order: StartCoreio, demo: DemoOf) -> DemoAnswer:
    """Start the plant, its OPC UA server, CoreIO and CoreRL; a config that runs already is shared."""
    return DemoAnswer.of(await demo.start(order.config_path, order.coreio_id))


@router.post("/{agent_id}/stop", responses=problems(404, 502, 503))
async def stop_demo(agent_id: DemoId, demo: DemoOf) -> Message:
    """Stop CoreRL, the plant and its OPC UA server."""
    await demo.stop(agent_id)
    return Message(message=f"demo agent {agent_id} is stopped")


@router.get("/{agent_id}/status", responses=problems(404))
async def demo_status(agent_id: DemoId, demo: DemoOf) -> DemoAnswer:
    """The state of a demo agent, from the mirror."""
    return DemoAnswer.of(await demo.status(agent_id))
