"""systemd over D-Bus with nothing of ours between: the limit that starts and stops are held against."""

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from gi.repository import Gio, GLib

from coredinator.service.record import ServiceRecord
from coredinator.service.workload import workload_properties
from coredinator.services import Definition
from coredinator.systemd.escape import object_path_to_unit
from coredinator.systemd.properties import SIGNATURES

_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_PATIENCE_MS = 30_000

type Call = tuple[str, GLib.Variant]
"""A method of systemd's Manager that makes a job, and its arguments."""


class BareSystemd:
    """The user's systemd on a connection of its own, driven by the calling thread's GLib loop."""

    def __init__(self) -> None:
        address = Gio.dbus_address_get_for_bus_sync(Gio.BusType.SESSION, None)
        flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
        self._connection = Gio.DBusConnection.new_for_address_sync(address, flags, None, None)
        self._connection.set_exit_on_close(False)
        self._loop = GLib.MainContext.default()
        self._removed: dict[str, str] = {}
        self._signal(_MANAGER, "JobRemoved", self._job_removed)
        self._call("Subscribe", None)
        version = self._property(_PATH, _MANAGER, "Version")
        self.version = int(str(version).split()[0].split(".")[0].split("~")[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close_sync(None)

    def start(self, record: ServiceRecord) -> Call:
        """The call that starts the unit of a service, with the properties that the manager gives it."""
        definition = Definition(record.identity.spec)
        properties = workload_properties(record, definition, systemd_version=self.version)
        pairs = [(name, GLib.Variant(SIGNATURES[name], value)) for name, value in properties.items()]
        name, mode = GLib.Variant.new_string(record.unit), GLib.Variant.new_string("fail")
        others = GLib.Variant("a(sa(sv))", [])
        return "StartTransientUnit", GLib.Variant.new_tuple(name, mode, GLib.Variant("a(sv)", pairs), others)

    def run_jobs(self, calls: Sequence[Call], *, at_once: int = 1) -> float:
        """Make the calls, each until its job is done, `at_once` of them at a time; seconds.

        Raises RuntimeError for a job that fails.
        """
        waiting = list(reversed(calls))
        under_way: set[str] = set()
        asked = 0
        started = time.perf_counter()

        def answered(_source: object, result: Gio.AsyncResult) -> None:
            nonlocal asked
            under_way.add(self._connection.call_finish(result).unpack()[0])
            asked -= 1

        while waiting or asked or under_way:
            while waiting and asked + len(under_way) < at_once:
                method, arguments = waiting.pop()
                self.send(method, arguments, answered)
                asked += 1
            self._loop.iteration(may_block=True)
            for job in under_way & self._removed.keys():
                under_way.remove(job)
                if (result := self._removed.pop(job)) != "done":
                    raise RuntimeError(f"a job of systemd ended as {result}")
        return time.perf_counter() - started

    def send(
        self, method: str, arguments: GLib.Variant, answered: Callable[[object, Gio.AsyncResult], None] | None = None
    ) -> None:
        """Make a call and do not wait; `answered` is called from the GLib loop."""
        self._connection.call(
            _NAME, _PATH, _MANAGER, method, arguments, None, Gio.DBusCallFlags.NONE, _PATIENCE_MS, None, answered
        )

    def watch(self, changed: Callable[[str, Mapping[str, object]], None]) -> None:
        """Call `changed(unit, properties)` from the GLib loop with each change of a unit."""

        def received(path: str, parameters: GLib.Variant) -> None:
            interface, properties, _ = parameters.unpack()
            if interface in {f"{_NAME}.Unit", f"{_NAME}.Service"}:
                changed(object_path_to_unit(path), properties)

        self._signal(_PROPERTIES, "PropertiesChanged", received)

    def turn(self, *, block: bool = False) -> None:
        """Handle what has come in; with `block` wait for something first."""
        if block:
            self._loop.iteration(may_block=True)
        while self._loop.iteration(may_block=False):
            pass

    def main_pid(self, unit_path: str) -> int:
        """The main process of a unit, 0 if it has none."""
        return int(str(self._property(unit_path, f"{_NAME}.Service", "MainPID")))

    def _property(self, path: str, interface: str, name: str) -> object:
        reply = self._connection.call_sync(
            _NAME, path, _PROPERTIES, "Get", GLib.Variant("(ss)", (interface, name)), None,
            Gio.DBusCallFlags.NONE, _PATIENCE_MS, None,
        )  # fmt: skip
        return reply.unpack()[0]

    def _call(self, method: str, arguments: GLib.Variant | None) -> GLib.Variant:
        return self._connection.call_sync(
            _NAME, _PATH, _MANAGER, method, arguments, None, Gio.DBusCallFlags.NONE, _PATIENCE_MS, None
        )

    def _signal(self, interface: str, member: str, handler: Callable[[str, GLib.Variant], None]) -> None:
        def received(*signal: object) -> None:
            path, parameters = signal[2], signal[5]
            assert isinstance(path, str)  # noqa: S101  # as Gio.DBusSignalCallback says
            assert isinstance(parameters, GLib.Variant)  # noqa: S101  # as Gio.DBusSignalCallback says
            handler(path, parameters)

        self._connection.signal_subscribe(_NAME, interface, member, None, None, Gio.DBusSignalFlags.NONE, received)

    def _job_removed(self, _path: str, parameters: GLib.Variant) -> None:
        _number, job, _unit, result = parameters.unpack()
        self._removed[job] = result


def unit_call(method: str, unit: str) -> Call:
    """StartUnit, StopUnit or RestartUnit of a unit."""
    return method, GLib.Variant("(ss)", (unit, "replace"))
