"""A CoreIO: observations from OPC UA to the event bus, actuator values the other way."""

import asyncio

from asyncua.client.client import Client

from coredinator.demo.bus import BusClient
from coredinator.demo.config import DemoConfig, config_argument
from coredinator.demo.opc import nodes, stay_linked
from coredinator.demo.process import run
from coredinator.demo.tags import (
    ACTUATORS,
    HOURS,
    MEASUREMENTS,
    NO_PLANT_YET,
    TOPIC_ACTUATORS,
    TOPIC_OBSERVATION,
    TRIP,
)


async def link(config: DemoConfig) -> None:
    """Link the plant and the bus until cancelled."""
    with BusClient(config.event_bus, TOPIC_ACTUATORS) as bus:

        async def exchange(client: Client) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(publish_observations(client, bus, config.interaction.obs_period / 4))
                group.create_task(write_actuators(client, bus))

        await stay_linked(config.opc_url, exchange)


async def publish_observations(client: Client, bus: BusClient, period: float) -> None:
    """Look every `period` seconds whether the plant's clock has moved, and publish all tags if so."""
    tags = (HOURS, TRIP, *MEASUREMENTS, *ACTUATORS)
    sources = nodes(client, tags)
    clock = sources[0]
    last = NO_PLANT_YET
    while True:
        if await clock.read_value() != last:
            observation = dict(zip(tags, await client.read_values(sources), strict=True))
            last = observation[HOURS]
            if last != NO_PLANT_YET:
                await bus.publish(TOPIC_OBSERVATION, observation)
        await asyncio.sleep(period)


async def write_actuators(client: Client, bus: BusClient) -> None:
    """Hand the newest actuator values on to the plant."""
    targets = nodes(client, ACTUATORS)
    while True:
        values = await bus.newest()
        await client.write_values(targets, [float(values[tag]) for tag in ACTUATORS])


def main() -> None:
    """Entry point."""
    run(link(config_argument("coreio")))


if __name__ == "__main__":
    main()
