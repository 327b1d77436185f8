"""Reading PropertiesChanged of units: which of their properties, and which signals belong together."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dbus_fast import Variant

from coredinator.systemd.escape import object_path_to_unit
from coredinator.systemd.types import SIGNALLED_BY, Interface, UnitChanged


class UnitChanges:
    """Makes one `UnitChanged` of what systemd says of a unit in two signals; only paths with `prefix` count.

    At each change systemd tells of the Service first and of the Unit right behind it, "for atomic
    behavior" (send_changed_signal in its dbus-unit.c).
    """

    def __init__(self, prefix: str, emit: Callable[[UnitChanged], None]) -> None:
        self._prefix = prefix
        self._emit = emit
        self._half: tuple[str, dict[str, object]] | None = None

    def of_service(self, path: str, body: list[Any]) -> None:
        """Keep what changed until the rest comes."""
        self.flush()
        if path.startswith(self._prefix):
            self._half = path, pick(body[1], SIGNALLED_BY[Interface.SERVICE])

    def of_unit(self, path: str, body: list[Any]) -> None:
        """Pass on what changed, with what was kept for it."""
        properties: dict[str, object] = {}
        if self._half is not None and self._half[0] == path:
            (_, properties), self._half = self._half, None
        else:
            self.flush()
        if path.startswith(self._prefix):
            properties |= pick(body[1], SIGNALLED_BY[Interface.UNIT])
            self._pass_on(path, properties)

    def flush(self) -> None:
        """Pass on what was kept: something else has come than the rest of it."""
        if self._half is not None:
            half, self._half = self._half, None
            self._pass_on(*half)

    def drop(self) -> None:
        """Forget what was kept: its rest went with the connection."""
        self._half = None

    def _pass_on(self, path: str, properties: dict[str, object]) -> None:
        if properties:
            self._emit(UnitChanged(object_path_to_unit(path), properties))


def pick(properties: Mapping[str, Variant], names: Iterable[str]) -> dict[str, object]:
    """The values of some properties: a service has some 400."""
    return {name: properties[name].value for name in names if name in properties}
