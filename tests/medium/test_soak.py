"""A short soak; `make soak` runs a long one."""

from pathlib import Path

import pytest

from tests.support.soak import soak


@pytest.mark.timeout(240)
def test_a_few_agents_under_faults_leave_nothing_behind_in_the_manager(tmp_path: Path) -> None:
    report = soak(tmp_path, duration=20, agents=10, seed=1)
    assert report.rounds > 3
    assert report.lag.seconds
    assert report.before.references == 2 * report.agents
    assert report.before.bus_matches > 0
    # So short, memory still grows into its working size.
    assert [leak for leak in report.leaks if not leak.startswith("rss")] == []
