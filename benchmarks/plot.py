"""The plot of docs/performance.md: how much of what is allowed each figure uses, and how costs grow."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MET, _MISSED, _EDGE = "#3b7a57", "#b5473c", "#444444"
_LEAST, _TICKS = 0.1, (0.1, 0.2, 0.5, 1, 2, 5, 10)


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Draw into an SVG file; the same results make the same file."""
    # It takes a second to import, and the processes that are measured import this package too.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    plt.rcParams.update({"svg.hashsalt": "coredinator", "svg.fonttype": "none", "font.size": 9})
    figure, (bars, lines) = plt.subplots(
        1, 2, figsize=(13, 1.5 + 0.24 * len(results)), width_ratios=(3, 2), layout="constrained"
    )
    _draw_goals(bars, results)
    _draw_growth(lines, results)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _draw_goals(axes: Any, results: Mapping[str, Any]) -> None:  # noqa: ANN401  # matplotlib has no types
    shown = list(results.values())[::-1]
    spent = [max(result["spent"], _LEAST) for result in shown]
    axes.barh(
        [result["title"] for result in shown], spent,
        color=[_MET if result["met"] else _MISSED for result in shown],
    )  # fmt: skip
    axes.axvline(1, color=_EDGE, linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(left=_LEAST)
    axes.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axes.minorticks_off()
    axes.margins(y=0.01)
    axes.set_xlabel("part of what the goal allows (left of 1 meets it)")


def _draw_growth(axes: Any, results: Mapping[str, Any]) -> None:  # noqa: ANN401  # matplotlib has no types
    for key, result in results.items():
        if key.startswith("growth-"):
            points = sorted(
                (int(match[1]), value)
                for name, value in result["notes"].items()
                if (match := re.fullmatch(r"ms at (\d+)", name))
            )
            axes.plot(*zip(*points, strict=True), marker="o", label=key.removeprefix("growth-"))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("units")
    axes.set_ylabel("ms (idle: ms of CPU in a second)")
    axes.set_title("growth")
    if axes.lines:
        axes.legend()
