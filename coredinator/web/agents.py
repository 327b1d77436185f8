"""Routes of agents."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from coredinator.web.dependencies import AgentsOf
from coredinator.web.errors import problems
from coredinator.web.models import AgentAnswer, Message, StartAgent, TransitionAnswer, UnknownAgent

router = APIRouter(prefix="/api/agents", tags=["agents"])

AgentId = Annotated[str, Path(examples=["backwash"])]


@router.post("/start", responses=problems(400, 409, 422, 502, 503))
async def start_agent(order: StartAgent, agents: AgentsOf) -> str:
    """Start CoreIO unless it runs, then CoreRL; the answer is the agent's id."""
    return await agents.start(order.config_path, order.coreio_id, order.version)


@router.post("/{agent_id}/stop", responses=problems(502, 503))
async def stop_agent(agent_id: AgentId, agents: AgentsOf) -> Message:
    """Stop CoreRL of an agent. CoreIO goes on."""
    await agents.stop(agent_id)
    return Message(message=f"agent {agent_id} is stopped")


@router.get("/{agent_id}/status")
async def agent_status(agent_id: AgentId, agents: AgentsOf) -> AgentAnswer | UnknownAgent:
    """The state of an agent and its services, from the mirror."""
    status = agents.status(agent_id)
    return AgentAnswer.of(status) if status.services else UnknownAgent(id=agent_id)


@router.get("/{agent_id}/history", responses=problems(503))
async def agent_history(
    agent_id: AgentId, agents: AgentsOf, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[TransitionAnswer]:
    """The last changes of an agent's services, newest first."""
    return [TransitionAnswer.of(line) for line in await agents.history(agent_id, limit)]


@router.get("/")
async def list_agents(agents: AgentsOf) -> list[str]:
    """The ids of all agents, stopped ones included."""
    return agents.ids()
