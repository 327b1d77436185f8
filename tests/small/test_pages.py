"""Kept answers tell the truth: what changes shows at once, only usage may be a second old."""

import gc
import json
from dataclasses import replace
from itertools import count
from typing import Any
from unittest.mock import AsyncMock, Mock, create_autospec

import pytest

from coredinator.agent.agents import Agents, AgentStatus
from coredinator.errors import StoreError
from coredinator.event_bus.publisher import EventSink
from coredinator.service.accounting import Usage
from coredinator.service.identity import Identity
from coredinator.service.record import Health, ServiceRecord
from coredinator.service.registry import Registry
from coredinator.service.state import Intent, Observation, State
from coredinator.services import KindName, Limits
from coredinator.store import Mirror
from coredinator.web import models
from coredinator.web.pages import USAGE_AGE, Pages

UNKNOWN = {"id": "backwash", "state": "stopped", "config_path": None, "service_statuses": {}}


class Plant:
    """Agents that nobody runs, on a registry without a disk, and the pages about them. `now` is in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.mirror = create_autospec(Mirror, instance=True)
        self.registry = Registry(self.mirror, create_autospec(EventSink, instance=True))
        self.pages = Pages(Agents(Mock(), self.registry, AsyncMock()), lambda: self.now)

    def adopt(self, kind: KindName, name: str, pid: int = 1, coreio_id: str | None = None) -> ServiceRecord:
        observed = Observation(State.RUNNING, main_pid=pid)
        record = ServiceRecord(
            Identity(kind, name), "backwash", "/etc/x.yaml", Intent.RUNNING, coreio_id=coreio_id, observed=observed
        )
        self.registry.adopt(record)
        return record

    def agent(self, name: str = "backwash") -> ServiceRecord:
        self.adopt(KindName.COREIO, f"{name}-coreio")
        return self.adopt(KindName.CORERL, name, coreio_id=f"{name}-coreio")

    def status(self, name: str = "backwash") -> dict[str, Any]:
        return json.loads(self.pages.status(name))

    def service(self, role: str) -> dict[str, Any]:
        return self.status()["service_statuses"][role]

    def ids(self) -> list[str]:
        return json.loads(self.pages.ids())


@pytest.fixture(autouse=True)
def usage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at a service's usage finds one byte more."""
    looks = count(1)
    monkeypatch.setattr(models, "usage_of", lambda _: Usage(memory_bytes=next(looks)))


@pytest.fixture
async def plant() -> Plant:
    return Plant()


async def test_usage_is_at_most_a_second_old(plant: Plant) -> None:
    plant.agent()
    first = plant.status()
    plant.now = USAGE_AGE - 0.001
    assert plant.status() == first
    plant.now = USAGE_AGE
    assert plant.service("corerl")["memory_bytes"] > first["service_statuses"]["corerl"]["memory_bytes"]
    assert plant.service("coreio")["memory_bytes"] > first["service_statuses"]["coreio"]["memory_bytes"]


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"intent": Intent.STOPPED}, {"intended_state": "stopped"}),
        ({"executable": "/opt/new", "version": "2.0.0"}, {"executable": "/opt/new", "version": "2.0.0"}),
        ({"error": "no executable"}, {"error": "no executable"}),
        ({"config_path": "/etc/y.yaml"}, {"config_path": "/etc/y.yaml"}),
        ({"limits": Limits(tasks_max=7)}, {"limits": {"tasks_max": 7}}),
        (
            {"health": Health(ok=False, detail="hangs")},
            {"state": "failed", "health": {"healthy": False, "detail": "hangs"}},
        ),
        ({"observed": Observation(State.RUNNING, main_pid=2)}, {"main_pid": 2}),
        ({"observed": Observation(State.FAILED, exit_status=3)}, {"state": "failed", "exit_status": 3}),
        ({"observed": Observation(State.RUNNING, frozen=True)}, {"frozen": True}),
    ],
    ids="-".join,
)
@pytest.mark.parametrize("role", ["corerl", "coreio"])
async def test_a_change_shows_at_once(
    plant: Plant, role: str, change: dict[str, Any], shown: dict[str, object]
) -> None:
    records = {"corerl": plant.agent(), "coreio": plant.adopt(KindName.COREIO, "backwash-coreio")}
    before = plant.service(role)
    assert {name: before[name] for name in shown} != shown
    plant.registry.update(replace(records[role], **change), "test")
    after = plant.service(role)
    assert {name: after[name] for name in shown} == shown


