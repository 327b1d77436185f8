"""The policy of the demo's CoreRL: tep-studio's multiloop controller, fitted to a plant behind a network."""

# pyright: reportMissingTypeStubs=false
# tep-studio is typed, and does not say so with a py.typed file.

from collections.abc import Mapping
from dataclasses import replace

from tep_studio.control import ControllerSetpoints, RickerMultiLoopController
from tep_studio.control.loops import PILoopSpec, RickerRegistry
from tep_studio.control.registry import RICKER_MODE1
from tep_studio.control.tuning import apply_tuning
from tep_studio.simulation.modes import mode_setpoints

from coredinator.demo.tags import ACTUATORS, MEASUREMENTS

# Ricker's gain of -8 is for actions without delay. One exchange late (0.005 h) it swings the cooling
# valve from stop to stop, and a plant left alone for 0.1 h from there is lost. Half the gain holds
# with up to 0.015 h of delay, and catches a plant that was left alone for 0.2 h.
_STRATEGY = apply_tuning(RICKER_MODE1, {"reactor_temperature.kc": -4.0})
_SETPOINTS = mode_setpoints("mode1")


class MultiLoop:
    """The controller of one plant, from the moment it takes over."""

    def __init__(self, observation: Mapping[str, float], hours: float) -> None:
        strategy = from_here(_STRATEGY, _SETPOINTS, observation)
        self._controller = RickerMultiLoopController(registry=strategy, setpoints=_SETPOINTS)
        self._controller.reset(_measurements(observation), time=hours)

    def act(self, observation: Mapping[str, float], hours: float) -> dict[str, float]:
        """Actuator values in percent for the measurements at `hours` of simulated time."""
        action, _ = self._controller.compute_action(_measurements(observation), time=hours)
        return dict(zip(ACTUATORS, action.tolist(), strict=True))


def from_here(
    strategy: RickerRegistry, setpoints: ControllerSetpoints, observation: Mapping[str, float]
) -> RickerRegistry:
    """The strategy with initial outputs that leave every actuator where it is (a bumpless start).

    A cascade's outer loop starts at the setpoint that its inner loop has reached already.
    """

    def start(loop: PILoopSpec, output: float, setpoint: float) -> PILoopSpec:
        """The loop's first update adds its gain times the error to x0: take that off beforehand."""
        return replace(loop, x0=output - loop.kc * (setpoint - observation[loop.pv]))

    base = strategy.nominal.fp_base
    return replace(
        strategy,
        feed_loops=tuple(replace(loop, x0=observation[loop.mv]) for loop in strategy.feed_loops),
        reactor_level=start(strategy.reactor_level, observation["separator_temperature"], setpoints.reactor_level),
        reactor_pressure=start(strategy.reactor_pressure, observation["purge_flow"] / base, setpoints.reactor_pressure),
        reactor_temperature=start(
            strategy.reactor_temperature,
            observation[strategy.reactor_temperature.drives],
            setpoints.reactor_temperature,
        ),
        separator_level=start(
            strategy.separator_level, observation["separator_underflow"] / base, setpoints.separator_level
        ),
        separator_temperature=replace(
            strategy.separator_temperature, x0=observation[strategy.separator_temperature.drives]
        ),
        stripper_level=start(
            strategy.stripper_level, observation["stripper_underflow"] / base, setpoints.stripper_level
        ),
    )


def _measurements(observation: Mapping[str, float]) -> list[float]:
    return [observation[tag] for tag in MEASUREMENTS]
