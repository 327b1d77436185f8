"""The plant: the Tennessee Eastman process, faster than real time, behind OPC UA.

It waits for nobody: without new actuator values it goes on with the last ones, and trips. A tripped
plant stays so; a restart of this process is a new plant at its operating point.
"""

# pyright: reportMissingTypeStubs=false
# tep-studio is typed, and does not say so with a py.typed file.

import asyncio
import logging

from asyncua.client.client import Client
from tep_studio import TennesseeEastmanProcess

from coredinator.demo.config import DemoConfig, Plant, config_argument
from coredinator.demo.opc import nodes, stay_linked
from coredinator.demo.process import run
from coredinator.demo.tags import ACTUATORS, HOURS, MEASUREMENTS, TRIP

_log = logging.getLogger(__name__)

STEP_HOURS = 0.0005
"""Simulated hours of one integration step; the process is too stiff for longer ones."""


class Simulation:
    """The process with its actuators, advanced with the wall clock."""

    def __init__(self, plant: Plant) -> None:
        self._process = TennesseeEastmanProcess()
        self._measurements, info = self._process.reset(seed=plant.seed)
        self._hours_per_second = plant.hours_per_second
        self.actuators = list(map(float, info["implemented_action"]))
        self.trip = ""
        self.advanced = asyncio.Event()

    @property
    def hours(self) -> float:
        """Simulated time in hours."""
        return self._process.time

    @property
    def values(self) -> list[float | str]:
        """What the instruments show, in the order of MEASUREMENTS, TRIP, HOURS."""
        return [*map(float, self._measurements), self.trip, float(self.hours)]

    def advance(self, seconds: float) -> None:
        """Simulate what passes in `seconds` of wall time; nothing more happens in a tripped plant."""
        for _ in range(max(1, round(seconds * self._hours_per_second / STEP_HOURS))):
            if self.trip:
                return
            result = self._process.advance(self.actuators, control_interval=STEP_HOURS)
            self._measurements = result.measurements
            if result.shutdown_status["terminated"]:
                self.trip = str(result.shutdown_status["message"])
                _log.warning("the plant tripped after %.2f simulated hours: %s", self.hours, self.trip)

    async def run(self, period: float) -> None:
        """Advance for ever. Time that the whole machine lost is not made up for in one leap."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + period, loop.time() - period)
            await asyncio.sleep(due - loop.time())
            self.advance(period)
            self.advanced.set()


async def simulate(config: DemoConfig) -> None:
    """Run the plant and keep it linked to its OPC UA server."""
    simulation = Simulation(config.plant)

    async def exchange(client: Client) -> None:
        actuators = nodes(client, ACTUATORS)
        instruments = nodes(client, (*MEASUREMENTS, TRIP, HOURS))
        # A new server knows no actuator values yet, and an old one those of the plant before this.
        await client.write_values(actuators, list(simulation.actuators))
        while True:
            await client.write_values(instruments, simulation.values)
            simulation.advanced.clear()
            await simulation.advanced.wait()
            simulation.actuators[:] = await client.read_values(actuators)

    async with asyncio.TaskGroup() as group:
        group.create_task(simulation.run(config.interaction.obs_period))
        group.create_task(stay_linked(config.opc_url, exchange))


def main() -> None:
    """Entry point."""
    run(simulate(config_argument("opc_tep")))


if __name__ == "__main__":
    main()
