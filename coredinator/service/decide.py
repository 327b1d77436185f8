"""What to do about a service, given what is wanted and what is: a pure function.

systemd is the truth about what is, the mirror about what is wanted. A unit at rest that should run
was stopped by somebody, unless this systemd has not run it yet (a reboot) or its start was cut short.
"""

from enum import Enum, auto

from coredinator.service.record import Pending, ServiceRecord
from coredinator.service.state import Intent
from coredinator.systemd import UnitProperties


class Decision(Enum):
    """The one next step for a service."""

    KEEP = auto()
    ADOPT = auto()
    START = auto()
    STOP = auto()
    WANT_RUNNING = auto()
    WANT_STOPPED = auto()


def decide(record: ServiceRecord | None, unit: UnitProperties | None, *, fresh_systemd: bool) -> Decision:
    """Decide for one service; `unit` is None if it is not loaded.

    `fresh_systemd` means that this run of systemd (this boot) has not yet been asked for the
    services that are wanted.
    """
    at_rest = unit is None or unit.at_rest
    if record is None:
        # One that is stopped has just been forgotten, and goes as soon as systemd gets to it.
        return Decision.ADOPT if unit is not None and (unit.is_up or unit.active_state == "failed") else Decision.KEEP
    if record.intent is Intent.RUNNING:
        if not at_rest:
            return Decision.KEEP
        if record.pending is Pending.START or record.error is not None or fresh_systemd:
            return Decision.START
        return Decision.WANT_STOPPED
    if unit is None or not unit.is_up:
        return Decision.KEEP
    return Decision.STOP if record.pending is Pending.STOP else Decision.WANT_RUNNING
