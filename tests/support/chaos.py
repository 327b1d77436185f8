"""Random histories for as long as told: `make chaos DURATION=3600`.

Ends with exit code 1 at the first broken promise and tells the history that led to it; the seed
begins the same histories again.
"""

import argparse
import random
import sys
import time

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.histories import Histories
from tests.support.world import COUNTS, fault_count

AT_A_TIME = 30
"""Hypothesis begins with small examples: of ten histories four end after their first step, of thirty one in eight."""


def main() -> int:
    arguments = _arguments()
    deadline = time.monotonic() + arguments.duration
    number = arguments.seed
    try:
        while time.monotonic() < deadline:
            _run(number, arguments.steps)
            number += 1
            longer = f"{Histories.longer} of them of more than one step"
            print(f"{Histories.histories} histories, {longer}, {Histories.steps} steps, no violation", flush=True)
    finally:
        for what, times in sorted(COUNTS.items()):
            print(f"{times:8} {what}")
        faults = fault_count()
        print(f"{COUNTS.total() - faults} operations, {faults} faults", flush=True)
    return 0


def _run(number: int, steps: int) -> None:
    """Some histories; the broken promise is told with the log of its host."""
    machines: list[Histories] = []
    bounds = settings(
        max_examples=AT_A_TIME, stateful_step_count=steps, deadline=None, database=None, print_blob=False,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip

    @seed(number)
    def machine() -> Histories:
        machines.append(Histories())
        return machines[-1]

    try:
        run_state_machine_as_test(machine, settings=bounds)
    except Exception:
        for machine in machines:
            if machine.violation is not None:
                print(f"{machine.log}\na promise was broken: {machine.violation}", file=sys.stderr)
                break
        print(f"seed {number}", file=sys.stderr)
        raise


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=float, default=600, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--steps", type=int, default=20, help="per history (default 20)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