async def test_the_agents_state_follows_its_services(plant: Plant) -> None:
    agent = plant.agent()
    assert plant.status()["state"] == "running"
    plant.registry.update(replace(agent, health=Health(ok=False, detail="hangs")), "test")
    assert plant.status()["state"] == "failed"
    plant.registry.update(replace(agent, intent=Intent.STOPPED), "test")
    assert plant.status()["state"] == "stopped"


async def test_a_coreio_that_is_forgotten_shows_as_stopped_and_one_that_comes_back_as_it_is(plant: Plant) -> None:
    plant.agent()
    assert plant.service("coreio")["state"] == "running"
    await plant.registry.forget(Identity(KindName.COREIO, "backwash-coreio"))
    assert (plant.service("coreio")["state"], plant.service("coreio")["main_pid"]) == ("stopped", None)
    plant.adopt(KindName.COREIO, "backwash-coreio", pid=9)
    assert (plant.service("coreio")["state"], plant.service("coreio")["main_pid"]) == ("running", 9)


async def test_an_agent_that_changes_its_coreio_shows_the_new_one(plant: Plant) -> None:
    agent = plant.agent()
    assert plant.service("coreio")["id"] == "backwash-coreio"
    plant.registry.update(replace(agent, coreio_id="shared"), "test")
    assert (plant.service("coreio")["id"], plant.service("coreio")["state"]) == ("shared", "stopped")
    plant.adopt(KindName.COREIO, "shared")
    assert plant.service("coreio")["state"] == "running"


async def test_a_demo_plant_that_comes_and_goes_shows(plant: Plant) -> None:
    plant.agent()
    assert plant.status()["service_statuses"].keys() == {"corerl", "coreio"}
    plant.adopt(KindName.TEP, "backwash")
    assert plant.status()["service_statuses"].keys() == {"corerl", "coreio", "tep"}
    await plant.registry.forget(Identity(KindName.TEP, "backwash"))
    assert plant.status()["service_statuses"].keys() == {"corerl", "coreio"}


async def test_an_agent_that_is_deleted_and_started_again_is_another_one(plant: Plant) -> None:
    agent = plant.agent()
    assert plant.service("corerl")["main_pid"] == 1
    await plant.registry.forget(agent.identity)
    assert plant.status() == UNKNOWN
    plant.adopt(KindName.CORERL, "backwash", pid=5)
    assert plant.service("corerl")["main_pid"] == 5


async def test_an_unknown_agent_is_a_stopped_one_until_it_is_started(plant: Plant) -> None:
    assert plant.status() == UNKNOWN
    plant.agent()
    assert plant.status()["state"] == "running"


async def test_no_page_outlives_its_use(plant: Plant) -> None:
    names = [f"agent-{number}" for number in range(100)]
    records = [plant.agent(name) for name in names]
    before = kept()
    for name in (*names, "nobody"):
        plant.status(name)
    assert kept() == before + len(names)
    for record in records[1:]:
        await plant.registry.forget(record.identity)
    plant.now = 3600
    plant.status(names[0])
    assert kept() == before + 1


def kept() -> int:
    gc.collect()  # what earlier tests left for the collector is not kept
    return sum(isinstance(thing, AgentStatus) for thing in gc.get_objects())


async def test_the_list_is_in_order_and_follows_who_comes_and_goes(plant: Plant) -> None:
    assert plant.ids() == []
    for name in ("pump", "ofen-ä", "backwash"):
        plant.agent(name)
        assert name in plant.ids()
    assert plant.ids() == ["backwash", "ofen-ä", "pump"]
    await plant.registry.forget(Identity(KindName.CORERL, "ofen-ä"))
    assert plant.ids() == ["backwash", "pump"]
    plant.agent("ofen-ä")
    assert plant.ids() == ["backwash", "ofen-ä", "pump"]


async def test_the_list_is_made_once_for_the_same_agents(plant: Plant) -> None:
    agent = plant.agent()
    listed = plant.pages.ids()
    plant.registry.update(replace(agent, intent=Intent.STOPPED), "test")
    await plant.registry.forget(Identity(KindName.COREIO, "backwash-coreio"))
    assert plant.pages.ids() is listed


async def test_what_could_not_be_written_is_listed_as_before(plant: Plant) -> None:
    agent = plant.agent()
    new = replace(agent, identity=Identity(KindName.CORERL, "another"))
    assert plant.ids() == ["backwash"]
    plant.mirror.commit.side_effect = StoreError("the disk is full")
    with pytest.raises(StoreError):
        await plant.registry.commit([new], "test")
    assert plant.ids() == ["backwash"]
    with pytest.raises(StoreError):
        await plant.registry.forget(agent.identity)
    assert plant.ids() == ["backwash"]
    assert plant.status()["state"] == "running"
