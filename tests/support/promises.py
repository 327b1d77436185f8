"""What must hold of a host that has come to rest; each function says what does not."""

import contextlib
import sqlite3
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.model import Expected, Unit, coreio

type Status = dict[str, Any]
"""An agent's status, or a service's, as the API answers."""

STATES = {
    ("activating", ""): "starting",
    ("activating", "auto-restart"): "failed",
    ("activating", "auto-restart-queued"): "failed",
    ("deactivating", ""): "stopping",
    ("active", ""): "running",
    ("inactive", ""): "stopped",
    ("failed", ""): "failed",
}
"""The contract's table: ActiveState and SubState, an empty one for all others."""
_MIRRORED = ("main_pid", "restarts", "result", "exit_status", "executable", "version", "error", "config_path")
"""Columns of the mirror that a status says by the same name."""


def agent_state(intent: str, states: list[str]) -> str:
    """The contract's rule for an agent."""
    if intent == "stopped":
        return "stopped"
    if "failed" in states:
        return "failed"
    return next((state for state in ("running", "stopped") if set(states) == {state}), "starting")


def of_existence(services: Mapping[Unit, Status], loaded: list[str], expected: Mapping[Unit, Expected]) -> list[str]:
    found = [f"{unit.name} is unknown" for unit, of in expected.items() if of.known == {True} and unit not in services]
    found += [f"{unit.name} is still known" for unit in services if unit not in expected]
    names = {unit.name for unit in services}
    return found + [f"{name} is loaded and has no record" for name in loaded if name not in names]


def of_agents(agents: Mapping[str, Status], links: Mapping[str, Collection[str | None]]) -> list[str]:
    found: list[str] = []
    for agent, status in agents.items():
        states = [service["state"] for service in status["service_statuses"].values()]
        if status["state"] != agent_state(status["intended_state"], states):
            found.append(f"agent {agent} is {status['state']} with {states}")
        link = status["service_statuses"].get("coreio", {}).get("id")
        if link not in links.get(agent, {None}):
            found.append(f"agent {agent} has CoreIO {link}")
    return found


def of_pages(agents: Mapping[str, Status], services: Mapping[Unit, Status]) -> list[str]:
    """What an agent's page says of a CoreIO is what the list of them says; one that is forgotten is stopped."""
    found: list[str] = []
    for agent, status in agents.items():
        on_page = status["service_statuses"].get("coreio")
        if on_page is None:
            continue
        listed = services.get(coreio(on_page["id"]), on_page | {"state": "stopped", "main_pid": None})
        if on_page != listed:
            found.append(f"agent {agent} has CoreIO {on_page}, in the list it is {listed}")
    return found


def of_systemd(unit: Unit, service: Status, show: Mapping[str, str]) -> list[str]:
    if show["LoadState"] == "not-found":
        expected_states = {"failed"} if service["error"] else {"stopped"}
        if service["state"] not in expected_states or service["main_pid"] is not None:
            return [f"{unit.name} is not loaded, but {service['state']} with PID {service['main_pid']}"]
        return []
    says = {
        "state": _state(show),
        "main_pid": int(show["MainPID"]) or None,
        "restarts": int(show["NRestarts"]),
        "result": show["Result"],
        "exit_status": int(show["ExecMainStatus"]) if show["ExecMainCode"] != "0" else None,
    }
    if says["state"] == "stopped" and service["error"]:
        says["state"] = "failed"
    return [
        f"{unit.name}: {key} is {service[key]}, systemd says {value}"
        for key, value in says.items()
        if service[key] != value
    ]


def _state(show: Mapping[str, str]) -> str:
    """The state of a unit; one that is not loaded is stopped."""
    if show["LoadState"] == "not-found":
        return "stopped"
    return STATES.get((show["ActiveState"], show["SubState"])) or STATES[show["ActiveState"], ""]


def of_process(unit: Unit, service: Status, expected: Expected) -> list[str]:
    if expected.pid is None or service["main_pid"] == expected.pid:
        return []
    return [f"{unit.name} has PID {service['main_pid']}, not {expected.pid} any more"]


def of_wishes(unit: Unit, service: Status, show: Mapping[str, str], expected: Expected, *, excused: bool) -> list[str]:
    """With `excused` there is a reason why the service does not run, should it be wanted running."""
    found: list[str] = []
    if service["intended_state"] not in expected.intents:
        found.append(f"{unit.name} is wanted {service['intended_state']}, not {expected.intents}")
    if service["intended_state"] == "stopped":
        if show["ActiveState"] not in {"inactive", "failed"}:
            found.append(f"{unit.name} is wanted stopped, and {show['ActiveState']}")
    elif not excused:
        if show["ActiveState"] != "active":
            found.append(f"{unit.name} is wanted running, and {show['ActiveState']}/{show['SubState']}")
        if service["error"]:
            found.append(f"{unit.name} could run, but {service['error']}")
    return found


def of_mirror(
    path: Path,
    services: Mapping[Unit, Status],
    systemd: Mapping[Unit, Mapping[str, str]],
    *,
    since: datetime,
    operated: Collection[str],
) -> list[str]:
    """Only on units that were `operated` since that moment may an operator be said to have acted."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
            blamed = reader.execute(
                "SELECT unit FROM transitions WHERE at > ? AND cause LIKE 'operator wants%'", (since.isoformat(),)
            ).fetchall()
            rows = reader.execute(
                f"SELECT unit, state, intent, pending, {', '.join(_MIRRORED)} FROM services"  # noqa: S608  # names of ours
            ).fetchall()
    except sqlite3.Error as error:
        return [f"the mirror cannot be read: {error}"]
    mirrored = {row[0]: row[1:] for row in rows}
    said = {
        unit.name: (
            _state(systemd[unit]), service["intended_state"], None, *(service[key] for key in _MIRRORED),
        )
        for unit, service in services.items()
    }  # fmt: skip
    if others := {unit for (unit,) in blamed} - set(operated):
        return [f"an operator is said to have started or stopped {others}"]
    return [] if mirrored == said else [f"the mirror has {mirrored}, the API says {said}"]
