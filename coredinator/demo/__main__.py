"""`python -m coredinator.demo`: watch an agent control a simulated chemical plant."""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live

from coredinator.demo.picture import picture
from coredinator.demo.session import DemoError, DemoSession

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_REDRAW = 0.5
_PLAIN_REDRAW = 5.0
_PLAIN_WIDTH = 120


def main() -> None:
    """Run the demo; exit with 0 if the agent held the plant, else with one line of why not."""
    parser = argparse.ArgumentParser(prog="coredinator.demo", description="Watch an agent control a simulated plant.")
    parser.add_argument(
        "--duration", type=float, metavar="SECONDS", help="end so long after the plant's start (default: at Ctrl-C)"
    )
    duration: float | None = parser.parse_args().duration
    for number in _ENDING:
        signal.signal(number, _interrupt_once)
    try:
        verdict = run(duration)
    except DemoError as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit("demo: ended before the agent ran")
    print(verdict)  # noqa: T201  # the program's output


def run(duration: float | None) -> str:
    """Start everything, watch it for `duration` seconds or until interrupted, and leave nothing behind.

    Returns the verdict. Raises DemoError if the plant was not held, KeyboardInterrupt if it ends before it began.
    """
    # Processes that systemd had to kill may still write for a moment.
    with (
        tempfile.TemporaryDirectory(prefix="coredinator-demo-", ignore_cleanup_errors=True) as folder,
        DemoSession.running(Path(folder)) as session,
    ):
        print(f"agent {session.agent_id} starts …")  # noqa: T201  # the program's output
        try:
            session.wait_for_plant()
            watch(session, duration)
        except KeyboardInterrupt:
            print("stopping …")  # noqa: T201  # the program's output
        return judge(session)


def watch(session: DemoSession, duration: float | None) -> None:
    """Show units and plant until the time is over or the plant trips."""
    terminal = Console()
    deadline = float("inf") if duration is None else time.monotonic() + duration
    if terminal.is_terminal:
        with Live(console=terminal, auto_refresh=False) as live:
            while _look(session, deadline, _REDRAW):
                live.update(picture(session.status(), session.plant), refresh=True)
    else:
        plain = Console(width=_PLAIN_WIDTH)
        while _look(session, deadline, _PLAIN_REDRAW):
            plain.print(picture(session.status(), session.plant))


def judge(session: DemoSession) -> str:
    """The verdict. Raises DemoError if the plant was not held by a running agent."""
    plant, status = session.plant, session.status()
    if plant.trip:
        raise DemoError(f"the plant tripped after {plant.hours:.2f} simulated hours: {plant.trip}")
    if status["state"] != "running":
        errors = [service["error"] for service in status["service_statuses"].values() if service["error"]]
        raise DemoError(": ".join([f"agent {status['id']} is {status['state']}", *errors]))
    if not plant.values:
        raise DemoError("it ended before the plant ran")
    return (
        f"The agent held the plant for {plant.hours:.2f} simulated hours; peak pressure {plant.peak_pressure:.0f} kPa."
    )


def _look(session: DemoSession, deadline: float, seconds: float) -> bool:
    """Follow the plant for so long; whether there is time left to go on."""
    session.plant.update(min(seconds, max(0.0, deadline - time.monotonic())))
    return time.monotonic() < deadline and not session.plant.trip


def _interrupt_once(_number: int, _frame: FrameType | None) -> None:
    """End the demo, and let nothing disturb its end."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
