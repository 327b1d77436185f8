"""A CoreIO: measurements from OPC UA to the event bus, actuator values the other way."""

import asyncio

from asyncua import Client

from coredinator.demo.bus import BusClient
from coredinator.demo.config import DemoConfig, config_argument
from coredinator.demo.process import run, stay_linked
from coredinator.demo.tags import (
    ACTUATORS,
    HOURS,
    MEASUREMENTS,
    NO_PLANT_YET,
    TOPIC_ACTUATORS,
    TOPIC_MEASUREMENTS,
    TRIP,
    nodes,
)


async def link(config: DemoConfig) -> None:
    """Link the plant and the bus until cancelled."""
    bus = BusClient(config.event_bus, TOPIC_ACTUATORS)

    async def exchange(client: Client) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(publish_measurements(client))
            group.create_task(write_actuators(client))

    async def publish_measurements(client: Client) -> None:
        tags = (*MEASUREMENTS, HOURS, TRIP)
        sources = nodes(client, tags)
        last = NO_PLANT_YET
        while True:
            values = dict(zip(tags, await client.read_values(sources), strict=True))
            if values[HOURS] != last:
                await bus.publish(TOPIC_MEASUREMENTS, values)
                last = values[HOURS]
            await asyncio.sleep(config.interaction.obs_period / 2)

    async def write_actuators(client: Client) -> None:
        targets = nodes(client, ACTUATORS)
        while True:
            values = await bus.newest()
            await client.write_values(targets, [float(values[tag]) for tag in ACTUATORS])

    await stay_linked(config.opc_url, exchange)


def main() -> None:
    """Entry point."""
    run(link(config_argument("coreio")))


if __name__ == "__main__":
    main()
