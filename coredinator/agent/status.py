"""The status of an agent and of its services, as the API shows it: pure functions."""

from collections.abc import Iterable

from coredinator.service.state import Intent, State


def agent_state(intent: Intent, services: Iterable[State]) -> State:
    """The state of an agent out of its services' states.

    An agent that is wanted stopped is stopped: its CoreIO lives a life of its own.
    """
    if intent is Intent.STOPPED:
        return State.STOPPED
    states = set(services)
    if State.FAILED in states:
        return State.FAILED
    if states == {State.RUNNING}:
        return State.RUNNING
    if states <= {State.STOPPED}:
        return State.STOPPED
    return State.STARTING
