"""The results for people: a table in the terminal, and the table and plot of docs/performance.md."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.bed import ROOT
from benchmarks.figure import Comparison
from benchmarks.plot import draw

DOCUMENT = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance.svg"
_BEGIN, _END = "<!-- results: written by make bench -->\n", "<!-- end of results -->\n"

# The signs of prose, not those of a program.
# ruff: noqa: RUF001

_NARROW = ("figure", "ours", "limit", "value", "spread", "goal", "met", "others")
_COLUMNS = ("figure", "ours", "limit", "value", "spread", "goal", "met", "rounds", "others")


def show(results: Mapping[str, Any], console: Console) -> None:
    """Print the table, narrow enough for a terminal."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in _NARROW:
        table.add_column(column, no_wrap=True, justify="left" if column == "figure" else "right")
    for key, result in results.items():
        cells = dict(zip(_COLUMNS, row(result), strict=True)) | {"figure": key}
        table.add_row(*(cells[column] for column in _NARROW), style=None if result["met"] else "red")
    console.print(table)


def write(results: Mapping[str, Any]) -> None:
    """Put table and plot in place of the former ones."""
    before, _, rest = DOCUMENT.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    DOCUMENT.write_text(f"{before}{_BEGIN}{markdown(results)}{_END}{after}")
    draw(results, PLOT)


def markdown(results: Mapping[str, Any]) -> str:
    """The table, and what it was measured on; where that differs, which figure where."""
    lines = [_line(_COLUMNS), _line(["---"] + ["--:"] * (len(_COLUMNS) - 1))]
    lines += [_line(row(result)) for result in results.values()]
    lines += ["", "Measured on:", ""]
    runs: dict[str, list[str]] = {}
    for key, result in results.items():
        about = ", ".join(f"{name} {value}" for name, value in result["run"].items())
        runs.setdefault(about, []).append(f"`{key}`")
    for about, keys in runs.items():
        lines.append(f"- {about}" if len(runs) == 1 else f"- {', '.join(keys)}: {about}")
    return "\n".join([*lines, ""])


def row(result: Mapping[str, Any]) -> list[str]:
    """The cells of one result."""
    kind, goal = result["comparison"], result["goal"]
    unit = {Comparison.RATIO: " ×", Comparison.DIFFERENCE: " more"}.get(kind, "")
    return [
        result["title"],
        f"{number(result['ours'])} {result['unit']}".strip(),
        "–" if result["limit"] is None else f"{number(result['limit'])} {result['unit']}".strip(),
        number(result["value"]) + unit,
        f"{number(result['low'])}–{number(result['high'])}",
        f"{'≤' if goal['at most'] else '≥'} {number(goal['value'])}",
        "yes" if result["met"] else "no",
        f"{result['rounds']}" + (f" (+{result['discarded']} disturbed)" if result["discarded"] else ""),
        f"{result['others']:.1%}",
    ]


def number(value: float) -> str:
    """Three digits, and thousands apart."""
    return f"{float(f'{value:.3g}'):,.10g}"


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
