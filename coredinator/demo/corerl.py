"""A CoreRL: it sees the event bus only. Its policy is the multiloop controller of tep-studio."""

import logging

from tep_studio.control import RickerMultiLoopController

from coredinator.demo.bus import BusClient
from coredinator.demo.config import DemoConfig, config_argument
from coredinator.demo.process import run
from coredinator.demo.tags import ACTUATORS, HOURS, MEASUREMENTS, TOPIC_ACTUATORS, TOPIC_MEASUREMENTS, TRIP

_log = logging.getLogger(__name__)


async def control(config: DemoConfig) -> None:
    """Answer every new observation with actuator values until cancelled."""
    bus = BusClient(config.event_bus, TOPIC_MEASUREMENTS)
    controller = RickerMultiLoopController()
    last: float | None = None
    while True:
        observation = await bus.newest()
        hours = float(observation[HOURS])
        measurements = [float(observation[tag]) for tag in MEASUREMENTS]
        if observation[TRIP]:
            continue
        if last is None or hours < last:
            # The first sight of this plant: begin where it is, without a bump.
            controller.setpoints = None
            controller.reset(measurements, time=hours)
            _log.info("agent %s takes over after %.2f simulated hours", config.agent_name, hours)
        elif hours - last < config.interaction.action_period * config.plant.hours_per_second:
            continue
        last = hours
        action, _ = controller.compute_action(measurements, time=hours)
        await bus.publish(TOPIC_ACTUATORS, dict(zip(ACTUATORS, action.tolist(), strict=True)))


def main() -> None:
    """Entry point."""
    run(control(config_argument("corerl")))


if __name__ == "__main__":
    main()
