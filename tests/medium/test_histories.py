"""Histories of a host keep every promise; the same ones each time, `make chaos` tells ever new ones."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.support.histories import Deed, Histories
from tests.support.model import coreio, corerl
from tests.support.world import World

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

AGENT = "backwash"
CORERL, COREIO = corerl(AGENT), coreio("backwash-coreio")
EXECUTABLES: list[Deed] = [
    ("crash", CORERL, signal.SIGKILL),
    ("install", "corerl", "1.1.0", "crashing"),
    ("restart", AGENT),
    ("uninstall", "corerl", "1.1.0"),
    ("restart", AGENT),
    ("install", "corerl", "1.0.0", "stubborn"),
    ("restart", AGENT),
    ("stop", AGENT),
    ("start", AGENT, None),
    ("uninstall", "corerl", "1.0.0"),
    ("crash", COREIO, signal.SIGSEGV),
    ("crash", CORERL, signal.SIGKILL),
    ("start", AGENT, None),
    ("install", "corerl", "1.0.0", "good"),
    ("remove_config", AGENT),
    ("restart", AGENT),
    ("write_config", AGENT),
    ("start", AGENT, "shared"),
]
OPERATORS: list[Deed] = [
    *(("operator", verb, unit) for unit in (CORERL, COREIO) for verb in ("restart", "stop", "start")),
    ("systemd", "daemon-reload"),
    ("systemd", "daemon-reexec"),
    ("kill_event_bus",),
    ("cut_bus",),
    ("operator", "stop", CORERL),
    ("stop_coreio", "backwash-coreio"),
    ("delete", AGENT),
    ("start_coreio", AGENT, "backwash-coreio"),
    ("start", AGENT, None),
]
DISKS: list[Deed] = [
    ("fill_disk",),
    ("crash", CORERL, signal.SIGKILL),
    ("operator", "stop", CORERL),
    ("damage_database", "cut"),
    ("free_disk",),
    ("start", AGENT, None),
    *(("damage_database", way) for way in ("delete", "delete only the file", "halve", "overwrite")),
    ("stop", AGENT),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("deeds", [EXECUTABLES, OPERATORS, DISKS], ids=["executables", "operators", "disks"])
def test_whatever_can_happen_to_a_manager_that_is_up_happens_once(tmp_path: Path, deeds: list[Deed]) -> None:
    with World.running(tmp_path) as world:
        for name, *arguments in [("write_config", AGENT), ("start", AGENT, None), *deeds]:
            world.do(getattr(world, str(name))(*arguments))
            world.settle()
            world.host.wait_idle()
