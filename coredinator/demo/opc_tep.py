"""The plant: the Tennessee Eastman process, faster than real time, behind OPC UA.

It waits for nobody: without new actuator values it goes on with the last ones, and trips. A tripped
plant stays so; a restart of this process is a new plant at its operating point.
"""

import asyncio
import logging

import numpy as np
from asyncua import Client
from tep_studio import TennesseeEastmanProcess

from coredinator.demo.config import DemoConfig, Plant, config_argument
from coredinator.demo.process import run, stay_linked
from coredinator.demo.tags import ACTUATORS, HOURS, MEASUREMENTS, TRIP, nodes

_log = logging.getLogger(__name__)

STEP_HOURS = 0.0005
"""Simulated hours of one integration step."""


class Simulation:
    """The process with its actuators, advanced with the wall clock."""

    def __init__(self, plant: Plant) -> None:
        self._process = TennesseeEastmanProcess()
        self.measurements, info = self._process.reset(seed=plant.seed)
        self.actuators = np.array(info["implemented_action"], dtype=float)
        self.trip = ""
        self._hours_per_second = plant.hours_per_second

    @property
    def hours(self) -> float:
        """Simulated time in hours."""
        return self._process.time

    def advance(self, seconds: float) -> None:
        """Simulate what passes in `seconds` of wall time."""
        for _ in range(max(1, round(seconds * self._hours_per_second / STEP_HOURS))):
            if self.trip:
                return
            result = self._process.advance(self.actuators, control_interval=STEP_HOURS)
            self.measurements = result.measurements
            if result.shutdown_status["terminated"]:
                self.trip = str(result.shutdown_status["message"])
                _log.warning("the plant tripped after %.2f hours: %s", self.hours, self.trip)

    async def run(self, period: float) -> None:
        """Advance for ever. Time that the whole machine lost is not made up for in one leap."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + period, loop.time() - period)
            await asyncio.sleep(due - loop.time())
            self.advance(period)


async def simulate(config: DemoConfig) -> None:
    """Run the plant and keep it linked to its OPC UA server."""
    simulation = Simulation(config.plant)
    period = config.interaction.obs_period

    async def exchange(client: Client) -> None:
        actuators = nodes(client, ACTUATORS)
        measurements = nodes(client, (*MEASUREMENTS, HOURS, TRIP))
        # A new plant begins at its operating point, whatever the last one left behind.
        await client.write_values(actuators, simulation.actuators.tolist())
        while True:
            simulation.actuators[:] = await client.read_values(actuators)
            values = [*map(float, simulation.measurements), float(simulation.hours), simulation.trip]
            await client.write_values(measurements, values)
            await asyncio.sleep(period / 2)

    async with asyncio.TaskGroup() as group:
        group.create_task(simulation.run(period))
        group.create_task(stay_linked(config.opc_url, exchange))


def main() -> None:
    """Entry point."""
    run(simulate(config_argument("opc_tep")))


if __name__ == "__main__":
    main()
