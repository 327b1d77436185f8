"""Histories of a host keep every promise; the same ones each time, `make chaos` tells ever new ones."""

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.support.histories import Histories

TestHistories = pytest.mark.timeout(600)(Histories.TestCase)
TestHistories.settings = settings(
    derandomize=True,
    max_examples=15,
    stateful_step_count=15,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)
