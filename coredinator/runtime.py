"""Everything that runs in the manager, put together, and the loop that keeps it true to systemd."""

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from coredinator.agent.agents import Agents
from coredinator.agent.demo import TepDemo
from coredinator.agent.one_offs import OneOffs
from coredinator.agent.ports import config_port
from coredinator.agent.upgrade import Upgrades
from coredinator.agent.validation import Surroundings, neighbours
from coredinator.errors import StoreError
from coredinator.event_bus.addresses import BusAddresses, reserved_ports
from coredinator.event_bus.companion import EventBusUnit
from coredinator.event_bus.publisher import Publisher
from coredinator.logs import MessageId
from coredinator.service.health import HealthMonitor
from coredinator.service.identity import UNIT_PREFIX
from coredinator.service.listeners import tcp_listeners
from coredinator.service.record import ServiceRecord
from coredinator.service.registry import Registry
from coredinator.service.state import State
from coredinator.service.supervisor import Supervisor
from coredinator.services import KindName
from coredinator.settings import Settings
from coredinator.store import Mirror
from coredinator.systemd import (
    Connected,
    Disconnected,
    Event,
    Identity,
    Reloaded,
    SystemdError,
    SystemdManager,
    UnitChanged,
    UnitRemoved,
)
from coredinator.utils.fleeting_threads import in_file_thread

_log = logging.getLogger(__name__)

_TICK = 10.0
_RETRY = 1.0
_READY_WITHIN = 10.0
_RESUME = "resume"
"""A file of this name in the state folder makes the next start behave like one after a reboot."""


