"""systemd's Manager object as typed coroutines (org.freedesktop.systemd1(5))."""

import asyncio
import contextlib
import logging
import os
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from coredinator.systemd.connection import BusConnection, Match
from coredinator.systemd.errors import (
    AlreadySubscribed,
    NoSuchUnit,
    NotReferenced,
    SystemdError,
    SystemdUnavailable,
    UnitExists,
)
from coredinator.systemd.escape import unit_to_object_path
from coredinator.systemd.properties import typed
from coredinator.systemd.signals import UnitChanges, pick
from coredinator.systemd.types import (
    FIELD_BY_DBUS_NAME,
    Connected,
    Disconnected,
    Event,
    Identity,
    Interface,
    JobResult,
    ListedUnit,
    Reloaded,
    UnitProperties,
    UnitRemoved,
)

_log = logging.getLogger(__name__)

_SYSTEMD = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_FINISHED_JOBS_KEPT = 1024
_HELLO_PAUSE = 1.0


class Scope(StrEnum):
    """Which systemd: the one that runs the host, or the user's own."""

    SYSTEM = "system"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Listing:
    """An answer of ListUnitsByPatterns, and the units in it."""

    rows: list[list[Any]]
    units: Sequence[ListedUnit]


class SystemdManager:
    """One systemd, seen through its Manager object.

    Calls wait up to `reconnect_grace` seconds for a systemd that is just restarting, then raise
    SystemdUnavailable; each call is limited to `call_timeout` seconds. Listeners are called in the
    event loop, in the order in which systemd sent its signals, and must not block.
    """

    def __init__(
        self,
        scope: Scope,
        *,
        unit_prefix: str,
        call_timeout: float = 10.0,
        reconnect_grace: float = 2.0,
    ) -> None:
        self.scope = scope
        self._object_prefix = unit_to_object_path(unit_prefix)
        self._changes = UnitChanges(self._object_prefix, self._emit)
        self._call_timeout = call_timeout
        self._reconnect_grace = reconnect_grace
        self._version = 0
        self._down_reason: str | None = "not connected yet"
        self._listeners: list[Callable[[Event], None]] = []
        self._available = asyncio.Event()
        self._jobs: dict[str, list[asyncio.Future[JobResult]]] = {}
        # A job can end before the answer that names it has been handled.
        self._finished: OrderedDict[str, JobResult] = OrderedDict()
        self._references: Counter[str] = Counter()
        self._introduction: asyncio.Task[None] | None = None
        self._bus = BusConnection(
            _bus_address(scope),
            _SYSTEMD,
            self._matches(),
            on_up=self._reconnected,
            on_down=self._disconnected,
            on_owner=self._owner_changed,
        )

    @property
    def version(self) -> int:
        """The major version of systemd, 0 before the first connection."""
        return self._version

    @property
    def down_reason(self) -> str | None:
        """Why systemd cannot be reached, None while it can."""
        return self._down_reason

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event from now on."""
        self._listeners.append(listener)

    def open(self) -> None:
        """Begin to connect; `Connected` tells when calls work."""
        self._bus.start()

    async def close(self) -> None:
        """Close the connection. systemd drops the references that it held."""
        self._end_introduction()
        await self._bus.close()

    async def wait_available(self) -> None:
        """Return when systemd can be called; raise SystemdUnavailable after the grace period."""
        if self._available.is_set():
            return
        try:
            async with asyncio.timeout(self._reconnect_grace):
                await self._available.wait()
        except TimeoutError:
            raise SystemdUnavailable(f"systemd is out of reach: {self._down_reason}") from None

    async def start_transient_unit(
        self, unit: str, properties: Mapping[str, object], *, job_timeout: float
    ) -> JobResult:
        """Create and start a unit and wait for its job. Raises UnitExists if one is loaded."""
        no_other_units: list[object] = []
        body = [unit, "fail", typed(properties), no_other_units]
        references = 1 if properties.get("AddRef") else 0
        # Counted once the call goes out at once: references, and their count, end with the connection.
        await self.wait_available()
        self._references[unit] += references
        try:
            return await self._run_job("StartTransientUnit", unit, "ssa(sv)a(sa(sv))", body, job_timeout)
        except UnitExists:
            self._references[unit] = max(0, self._references[unit] - references)
            raise

    async def start_unit(self, unit: str, *, job_timeout: float) -> JobResult:
        """Start a loaded unit and wait for its job."""
        return await self._run_job("StartUnit", unit, "ss", [unit, "replace"], job_timeout)

    async def stop_unit(self, unit: str, *, job_timeout: float) -> JobResult:
        """Stop a unit and wait for its job. Raises NoSuchUnit if it is not loaded."""
        return await self._run_job("StopUnit", unit, "ss", [unit, "replace"], job_timeout)

    async def restart_unit(self, unit: str, *, job_timeout: float) -> JobResult:
        """Restart a loaded unit and wait for its job. Raises NoSuchUnit if it is not loaded."""
        return await self._run_job("RestartUnit", unit, "ss", [unit, "replace"], job_timeout)

    async def set_unit_properties(self, unit: str, properties: Mapping[str, object]) -> None:
        """Change properties of a loaded unit, for as long as it is loaded.

        systemd keeps them as drop-ins beside the transient unit, and removes them with it. Raises
        NoSuchUnit, and SystemdError for a property that cannot be changed at run time.
        """
        await self._call("SetUnitProperties", "sba(sv)", [unit, True, typed(properties)], unit)

    async def reset_failed(self, unit: str) -> None:
        """Clear the failed state, the result and the restart counter; nothing if not loaded."""
        try:
            await self._call("ResetFailedUnit", "s", [unit], unit)
        except NoSuchUnit:
            _log.debug("%s is not loaded; there is nothing to reset", unit)

    async def ref(self, unit: str) -> None:
        """Keep the unit loaded while this connection lives; nothing if it is held already, or not loaded.

        systemd tries to load one that is not, and announces its removal as it cannot.
        """
        await self.wait_available()
        if self._references[unit]:
            return
        self._references[unit] += 1
        try:
            await self._call("RefUnit", "s", [unit], unit)
        except NoSuchUnit:
            self._references[unit] = max(0, self._references[unit] - 1)

    async def unref(self, unit: str) -> None:
        """Give up all references of this connection to a loaded unit; systemd forgets it if nobody else needs it.

        Where others hold one too, systemd does not say that ours are used up; hence our own count. One is
        taken first if there is none: a message bus that ended took them along, and then systemd (252)
        does not look whether it still needs the unit. It looks when a reference is given up.
        """
        await self.ref(unit)
        with contextlib.suppress(NotReferenced, NoSuchUnit):
            while self._references[unit]:
                await self._call("UnrefUnit", "s", [unit], unit)
                # Not before: what a daemon-reexec leaves unanswered is held on, and given up the next time.
                self._references[unit] = max(0, self._references[unit] - 1)
        self._references.pop(unit, None)

    async def list_units(self, pattern: str) -> Sequence[ListedUnit]:
        """The loaded units whose names match a shell pattern."""
        return (await self.listing(pattern)).units

    async def listing(self, pattern: str, last: Listing | None = None) -> Listing:
        """The same, with the answer that says so; `last` itself if systemd repeats it."""
        (rows,) = await self._call("ListUnitsByPatterns", "asas", [[], [pattern]], "list of units")
        if last is not None and last.rows == rows:
            return last
        return Listing(rows, [ListedUnit(row[0], row[2], row[3], row[4], row[7]) for row in rows])

    async def unit_properties(self, unit: str) -> UnitProperties:
        """All properties of a loaded unit. Asking for one that is not loaded makes systemd load it."""
        (properties,) = await self._call("GetAll", "s", [""], unit, unit_to_object_path(unit), _PROPERTIES)
        return UnitProperties(unit).merge(pick(properties, FIELD_BY_DBUS_NAME))

    async def state_change(self, unit: str) -> int:
        """When the state of a loaded unit last changed, in µs since the epoch, 0 if never."""
        asked_for = [Interface.UNIT.value, "StateChangeTimestamp"]
        (usec,) = await self._call("Get", "ss", asked_for, unit, unit_to_object_path(unit), _PROPERTIES)
        return usec.value

    async def has_unit_file(self, unit: str) -> bool:
        """Whether a unit file of that name is installed (transient ones do not count)."""
        try:
            (state,) = await self._call("GetUnitFileState", "s", [unit], unit)
        except NoSuchUnit:
            return False
        return state not in {"", "transient"}

    async def is_stopping(self) -> bool:
        """Whether systemd is shutting down. True also when it no longer answers."""
        try:
            return await self._manager_property("SystemState") == "stopping"
        except SystemdUnavailable:
            return True

    async def _run_job(self, method: str, unit: str, signature: str, body: list[Any], job_timeout: float) -> JobResult:
        (job,) = await self._call(method, signature, body, unit)
        if (result := self._finished.get(job)) is not None:
            return result
        waiter: asyncio.Future[JobResult] = asyncio.get_running_loop().create_future()
        self._jobs.setdefault(job, []).append(waiter)
        try:
            async with asyncio.timeout(job_timeout):
                return await waiter
        except TimeoutError:
            return JobResult.TIMEOUT
        finally:
            if waiter.cancelled() and (waiters := self._jobs.get(job)) is not None:
                waiters.remove(waiter)
                if not waiters:
                    del self._jobs[job]

    async def _manager_property(self, name: str, *, introduced: bool = True) -> object:
        (value,) = await self._call("Get", "ss", [_MANAGER, name], name, _PATH, _PROPERTIES, introduced=introduced)
        return value.value

    async def _call(
        self,
        method: str,
        signature: str,
        body: list[Any],
        subject: str,
        path: str = _PATH,
        interface: str = _MANAGER,
        *,
        introduced: bool = True,
    ) -> list[Any]:
        """Call a method; only the calls of the introduction itself do not wait for it."""
        if introduced:
            await self.wait_available()
        return await self._bus.call(
            path, interface, method, signature, body, subject=subject, timeout=self._call_timeout
        )

    def _reconnected(self) -> None:
        self._references.clear()  # they went with the old connection
        self._changes.drop()
        self._introduce()

    def _introduce(self) -> None:
        self._end_introduction()
        self._introduction = asyncio.get_running_loop().create_task(self._say_hello())

    def _end_introduction(self) -> None:
        if self._introduction is not None:
            self._introduction.cancel()

    def _disconnected(self, reason: str) -> None:
        self._end_introduction()  # whoever comes next is greeted anew
        self._lost(reason)

    async def _say_hello(self) -> None:
        """Ask for signals (systemd emits none without Subscribe) and learn who answers, until somebody does."""
        while True:
            try:
                with contextlib.suppress(AlreadySubscribed):  # it can survive a daemon-reexec
                    await self._call("Subscribe", "", [], "Subscribe", introduced=False)
                version = await self._manager_property("Version", introduced=False)
                started = await self._manager_property("UserspaceTimestamp", introduced=False)
                break
            except SystemdError as error:
                self._lost(str(error))
                await asyncio.sleep(_HELLO_PAUSE)
        digits = re.match(r"\d+", str(version))
        self._version = int(digits[0]) if digits else 0
        self._down_reason = None
        self._available.set()
        self._emit(Connected(Identity(_boot_id(), cast("int", started))))

    def _lost(self, reason: str) -> None:
        was_available = self._available.is_set()
        news = was_available or reason != self._down_reason
        self._down_reason = reason
        self._available.clear()
        self._finished.clear()
        for waiter in (waiter for waiters in self._jobs.values() for waiter in waiters):
            if not waiter.done():
                waiter.set_exception(SystemdUnavailable(f"systemd went away: {reason}"))
        self._jobs.clear()
        if news:
            self._emit(Disconnected(reason))

    def _emit(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def _matches(self) -> Sequence[Match]:
        # Without an arg0 per interface the bus would wake us for timers, mounts and all the rest.
        return [
            Match(_PROPERTIES, "PropertiesChanged", self._changes.of_service, Interface.SERVICE),
            Match(_PROPERTIES, "PropertiesChanged", self._changes.of_unit, Interface.UNIT),
            Match(_MANAGER, "JobRemoved", self._on_job_removed),
            Match(_MANAGER, "UnitRemoved", self._on_unit_removed),
            Match(_MANAGER, "Reloading", self._on_reloading),
        ]

    def _on_job_removed(self, _path: str, body: list[Any]) -> None:
        self._changes.flush()
        _id, job, _unit, result = body
        self._job_finished(job, JobResult(result))

    def _on_unit_removed(self, _path: str, body: list[Any]) -> None:
        self._changes.flush()
        unit, path = body
        if path.startswith(self._object_prefix):
            self._emit(UnitRemoved(unit))

    def _on_reloading(self, _path: str, body: list[Any]) -> None:
        (active,) = body
        if not active:
            self._emit(Reloaded())

    def _owner_changed(self, there: bool) -> None:  # noqa: FBT001  # a callback's argument
        if there:
            self._introduce()
        else:
            self._disconnected("systemd left the bus")

    def _job_finished(self, job: str, result: JobResult) -> None:
        for waiter in self._jobs.pop(job, ()):
            if not waiter.done():
                waiter.set_result(result)
        self._finished[job] = result
        if len(self._finished) > _FINISHED_JOBS_KEPT:
            self._finished.popitem(last=False)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _bus_address(scope: Scope) -> str:
    """Where the bus is on which systemd of that scope is (D-Bus specification, "Well-known Message Bus Instances")."""
    if scope is Scope.SYSTEM:
        return os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/dbus/system_bus_socket")
    own = f"unix:path={os.environ.get('XDG_RUNTIME_DIR', f'/run/user/{os.getuid()}')}/bus"
    return os.environ.get("DBUS_SESSION_BUS_ADDRESS", own)
