"""The event bus as a unit of its own: made sure of by the manager, kept alive by systemd."""

import asyncio
import logging
import sys
from collections.abc import Sequence

from coredinator.event_bus.addresses import BusAddresses
from coredinator.event_bus.proxy import REASONED_EXITS
from coredinator.logs import MessageId
from coredinator.systemd import (
    Disconnected,
    Event,
    SystemdError,
    SystemdManager,
    SystemdUnavailable,
    UnitChanged,
    UnitProperties,
)

_log = logging.getLogger(__name__)

UNIT = "coredinator-eventbus.service"

_S = 1_000_000
_MIB = 1024 * 1024
_JOB_TIMEOUT = 15.0
_READ_ATTEMPTS = 5


class EventBusUnit:
    """Where a unit file is installed it is started, elsewhere a transient unit of the same name.

    The bus outlives the manager. One that cannot bind its ports is retried by systemd, with the
    reason in its status text.
    """

    def __init__(self, systemd: SystemdManager, addresses: BusAddresses) -> None:
        self._systemd = systemd
        self._addresses = addresses
        self._unit: UnitProperties | None = None
        self._refusal: str | None = None
        self._lock = asyncio.Lock()
        self._was_running = False
        self._signals = 0
        systemd.listen(self._handle)

    @property
    def running(self) -> bool:
        """Whether the bus forwards messages."""
        return self._unit is not None and self._unit.active_state == "active"

    @property
    def reason(self) -> str | None:
        """Why the bus does not run, None if it does."""
        if self.running:
            return None
        if self._refusal is not None:
            return self._refusal
        if self._unit is None or self._unit.at_rest:
            return f"{UNIT} is stopped"
        # systemd keeps the text of a process that was killed, too: that one says what it did when all was well.
        if self._unit.status_text and self._unit.exec_main_status in REASONED_EXITS:
            return self._unit.status_text
        return f"{UNIT} is {self._unit.active_state} ({self._unit.sub_state})"

    async def ensure(self) -> None:
        """Have the bus started, with the addresses that are set. Raises SystemdUnavailable.

        A bus that does not come up is no error here: agents start without it, health is degraded.
        """
        if self.running:
            return
        async with self._lock:
            try:
                await self._ensure()
                self._refusal = None
            except SystemdUnavailable:
                raise
            except SystemdError as error:
                self._refusal = str(error)
            self._report()

    async def refresh(self) -> None:
        """Read the unit's state anew. Raises SystemdUnavailable."""
        for _ in range(_READ_ATTEMPTS):
            before = self._signals
            loaded = [unit for unit in await self._systemd.list_units(UNIT) if unit.load_state != "not-found"]
            unit = await self._systemd.unit_properties(UNIT) if loaded else None
            if self._signals == before:
                self._unit = unit
                return
            # A signal has overtaken the answer and is newer: ask again.

    async def _ensure(self) -> None:
        await self.refresh()
        installed = await self._systemd.has_unit_file(UNIT)
        unit = self._unit
        if unit is not None and not unit.at_rest and (installed or unit.argv == tuple(self._command())):
            return
        if installed:
            await self._systemd.start_unit(UNIT, job_timeout=_JOB_TIMEOUT)
        else:
            if unit is not None and not unit.at_rest:
                await self._systemd.stop_unit(UNIT, job_timeout=_JOB_TIMEOUT)
            await self._systemd.reset_failed(UNIT)
            await self._systemd.start_transient_unit(UNIT, self._properties(), job_timeout=_JOB_TIMEOUT)
        await self.refresh()

    def _command(self) -> Sequence[str]:
        return (
            sys.executable, "-m", "coredinator.event_bus",
            "--host", self._addresses.host,
            "--pub-port", str(self._addresses.pub_port),
            "--sub-port", str(self._addresses.sub_port),
        )  # fmt: skip

    def _properties(self) -> dict[str, object]:
        command = list(self._command())
        return {
            "Description": "Coredinator event bus",
            "Type": "notify",
            "NotifyAccess": "main",
            "ExecStart": [(command[0], command, False)],
            "Slice": "coredinator.slice",
            "Restart": "always",
            "RestartUSec": 1 * _S,
            "StartLimitIntervalUSec": 0,
            "WatchdogUSec": 20 * _S,
            "TimeoutStopUSec": 5 * _S,
            # As in units/coredinator-eventbus.service, which says why.
            "MemoryMax": 512 * _MIB,
            "LimitDATA": 512 * _MIB,
            "LimitNOFILE": 65536,
            "SyslogIdentifier": "coredinator-eventbus",
            "LogExtraFields": [b"COREDINATOR_SERVICE=event-bus"],
        }

    def _handle(self, event: Event) -> None:
        match event:
            case UnitChanged(unit=unit, properties=properties) if unit == UNIT:
                self._signals += 1
                self._unit = (self._unit or UnitProperties(UNIT)).merge(properties)
                self._report()
            case Disconnected():
                self._unit = None
            case _:
                pass

    def _report(self) -> None:
        """Log when the bus comes or goes, once each; one that came was not refused."""
        if self.running == self._was_running:
            return
        self._was_running = self.running
        if self.running:
            self._refusal = None
            _log.info("the event bus runs", extra={"message_id": MessageId.EVENT_BUS_UP, "unit": UNIT})
        else:
            _log.warning(
                "the event bus is down: %s", self.reason, extra={"message_id": MessageId.EVENT_BUS_DOWN, "unit": UNIT}
            )
