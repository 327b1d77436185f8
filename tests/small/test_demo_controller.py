"""The demo's controller on a plant in the same process, with the delay that the network brings."""

from collections.abc import Iterator

import pytest

from coredinator.demo.config import Plant
from coredinator.demo.controller import MultiLoop
from coredinator.demo.opc_tep import STEP_HOURS, Simulation
from coredinator.demo.tags import ACTUATORS, MEASUREMENTS

EXCHANGE_HOURS = 0.005


def plant(seed: int = 1) -> Simulation:
    """One whose second is one exchange."""
    return Simulation(Plant(hours_per_second=EXCHANGE_HOURS, seed=seed))


def observe(simulation: Simulation) -> dict[str, float]:
    measurements = simulation.values[: len(MEASUREMENTS)]
    return dict(zip((*MEASUREMENTS, *ACTUATORS), [*map(float, measurements), *simulation.actuators], strict=True))


def exchanges(simulation: Simulation, hours: float) -> Iterator[dict[str, float]]:
    """Advance for so long, or until the plant trips, and show every observation."""
    end = simulation.hours + hours
    while simulation.hours < end and not simulation.trip:
        yield observe(simulation)
        simulation.advance(1)


def control(simulation: Simulation, hours: float, *, delay: int) -> float:
    """Take over and control for so long; actions arrive `delay` exchanges late. Returns the peak pressure."""
    controller = MultiLoop(observe(simulation), simulation.hours)
    under_way: list[dict[str, float]] = []
    peak = 0.0
    for observation in exchanges(simulation, hours):
        peak = max(peak, observation["reactor_pressure"])
        under_way.append(controller.act(observation, simulation.hours))
        if len(under_way) > delay:
            simulation.actuators[:] = list(under_way.pop(0).values())
    return peak


def leave_alone(simulation: Simulation, hours: float) -> None:
    for _ in exchanges(simulation, hours):
        pass


@pytest.mark.parametrize("delay", [0, 1, 2])
def test_it_holds_the_plant_in_spite_of_delay(delay: int) -> None:
    simulation = plant()
    assert control(simulation, 6, delay=delay) < 2800
    assert simulation.trip == ""


def test_a_plant_that_is_left_alone_trips() -> None:
    simulation = plant()
    control(simulation, 1, delay=1)
    leave_alone(simulation, 6)
    assert "High Reactor Pressure" in simulation.trip
    tripped_at = simulation.hours
    simulation.advance(10)
    assert simulation.hours == tripped_at


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("gap", [STEP_HOURS, 0.1, 0.2])
def test_its_first_action_leaves_every_actuator_where_it_is(seed: int, gap: float) -> None:
    simulation = plant(seed)
    control(simulation, 2, delay=1)
    leave_alone(simulation, gap)
    observation = observe(simulation)
    action = MultiLoop(observation, simulation.hours).act(observation, simulation.hours)
    assert [action[tag] for tag in ACTUATORS] == pytest.approx([observation[tag] for tag in ACTUATORS], abs=0.3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_successor_catches_a_plant_that_was_alone_for_a_while(seed: int) -> None:
    simulation = plant(seed)
    control(simulation, 2, delay=1)
    leave_alone(simulation, 0.2)
    assert control(simulation, 4, delay=1) < 2800
    assert simulation.trip == ""
