"""Routes of one-off microservices."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from coredinator.services.limits import LimitsModel
from coredinator.web.dependencies import OneOffsOf
from coredinator.web.errors import problems
from coredinator.web.models import Message, TransitionAnswer
from coredinator.web.operation_models import LimitsAnswer, OneOffAnswer, OneOffList

router = APIRouter(prefix="/api/services", tags=["services"])

ServiceName = Annotated[str, Path(examples=["coretelemetry"])]


@router.get("/")
async def list_services(services: OneOffsOf) -> OneOffList:
    """All services that the settings file declares, and those from before that are not deleted."""
    return OneOffList(services=[OneOffAnswer.of(service) for service in services.all()])


@router.post("/{name}/start", responses=problems(400, 404, 409, 502, 503))
async def start_service(name: ServiceName, services: OneOffsOf) -> OneOffAnswer:
    """Start a service that the settings file declares."""
    return OneOffAnswer.of(await services.start(name))


@router.post("/{name}/stop", responses=problems(404, 502, 503))
async def stop_service(name: ServiceName, services: OneOffsOf) -> Message:
    """Stop a service. It stays stopped until it is started, also after a reboot."""
    await services.stop(name)
    return Message(message=f"service {name} is stopped")


@router.post("/{name}/restart", responses=problems(400, 404, 409, 502, 503))
async def restart_service(name: ServiceName, services: OneOffsOf) -> OneOffAnswer:
    """Restart a service as it is declared by now; it is stopped only once all is there for the start."""
    return OneOffAnswer.of(await services.restart(name))


@router.delete("/{name}", responses=problems(404, 409, 502, 503))
async def delete_service(name: ServiceName, services: OneOffsOf) -> Message:
    """Forget a service that is stopped. One that is declared still is as new: autostart applies to it again."""
    await services.delete(name)
    return Message(message=f"service {name} is forgotten")


@router.patch("/{name}/limits", responses=problems(400, 404, 409, 422, 502, 503))
async def limit_service(name: ServiceName, change: LimitsModel, services: OneOffsOf) -> LimitsAnswer:
    """Change limits of a service, as `PATCH /api/agents/{id}/limits` does those of CoreRL."""
    waiting = await services.change_limits(name, change.changed)
    return LimitsAnswer.of(services.get(name).record, waiting)


@router.get("/{name}/status", responses=problems(404))
async def service_status(name: ServiceName, services: OneOffsOf) -> OneOffAnswer:
    """The state of a service, from the mirror."""
    return OneOffAnswer.of(services.get(name))


@router.get("/{name}/history", responses=problems(404, 503))
async def service_history(
    name: ServiceName, services: OneOffsOf, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[TransitionAnswer]:
    """The last changes of a service, newest first."""
    return [TransitionAnswer.of(line) for line in await services.history(name, limit)]
