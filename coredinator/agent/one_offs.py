"""One-off microservices: declared in the settings file, supervised like an agent's services."""

from collections.abc import Awaitable, Callable
from copy import replace
from dataclasses import dataclass
from pathlib import Path

from coredinator.errors import UnknownService
from coredinator.service.config_file import read_config
from coredinator.service.identity import Identity
from coredinator.service.record import Order, ServiceRecord
from coredinator.service.registry import Registry
from coredinator.service.rows import Transition
from coredinator.service.state import Intent
from coredinator.service.supervisor import Supervisor
from coredinator.services import Catalogue, Definition, KindName, Limits
from coredinator.utils.fleeting_threads import in_file_thread


@dataclass(frozen=True, slots=True)
class OneOff:
    """A one-off service; `definition` is None for one that is not declared any more."""

    record: ServiceRecord
    definition: Definition | None


class OneOffs:
    """Operations on one-off services, by name. `ensure_event_bus` is awaited before each start."""

    def __init__(
        self,
        supervisor: Supervisor,
        registry: Registry,
        catalogue: Catalogue,
        ensure_event_bus: Callable[[], Awaitable[None]],
    ) -> None:
        self._supervisor = supervisor
        self._maintenance = supervisor.maintenance
        self._registry = registry
        self._declared = catalogue.services
        self._ensure_event_bus = ensure_event_bus

    def autostart(self) -> list[ServiceRecord]:
        """The services that are wanted as long as nobody has said otherwise."""
        declared = self._declared.items()
        return [_wanted(name, definition) for name, definition in declared if definition.autostart]

    async def start(self, name: str) -> OneOff:
        """Have a declared service run. Raises UnknownService, ConfigError, SystemdUnavailable, StoreError."""
        definition = self._declared.get(name)
        if definition is None:
            raise UnknownService(f"no service {name!r} is declared in the settings file; add it there under services:")
        if definition.config_path is not None:
            await in_file_thread(read_config, Path(definition.config_path))
        await self._ensure_event_bus()
        await self._supervisor.start(Order(_wanted(name, definition), any_config=True))
        return self.get(name)

    async def stop(self, name: str) -> None:
        """Stop a service; it stays stopped, also after a reboot. Raises UnknownService."""
        await self._supervisor.stop(self.get(name).record.identity)

    async def restart(self, name: str) -> OneOff:
        """Restart a service as it is declared by now; one that was never started is started.

        Raises UnknownService, ConfigError, ExecutableNotFound, UnitConflict, SystemdUnavailable, StoreError.
        """
        definition = self._declared.get(name)
        known = self._registry.get(_identity(name).unit)
        if known is None or definition is None:
            return await self.start(name)
        await self._ensure_event_bus()
        await self._maintenance.restart(
            known.identity, "restart asked for", lambda record: replace(record, config_path=definition.config_path)
        )
        return self.get(name)

    async def delete(self, name: str) -> None:
        """Forget a service that is stopped. Raises UnknownService, UnitConflict."""
        await self._maintenance.delete(self.get(name).record.identity)

    async def change_limits(self, name: str, change: Callable[[Limits], Limits]) -> list[str]:
        """Change the limits of a service; return the names of those that apply at its next start."""
        return await self._maintenance.change_limits(self.get(name).record.identity, change)

    async def history(self, name: str, limit: int) -> list[Transition]:
        """The last changes of a service, newest first. Raises UnknownService, StoreError."""
        return await self._registry.history(self.get(name).record.unit, limit)

    def get(self, name: str) -> OneOff:
        """A service; one that is declared and was never started is a stopped one. Raises UnknownService."""
        definition = self._declared.get(name)
        record = self._registry.get(_identity(name).unit)
        if record is None and definition is not None:
            record = ServiceRecord(_identity(name), name, definition.config_path, Intent.STOPPED)
        if record is None:
            raise UnknownService(f"no service {name!r}; GET /api/services/ lists them")
        return OneOff(record, definition)

    def all(self) -> list[OneOff]:
        """All services that are declared, or that are known from before."""
        known = {record.identity.instance for record in self._registry.of_kind(KindName.SERVICE)}
        return [self.get(name) for name in sorted(known | self._declared.keys())]


def _identity(name: str) -> Identity:
    return Identity(KindName.SERVICE, name)


def _wanted(name: str, definition: Definition) -> ServiceRecord:
    return ServiceRecord(_identity(name), name, definition.config_path, Intent.RUNNING)
