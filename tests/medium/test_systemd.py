"""The façade on a real systemd: jobs, errors, references, signals, and the loss of the bus."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock

import pytest

from coredinator.systemd import (
    Connected,
    Disconnected,
    Event,
    JobResult,
    NoSuchUnit,
    Reloaded,
    Scope,
    SystemdError,
    SystemdManager,
    SystemdUnavailable,
    UnitChanged,
    UnitExists,
    UnitRemoved,
)
from coredinator.systemd.connection import BusConnection
from tests.support.host import bus_away, clean_up_units, show, systemctl

UNIT = "coredinator-service@facade.service"
SLEEP = {"Type": "exec", "AddRef": True, "ExecStart": [("/bin/sleep", ["/bin/sleep", "infinity"], False)]}


class Events:
    """What a manager has emitted, to be waited for."""

    def __init__(self, manager: SystemdManager) -> None:
        self._queue: asyncio.Queue[Event] = asyncio.Queue()
        manager.listen(self._queue.put_nowait)

    async def wait_for[T: Event](self, kind: type[T], timeout: float = 10) -> T:
        async with asyncio.timeout(timeout):
            while not isinstance(event := await self._queue.get(), kind):
                pass
            return event


@pytest.fixture
async def manager() -> AsyncIterator[SystemdManager]:
    connected = SystemdManager(Scope.USER, unit_prefix="coredinator-", call_timeout=5)
    connected.open()
    await connected.wait_available()
    yield connected
    await connected.close()
    clean_up_units()


async def test_a_transient_unit_lives_and_goes(manager: SystemdManager) -> None:
    events = Events(manager)
    assert await manager.start_transient_unit(UNIT, SLEEP, job_timeout=5) is JobResult.DONE
    properties = await manager.unit_properties(UNIT)
    assert (properties.active_state, properties.sub_state) == ("active", "running")
    assert properties.argv == ("/bin/sleep", "infinity")
    assert properties.main_pid == int(show(UNIT, "MainPID"))
    assert await manager.stop_unit(UNIT, job_timeout=5) is JobResult.DONE
    assert [unit.active_state for unit in await manager.list_units(UNIT)] == ["inactive"]
    await manager.unref(UNIT)
    assert (await events.wait_for(UnitRemoved)).unit == UNIT
    assert await manager.list_units(UNIT) == []


async def test_a_listing_is_the_last_one_until_something_changes(manager: SystemdManager) -> None:
    await manager.start_transient_unit(UNIT, SLEEP, job_timeout=5)
    first = await manager.listing(UNIT)
    assert await manager.listing(UNIT, first) is first
    await manager.stop_unit(UNIT, job_timeout=5)
    after = await manager.listing(UNIT, first)
    assert after != first
    assert [unit.active_state for unit in after.units] == ["inactive"]


async def test_signals_tell_of_our_units_only(manager: SystemdManager) -> None:
    seen: list[str] = []
    manager.listen(lambda event: seen.append(event.unit) if isinstance(event, UnitChanged) else None)
    await manager.start_transient_unit("other-thing.service", SLEEP, job_timeout=5)
    await manager.start_transient_unit(UNIT, SLEEP, job_timeout=5)
    await manager.stop_unit("other-thing.service", job_timeout=5)
    assert set(seen) == {UNIT}


async def test_the_same_unit_twice_is_refused_by_name(manager: SystemdManager) -> None:
    await manager.start_transient_unit(UNIT, SLEEP, job_timeout=5)
    with pytest.raises(UnitExists, match="facade"):
        await manager.start_transient_unit(UNIT, SLEEP, job_timeout=5)


async def test_a_unit_that_is_not_loaded_cannot_be_stopped(manager: SystemdManager) -> None:
    with pytest.raises(NoSuchUnit, match="facade"):
        await manager.stop_unit(UNIT, job_timeout=5)


async def test_resetting_and_referring_to_nothing_is_no_error(manager: SystemdManager) -> None:
    await manager.reset_failed(UNIT)
    await manager.unref(UNIT)


async def test_a_value_that_systemd_refuses_is_its_own_words(manager: SystemdManager) -> None:
    with pytest.raises(SystemdError, match="sometimes"):
        await manager.start_transient_unit(UNIT, SLEEP | {"Restart": "sometimes"}, job_timeout=5)
    assert await manager.list_units(UNIT) == []


async def test_a_failed_exec_is_a_failed_job(manager: SystemdManager) -> None:
    nothing = SLEEP | {"ExecStart": [("/no/such/program", ["/no/such/program"], False)]}
    assert await manager.start_transient_unit(UNIT, nothing, job_timeout=5) is JobResult.FAILED


async def test_a_job_that_takes_too_long_is_not_waited_for(manager: SystemdManager) -> None:
    silent = SLEEP | {"Type": "notify"}
    assert await manager.start_transient_unit(UNIT, silent, job_timeout=0.2) is JobResult.TIMEOUT


async def test_the_references_of_others_do_not_count_as_ours(manager: SystemdManager) -> None:
    other = SystemdManager(Scope.USER, unit_prefix="coredinator-")
    other.open()
    await other.wait_available()
    try:
        await manager.start_transient_unit(UNIT, SLEEP, job_timeout=5)
        await manager.ref(UNIT)
        await other.ref(UNIT)
        await manager.stop_unit(UNIT, job_timeout=5)
        async with asyncio.timeout(5):
            await manager.unref(UNIT)
        assert len(await manager.list_units(UNIT)) == 1
        await other.unref(UNIT)
        assert await manager.list_units(UNIT) == []
    finally:
        await other.close()


async def test_a_reference_whose_end_was_not_answered_is_given_up_the_next_time(
    manager: SystemdManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    await manager.start_transient_unit(UNIT, SLEEP, job_timeout=5)
    await manager.stop_unit(UNIT, job_timeout=5)
    with monkeypatch.context() as reexecuted:
        reexecuted.setattr(BusConnection, "call", AsyncMock(side_effect=SystemdUnavailable("without replying")))
        with pytest.raises(SystemdUnavailable):
            await manager.unref(UNIT)
    assert len(await manager.list_units(UNIT)) == 1
    await manager.unref(UNIT)
    assert await manager.list_units(UNIT) == []


async def test_a_reload_is_announced(manager: SystemdManager) -> None:
    events = Events(manager)
    await asyncio.to_thread(systemctl, "daemon-reload")
    await events.wait_for(Reloaded)


@pytest.mark.usefixtures("manager")  # which cleans up
async def test_a_reexec_keeps_the_identity() -> None:
    first = SystemdManager(Scope.USER, unit_prefix="coredinator-")
    events = Events(first)
    first.open()
    before = (await events.wait_for(Connected)).identity
    try:
        await asyncio.to_thread(systemctl, "daemon-reexec")
        assert (await events.wait_for(Connected)).identity == before
        await first.start_transient_unit(UNIT, SLEEP, job_timeout=5)
        assert (await events.wait_for(UnitChanged)).unit == UNIT
    finally:
        await first.close()


async def test_a_lost_bus_fails_calls_soon_and_comes_back(manager: SystemdManager) -> None:
    events = Events(manager)
    await manager.start_transient_unit(UNIT, SLEEP, job_timeout=5)
    with bus_away():
        await events.wait_for(Disconnected)
        async with asyncio.timeout(4):
            with pytest.raises(SystemdUnavailable):
                await manager.list_units(UNIT)
        assert manager.down_reason is not None
    await events.wait_for(Connected)
    assert manager.down_reason is None
    assert [unit.active_state for unit in await manager.list_units(UNIT)] == ["active"]
    await manager.stop_unit(UNIT, job_timeout=5)


async def test_a_systemd_that_does_not_answer_the_greeting_is_greeted_again() -> None:
    status = subprocess.run(
        ["busctl", "--user", "status", "org.freedesktop.systemd1"], check=True, capture_output=True, text=True
    )
    pid = int(re.findall(r"^PID=(\d+)$", status.stdout, re.MULTILINE)[0])
    greeting = SystemdManager(Scope.USER, unit_prefix="coredinator-", call_timeout=0.2, reconnect_grace=10)
    events = Events(greeting)
    os.kill(pid, signal.SIGSTOP)
    try:
        greeting.open()
        await events.wait_for(Disconnected)
    finally:
        os.kill(pid, signal.SIGCONT)
    await greeting.wait_available()
    await greeting.close()


async def test_a_unit_whose_references_a_lost_bus_took_can_be_let_go(manager: SystemdManager) -> None:
    events = Events(manager)
    await manager.start_transient_unit(UNIT, SLEEP, job_timeout=5)
    await manager.stop_unit(UNIT, job_timeout=5)
    with bus_away():
        await events.wait_for(Disconnected)
    await events.wait_for(Connected)
    await manager.unref(UNIT)
    assert await manager.list_units(UNIT) == []


async def test_installed_unit_files_are_told_from_transient_ones(manager: SystemdManager) -> None:
    await manager.start_transient_unit(UNIT, SLEEP, job_timeout=5)
    assert not await manager.has_unit_file(UNIT)
    assert not await manager.has_unit_file("coredinator-no-such.service")
    assert await manager.has_unit_file("dbus.service")


def test_a_bus_that_is_lost_again_and_again_holds_up_nothing_and_leaves_nothing() -> None:
    command = [sys.executable, "-m", "tests.support.bus_losses", "150"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert (done.stdout, done.stderr) == ("lost 150 times; 0 descriptors more\n", "")
