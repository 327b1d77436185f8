"""`python -m benchmarks`: measure, print the table, write results.json and docs/performance.md."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks import report, results
from benchmarks.bed import enter, inside
from benchmarks.figure import FULL
from benchmarks.measure import Busy, Result, run_rounds, summarise
from benchmarks.neighbours import SOCKET, Gate, ask
from benchmarks.subjects import ALL


def main() -> int:
    """Measure what is asked for; 1 if the machine was too busy for some of it."""
    arguments = sys.argv[1:]
    chosen = parse(arguments)
    console = Console()
    if chosen.redraw:
        report.write(results.load())
        return 0
    if not inside():
        return enter(arguments)
    gate = Gate(ask(os.environ[SOCKET]), chosen.others)
    found: list[Result] = []
    failed = 0
    started = time.monotonic()
    for subject in ALL:
        if chosen.figures and subject.name not in chosen.figures:
            continue
        rounds = min(chosen.rounds, subject.most_rounds)
        console.print(f"{subject.name}: {rounds} rounds")
        with tempfile.TemporaryDirectory(prefix="coredinator-bench-") as folder:
            try:
                with subject.prepare(Path(folder), FULL) as measure:
                    found += summarise(
                        subject, run_rounds(measure, gate, rounds, lambda text: console.print(f"  {text}"))
                    )
            except Busy as busy:
                console.print(f"  [red]not measured[/red]: {busy}")
                failed = 1
    report.write(results.save(found))
    report.show({result.figure.key: results.describe(result) for result in found}, console)
    console.print(f"{time.monotonic() - started:.0f} s")
    return failed


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    names = [subject.name for subject in ALL]
    parser.add_argument(
        "--figures", nargs="+", choices=names, metavar="NAME", help=f"only these (default all): {', '.join(names)}"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds that must be undisturbed (default 5; long ones less)"
    )
    parser.add_argument(
        "--others", type=float, default=0.05, metavar="SHARE",
        help="a round counts if other processes used no more than this share of the machine (default 0.05; 1: always)",
    )  # fmt: skip
    parser.add_argument(
        "--redraw", action="store_true", help="measure nothing; write table and plot of results.json anew"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