def lock_state_dir(state_dir: Path) -> IO[str]:
    """Create the state folder and lock it for this process; the lock goes with the returned file.

    Raises StoreError if another manager holds it or the folder cannot be used.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        file = (state_dir / "lock").open("a+")
    except OSError as error:
        raise StoreError(
            f"state folder {state_dir} cannot be used: {error.strerror}; check its path and owner"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise StoreError(
            f"state folder {state_dir} is in use by another coredinator (PID {holder}); "
            "stop it or give another --state-dir"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    try:
        file.flush()
    except OSError as error:
        # The lock holds all the same; the PID is for whoever meets it.
        _log.warning("state folder %s cannot be written: %s", state_dir, error.strerror)
    return file


class Runtime:
    """The manager's parts. To be made inside the event loop, then started and stopped once."""

    def __init__(self, settings: Settings, mirror: Mirror) -> None:
        self.settings = settings
        self.addresses = BusAddresses(settings.event_bus_host, settings.event_bus_pub_port, settings.event_bus_sub_port)
        self.mirror = mirror
        self.systemd = SystemdManager(settings.scope, unit_prefix=UNIT_PREFIX)
        self._publisher = Publisher(self.addresses.publisher_endpoint)
        self.registry = Registry(mirror, self._publisher)
        catalogue = settings.catalogue
        self._supervisor = Supervisor(self.systemd, self.registry, settings.base_path, catalogue)
        self.event_bus = EventBusUnit(self.systemd, self.addresses)
        self.agents = Agents(self._supervisor, self.registry, self.event_bus.ensure)
        self.one_offs = OneOffs(self._supervisor, self.registry, catalogue, self.event_bus.ensure)
        self.upgrades = Upgrades(
            self.agents, self._supervisor.maintenance, self.registry,
            settings.base_path, catalogue.kinds[KindName.CORERL],
        )  # fmt: skip
        self.demo = TepDemo(self.agents, self._supervisor, self.registry)
        self._health = HealthMonitor(
            self.registry, catalogue, config_port, self._supervisor.maintenance.restart_unhealthy
        )
        self._resume = settings.state_dir / _RESUME
        self._tick = min(_TICK, settings.stable_period / 2)
        self._stable_period = timedelta(seconds=settings.stable_period)
        self._stale = asyncio.Event()
        # Set once what runs is adopted, or once it is clear that this has to wait.
        self._oriented = asyncio.Event()
        self._identity: Identity | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._carrying_out: set[asyncio.Task[None]] = set()
        self.systemd.listen(self._handle)

    async def start(self) -> None:
        """Load the mirror, connect, and adopt what runs; starts that are due go on in the background.

        A systemd out of reach does not keep the API from being served.
        """
        self.registry.load()
        self.systemd.open()
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._health.run())]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READY_WITHIN):
                await self._oriented.wait()

    async def stop(self) -> None:
        """Let go of everything. Workloads and the event bus run on."""
        tasks = [*self._tasks, *self._carrying_out]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.upgrades.close()
        await self._supervisor.close()
        await self.systemd.close()
        self._publisher.close()
        self.registry.write()
        await self.mirror.close()

    async def surroundings(self, config_path: str) -> Surroundings:
        """What a start of the agent with this config would meet."""
        settings = self.settings
        running = (record.unit for record in self.registry.all() if record.observed.main_pid is not None)
        return Surroundings(
            settings.base_path,
            settings.catalogue,
            reserved_ports(settings.port, settings.event_bus_pub_port, settings.event_bus_sub_port),
            await in_file_thread(tcp_listeners),
            await in_file_thread(neighbours, self.registry.of_kind(KindName.CORERL), Path(config_path).stem),
            frozenset(running),
        )

    def _handle(self, event: Event) -> None:
        match event:
            case UnitChanged() | UnitRemoved():
                self._supervisor.handle(event)
            case Connected(identity):
                self._identity = identity
                self._supervisor.stocktaking.outdate()
                _log.info(
                    "connected to the %s systemd, version %d", self.systemd.scope, self.systemd.version,
                    extra={"message_id": MessageId.SYSTEMD_FOUND},
                )  # fmt: skip
                self._stale.set()
            case Reloaded():
                self._stale.set()
            case Disconnected(reason):
                self._supervisor.stocktaking.outdate()
                self._oriented.set()
                _log.warning("systemd is out of reach: %s", reason, extra={"message_id": MessageId.SYSTEMD_LOST})

    async def _follow(self) -> None:
        """Synchronise after each connection and reload, look after the rest on a slow timer."""
        while True:
            try:
                async with asyncio.timeout(self._tick):
                    await self._stale.wait()
            except TimeoutError:
                if not self._carrying_out:  # which goes in the order of the kinds
                    await self._quietly(self._look_after())
                continue
            self._stale.clear()
            if await self._quietly(self._synchronise()):
                task = asyncio.create_task(self._carry_out())
                self._carrying_out.add(task)
                task.add_done_callback(self._carrying_out.discard)
            else:
                await self._try_again()

    async def _carry_out(self) -> None:
        """Start and stop what is due. Should systemd be met anew meanwhile, nobody waits for this to end."""

        async def work() -> None:
            await self.event_bus.ensure()
            await self._supervisor.stocktaking.carry_out()
            self.upgrades.resume()

        if not await self._quietly(work()):
            await self._try_again()

    async def _try_again(self) -> None:
        if self.systemd.down_reason is None:
            self._oriented.set()
            await asyncio.sleep(_RETRY)
            self._stale.set()

    async def _quietly(self, work: Awaitable[None]) -> bool:
        try:
            await work
        except (SystemdError, StoreError) as error:
            if self.systemd.down_reason is None:
                _log.warning("%s; will be tried again", error)
            return False
        except Exception:  # noqa: BLE001  # it is logged; nobody else would look after the units
            _log.exception("systemd and the records were not compared; will be tried again")
            return False
        return True

    async def _synchronise(self) -> None:
        if self._identity is None:
            return
        run = str(self._identity)
        fresh = self._resume.exists() or self.registry.meta("systemd") != run
        due = await self._supervisor.stocktaking.take(fresh=fresh, autostart=self.one_offs.autostart())
        self._oriented.set()
        try:
            await self._remember(run, due)
        except StoreError as error:
            # Should this manager end before it is written, the next one starts what is due once more.
            _log.warning("%s; will be tried again", error)

    async def _remember(self, run: str, due: Sequence[ServiceRecord] = ()) -> None:
        """Write down that this run of systemd has been asked for all that is wanted, as far as it is not due yet."""
        await self.registry.commit(due, "recovery", {"systemd": run})
        self._resume.unlink(missing_ok=True)

    async def _look_after(self) -> None:
        self.mirror.check()
        await self.systemd.wait_available()
        if not self._supervisor.stocktaking.is_current:
            return  # another systemd was met while this waited
        await self._supervisor.stocktaking.resynchronise()
        await self.event_bus.refresh()
        stable_since = datetime.now(UTC) - self._stable_period
        for record in self.registry.all():
            observed = record.observed
            if (
                observed.state is State.RUNNING
                and observed.restarts
                and observed.since is not None
                and observed.since < stable_since
            ):
                await self._supervisor.reset_backoff(record)
        is_current = self._supervisor.stocktaking.is_current
        if is_current and self._identity is not None and self.registry.meta("systemd") != str(self._identity):
            await self._remember(str(self._identity))
