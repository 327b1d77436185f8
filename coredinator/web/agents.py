"""Routes of agents."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, FastAPI, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from coredinator.agent.agents import Agents
from coredinator.agent.validation import validate_agent
from coredinator.services.limits import LimitsModel
from coredinator.web.dependencies import AgentsOf, RuntimeOf
from coredinator.web.errors import problems
from coredinator.web.models import AgentAnswer, Message, StartAgent, TransitionAnswer, UnknownAgent
from coredinator.web.operation_models import (
    LimitsAnswer,
    UpgradeAgent,
    UpgradeAnswer,
    ValidateAgent,
    ValidationAnswer,
    VersionsAnswer,
)
from coredinator.web.pages import Pages


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    app.state.pages = Pages(app.state.runtime.agents)
    yield


router = APIRouter(prefix="/api/agents", tags=["agents"], lifespan=_lifespan)

AgentId = Annotated[str, Path(examples=["backwash"])]
AnsweredId = Annotated[str, Field(examples=["backwash"])]


# Routes are tried one after the other: first those that clients ask again and again.
@router.get("/{agent_id}/status", response_model=AgentAnswer | UnknownAgent)
async def agent_status(agent_id: AgentId, request: Request) -> Response:
    """The state of an agent and its services, from the mirror; what they use may be up to a second old."""
    return _ready(_pages(request).status(agent_id))


@router.get("/", response_model=list[AnsweredId])
async def list_agents(request: Request) -> Response:
    """The ids of all agents, stopped ones included."""
    return _ready(_pages(request).ids())


@router.post("/start", response_model=AnsweredId, responses=problems(400, 409, 422, 502, 503))
async def start_agent(order: StartAgent, request: Request) -> Response:
    """Start CoreIO unless it runs, then CoreRL; the answer is the agent's id."""
    limits = order.limits.limits() if order.limits else None
    agent_id = await _agents(request).start(order.config_path, order.coreio_id, order.version, limits)
    return JSONResponse(agent_id)


@router.post("/validate", responses=problems(400, 422))
async def validate(order: ValidateAgent, runtime: RuntimeOf) -> ValidationAnswer:
    """Say all that stands against a start, and create nothing.

    Checked are the config, the ids, the executables, the ports that the config names (against those
    of Coredinator, of other agents, and of whoever listens), the limits, and the health check's port.
    """
    around = await runtime.surroundings(order.config_path)
    return ValidationAnswer.of(*await validate_agent(order.order(), around))


@router.post("/{agent_id}/stop", response_model=Message, responses=problems(502, 503))
async def stop_agent(agent_id: AgentId, request: Request) -> Response:
    """Stop CoreRL of an agent. CoreIO goes on."""
    await _agents(request).stop(agent_id)
    return JSONResponse(Message(message=f"agent {agent_id} is stopped").model_dump())


@router.post("/{agent_id}/restart", responses=problems(400, 404, 409, 502, 503))
async def restart_agent(agent_id: AgentId, agents: AgentsOf) -> Message:
    """Restart CoreRL with the newest fitting executable, and start CoreIO unless it runs.

    What runs is stopped only once its config can be read and an executable is there.
    """
    await agents.restart(agent_id)
    return Message(message=f"agent {agent_id} was restarted")


@router.get("/{agent_id}/versions", responses=problems(404))
async def agent_versions(agent_id: AgentId, runtime: RuntimeOf) -> VersionsAnswer:
    """Which version of CoreRL runs, and which are there."""
    return VersionsAnswer.of(await runtime.upgrades.versions(agent_id))


@router.post("/{agent_id}/upgrade", responses=problems(400, 404, 409, 422, 502, 503))
async def upgrade_agent(agent_id: AgentId, runtime: RuntimeOf, order: UpgradeAgent | None = None) -> UpgradeAnswer:
    """Run another version of CoreRL; the answer comes when it has proved itself, or has been rolled back.

    The old version runs on until the new executable and the config have been checked, and comes back
    if the new one ends, or does not become healthy within its grace period. It is pinned then.
    """
    order = order or UpgradeAgent()
    outcome = await runtime.upgrades.upgrade(agent_id, order.version, order.grace)
    return UpgradeAnswer.model_validate(outcome)


@router.delete("/{agent_id}", responses=problems(404, 409, 502, 503))
async def delete_agent(agent_id: AgentId, agents: AgentsOf) -> Message:
    """Forget an agent that is stopped. Its CoreIO stays, and its config file anyway."""
    await agents.delete(agent_id)
    return Message(message=f"agent {agent_id} is forgotten")


@router.patch("/{agent_id}/limits", responses=problems(400, 404, 409, 422, 502, 503))
async def limit_agent(agent_id: AgentId, change: LimitsModel, agents: AgentsOf) -> LimitsAnswer:
    """Change limits of CoreRL, at once and for all later starts.

    Limits that are not named stay; null goes back to what the settings file says. `nice` of a
    process cannot be changed while it runs and is taken at its next start.
    """
    waiting = await agents.change_limits(agent_id, change.changed)
    return LimitsAnswer.of(agents.known(agent_id), waiting)


@router.get("/{agent_id}/history", responses=problems(503))
async def agent_history(
    agent_id: AgentId, agents: AgentsOf, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[TransitionAnswer]:
    """The last changes of an agent's services, newest first."""
    return [TransitionAnswer.of(line) for line in await agents.history(agent_id, limit)]


def _pages(request: Request) -> Pages:
    """The pages of the application; as a dependency it would take FastAPI longer than all the rest of these routes."""
    return request.app.state.pages


def _agents(request: Request) -> Agents:
    """The agents, for the routes that are asked for many agents at a time; a dependency would take its time, too."""
    return request.app.state.runtime.agents


def _ready(body: bytes) -> Response:
    return Response(body, media_type="application/json")
