"""The results in JSON: those of a run take the place of their predecessors, the others stay."""

import json
import os
import platform
import sqlite3
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import zmq

from benchmarks.measure import Result
from benchmarks.subjects import FIGURES
from coredinator import __version__

PATH = Path(__file__).parent / "results.json"

_DIGITS = 4


def load() -> dict[str, Any]:
    """What was measured so far, by the key of the figure."""
    return json.loads(PATH.read_text()) if PATH.exists() else {}


def save(results: Iterable[Result]) -> dict[str, Any]:
    """Write the results down; the answer is all that is known now, in the order in which it is measured."""
    about = machine() | {"measured": datetime.now(UTC).strftime("%Y-%m-%d"), "coredinator": __version__}
    known = load() | {result.figure.key: describe(result) | {"run": about} for result in results}
    known = {key: known[key] for key in FIGURES if key in known}
    PATH.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n")
    return known


def describe(result: Result) -> dict[str, Any]:
    """A result as JSON has it."""
    figure, goal = result.figure, result.figure.goal
    return {
        "title": figure.title,
        "limit is": figure.limit,
        "comparison": figure.comparison,
        "goal": {"value": goal.value, "at most": goal.at_most},
        "unit": figure.unit,
        "ours": _rounded(result.ours),
        "limit": None if result.limit is None else _rounded(result.limit),
        "value": _rounded(result.value),
        "low": _rounded(result.low),
        "high": _rounded(result.high),
        "met": result.met,
        "spent": _rounded(goal.spent_by(result.value)),
        "notes": {name: _rounded(value) for name, value in result.notes.items()},
        "rounds": result.rounds,
        "discarded": result.discarded,
        "others": _rounded(result.others),
    }


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    systemd = subprocess.run(["systemctl", "--version"], check=True, capture_output=True, text=True)  # noqa: S607  # found on PATH
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "processor": f"{os.cpu_count()} cores, {names[0] if names else platform.machine()}",
        "kernel": platform.release(),
        "systemd": systemd.stdout.split()[1],
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "libzmq": zmq.zmq_version(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
