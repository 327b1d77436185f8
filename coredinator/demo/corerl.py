"""A CoreRL: it sees the event bus only, and answers every observation with actuator values."""

import logging

from coredinator.demo.bus import BusClient
from coredinator.demo.config import DemoConfig, config_argument
from coredinator.demo.controller import MultiLoop
from coredinator.demo.process import run
from coredinator.demo.tags import HOURS, TOPIC_ACTUATORS, TOPIC_OBSERVATION, TRIP

_log = logging.getLogger(__name__)

_LONGEST_GAP = 0.02
"""Simulated hours without an observation after which it takes over anew, without a bump.

A controller that acts from memory after longer ones (0.04 h were enough) can lose the plant.
"""


async def control(config: DemoConfig) -> None:
    """Control the plant until cancelled."""
    shortest_gap = config.interaction.action_period * config.plant.hours_per_second
    controller: MultiLoop | None = None
    last = 0.0
    with BusClient(config.event_bus, TOPIC_OBSERVATION) as bus:
        _log.info("agent %s waits for its plant", config.agent_name)
        while True:
            observation = await bus.newest()
            hours: float = observation[HOURS]
            if observation[TRIP]:
                if controller is not None:
                    _log.warning("the plant tripped after %.2f simulated hours: %s", hours, observation[TRIP])
                    controller = None
                continue
            if controller is None or not 0 <= hours - last <= _LONGEST_GAP:
                _log.info("agent %s takes over after %.2f simulated hours", config.agent_name, hours)
                controller = MultiLoop(observation, hours)
            elif hours - last < shortest_gap:
                continue
            last = hours
            await bus.publish(TOPIC_ACTUATORS, controller.act(observation, hours))


def main() -> None:
    """Entry point."""
    run(control(config_argument("corerl")))


if __name__ == "__main__":
    main()
