"""`python -m coredinator.demo`: watch an agent control a simulated chemical plant."""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from coredinator.demo.session import DemoError, DemoSession, PlantView

HOURS_PER_SECOND = 0.1
_ROLES = ("uaserver", "tep", "coreio", "corerl")
_PLANT = (
    ("reactor pressure", "reactor_pressure", "kPa", "trips at 3000"),
    ("reactor level", "reactor_level", "%", ""),
    ("production", "stripper_underflow", "m³/h", ""),
)
_REDRAW = 0.5
_PLAIN_REDRAW = 5.0


def main() -> None:
    """Run the demo; exit with 0 if the agent held the plant, else with one line of why not."""
    parser = argparse.ArgumentParser(prog="coredinator.demo", description=__doc__)
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="end after so long (default: at Ctrl-C)")
    duration = parser.parse_args().duration
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="coredinator-demo-") as folder:
            with DemoSession.running(Path(folder), hours_per_second=HOURS_PER_SECOND) as session:
                session.start_agent()
                watch(session, duration)
            verdict = judge(session.plant)
    except (DemoError, httpx.HTTPError) as error:
        sys.exit(f"demo: {error}")
    print(verdict)  # noqa: T201  # the program's output


def watch(session: DemoSession, duration: float | None) -> None:
    """Show units and plant until the time is over, Ctrl-C, or the plant trips."""
    console = Console()
    deadline = time.monotonic() + duration if duration is not None else float("inf")
    try:
        if console.is_terminal:
            with Live(console=console, auto_refresh=False, transient=False) as live:
                while time.monotonic() < deadline and not session.plant.trip:
                    session.plant.update(min(_REDRAW, max(0.0, deadline - time.monotonic())))
                    live.update(picture(session), refresh=True)
        else:
            while time.monotonic() < deadline and not session.plant.trip:
                session.plant.update(min(_PLAIN_REDRAW, max(0.0, deadline - time.monotonic())))
                console.print(picture(session))
    except KeyboardInterrupt:
        console.print("stopping …")


def picture(session: DemoSession) -> Group:
    """Units and plant as two tables."""
    status = session.status()
    return Group(units_table(status), plant_table(session.plant))


def units_table(status: Mapping[str, Any]) -> Table:
    """One row a unit."""
    table = Table(title=f"agent {status['id']}: {status['state']}", title_justify="left")
    for column in ("unit", "state", "PID", "CPU s", "memory MB", "restarts"):
        table.add_column(column, justify="left" if column in {"unit", "state"} else "right")
    for role in _ROLES:
        if (service := status["service_statuses"].get(role)) is not None:
            table.add_row(
                service["unit"],
                service["state"],
                _number(service["main_pid"], "{:d}"),
                _number(service["cpu_seconds"], "{:.1f}"),
                _number(service["memory_bytes"], "{:.0f}", scale=1e6),
                str(service["restarts"]),
            )
    return table


def plant_table(plant: PlantView) -> Table:
    """The plant's values, once there are some."""
    table = Table(title=f"plant after {plant.hours:.2f} simulated hours", title_justify="left")
    for column in ("value", "now", "unit", ""):
        table.add_column(column, justify="right" if column == "now" else "left")
    for name, tag, unit, remark in _PLANT:
        table.add_row(name, _number(plant.values.get(tag), "{:.1f}"), unit, remark)
    return table


def judge(plant: PlantView) -> str:
    """The last line. Raises DemoError if the plant was not held."""
    if plant.trip:
        raise DemoError(f"the plant tripped after {plant.hours:.2f} simulated hours: {plant.trip}")
    if not plant.values:
        raise DemoError("no measurement ever came from the plant; see journalctl --user -t tep")
    return f"The agent held the plant for {plant.hours:.2f} simulated hours."


def _number(value: float | None, form: str, *, scale: float = 1) -> str:
    return "-" if value is None else form.format(value if scale == 1 else value / scale)


if __name__ == "__main__":
    main()
