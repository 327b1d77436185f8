"""What the demo shows and how it judges, without a manager."""

import io
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from rich.console import Console

from coredinator.demo.__main__ import judge
from coredinator.demo.picture import picture
from coredinator.demo.plant_view import PlantView
from coredinator.demo.session import DemoError, DemoSession


@dataclass
class FakePlant:
    values: dict[str, Any] = field(default_factory=lambda: {"reactor_pressure": 2705.2})
    hours: float = 1.25
    trip: str = ""
    peak_pressure: float = 2711.4


@dataclass
class FakeSession:
    plant: FakePlant = field(default_factory=FakePlant)
    state: str = "running"
    error: str | None = None

    def status(self) -> dict[str, Any]:
        service = {
            "unit": "coredinator-agent@x.service", "state": self.state, "main_pid": 4711, "cpu_seconds": 1.25,
            "memory_bytes": 150_000_000, "restarts": 2, "error": self.error,
        }  # fmt: skip
        return {"id": "x", "state": self.state, "service_statuses": {"corerl": service}}


def shown(session: FakeSession) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(picture(session.status(), cast("PlantView", session.plant)))
    return console.export_text()


def verdict(session: FakeSession) -> str:
    return judge(cast("DemoSession", session))


def test_the_picture_has_unit_and_plant() -> None:
    text = shown(FakeSession())
    for expected in ("coredinator-agent@x.service", "running", "4711", "1.2", "150", "2705.2 │ kPa", "1.25 simulated"):
        assert expected in text


def test_the_picture_has_dashes_for_what_is_not_known() -> None:
    text = shown(FakeSession(plant=FakePlant(values={})))
    assert "reactor pressure │   - │ kPa" in text


def test_a_held_plant_is_praised() -> None:
    assert verdict(FakeSession()) == "The agent held the plant for 1.25 simulated hours; peak pressure 2711 kPa."


@pytest.mark.parametrize(
    ("session", "said"),
    [
        (FakeSession(plant=FakePlant(trip="High Reactor Pressure")), "tripped after 1.25 .* High Reactor Pressure"),
        (FakeSession(state="failed", error="no executable"), "agent x is failed: no executable"),
        (FakeSession(state="starting"), "agent x is starting"),
        (FakeSession(plant=FakePlant(values={})), "before the plant ran"),
    ],
)
def test_anything_else_is_an_error(session: FakeSession, said: str) -> None:
    with pytest.raises(DemoError, match=said):
        verdict(session)
