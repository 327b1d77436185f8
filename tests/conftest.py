"""Tests beyond tests/small run beside a private user systemd, which plain `pytest` enters by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SMALL = Path(__file__).parent / "small"


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run the same command once more inside the bed, unless it asks for small tests only.

    The outer /run is /run/outer there: a container engine's socket is found at
    /run/outer/docker.sock.
    """
    if os.environ.get("COREDINATOR_BED") == "private" or config.option.help or only_small(config):
        return None
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)
    bed = [sys.executable, str(ROOT / "packaging" / "user-systemd.py"), "--private"]
    return subprocess.call([*bed, sys.executable, "-m", "pytest", *config.invocation_params.args])


def only_small(config: pytest.Config) -> bool:
    paths = [Path(config.invocation_params.dir, str(argument).split("::")[0]).resolve() for argument in config.args]
    return bool(paths) and all(path.is_relative_to(SMALL) for path in paths)
