"""Units of our names that somebody else made and does not let go."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from coredinator.systemd import Scope, SystemdManager
from tests.support.host import Host, agent_unit, coreio_unit, workload_units

COREIO = coreio_unit("backwash-coreio")


@pytest.fixture
async def somebody() -> AsyncIterator[SystemdManager]:
    connected = SystemdManager(Scope.USER, unit_prefix="coredinator-")
    connected.open()
    await connected.wait_available()
    yield connected
    await connected.unref(COREIO)
    await connected.close()


async def test_a_coreio_that_cannot_be_started_leaves_its_agent_as_it_was(host: Host, somebody: SystemdManager) -> None:
    command = {"ExecStart": [("/bin/true", ["true"], False)], "Type": "oneshot", "AddRef": True}
    await somebody.start_transient_unit(COREIO, command, job_timeout=5)
    config = str(host.config("backwash"))

    def start() -> int:
        return host.api.post("/api/agents/start", json={"config_path": config}).status_code

    assert await asyncio.to_thread(start) == 409
    assert host.api.get("/api/agents/").json() == []
    assert host.status("backwash")["service_statuses"] == {}
    assert agent_unit("backwash") not in workload_units()
    await somebody.unref(COREIO)
    assert await asyncio.to_thread(start) == 200
    host.wait_state("backwash", "running")
