"""The demo's live picture: a table of units, and one of the plant."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

from coredinator.demo.plant_view import PlantView

_ROLES = ("uaserver", "tep", "coreio", "corerl")
_PLANT = (
    ("reactor pressure", "reactor_pressure", "kPa", "trips at 3000"),
    ("reactor level", "reactor_level", "%", ""),
    ("production", "stripper_underflow", "m³/h", ""),
)
_MEGABYTE = 1_000_000


def picture(status: Mapping[str, Any], plant: PlantView) -> Group:
    """Both tables."""
    return Group(units_table(status), plant_table(plant))


def units_table(status: Mapping[str, Any]) -> Table:
    """One row a unit; its memory in megabytes, its CPU time in seconds."""
    table = Table(title=f"agent {status['id']}: {status['state']}", title_justify="left")
    table.add_column("unit", overflow="fold")
    table.add_column("state")
    for column in ("PID", "CPU s", "memory MB", "restarts"):
        table.add_column(column, justify="right")
    for role in _ROLES:
        if (service := status["service_statuses"].get(role)) is not None:
            memory = service["memory_bytes"]
            table.add_row(
                service["unit"],
                service["state"],
                _number(service["main_pid"], "d"),
                _number(service["cpu_seconds"], ".1f"),
                _number(None if memory is None else memory / _MEGABYTE, ".0f"),
                str(service["restarts"]),
            )
    return table


def plant_table(plant: PlantView) -> Table:
    """What the instruments show, once there is a plant."""
    table = Table(title=f"plant after {plant.hours:.2f} simulated hours {plant.trip}", title_justify="left")
    table.add_column("value")
    table.add_column("now", justify="right")
    table.add_column("unit")
    table.add_column("")
    for name, tag, unit, remark in _PLANT:
        table.add_row(name, _number(plant.values.get(tag), ".1f"), unit, remark)
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
