"""Where the benchmark lives: beside a private user systemd, watched from outside; and what it needs there."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from socket import create_server

from benchmarks.neighbours import SOCKET, serve

ROOT = Path(__file__).parent.parent

_PAUSE = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"


def inside() -> bool:
    """Whether a private user systemd runs beside this process, and a watch outside."""
    return os.environ.get("COREDINATOR_BED") == "private" and SOCKET in os.environ


def enter(arguments: Sequence[str]) -> int:
    """Run the benchmark with these arguments inside, and watch its neighbours from here; its exit code."""
    bed = [sys.executable, str(ROOT / "packaging" / "user-systemd.py"), "--private"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "neighbours")
        with serve(path):
            return subprocess.call(  # noqa: S603  # our own command
                [*bed, sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, env=os.environ | {SOCKET: str(path)}
            )


def clean_up() -> None:
    """Stop all units of Coredinator and forget how they ended."""
    for verb in ("stop", "reset-failed"):
        command = ["systemctl", "--user", verb, "coredinator-*"]
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603  # our own command


def compile_pause(path: Path) -> None:
    """Make a program that waits until it is killed; statically linked it starts in no time."""
    command = ["cc", "-static", "-O2", "-x", "c", "-", "-o", str(path)]  # found on PATH, as a shell does
    subprocess.run(command, input=_PAUSE.encode(), check=True)  # noqa: S603  # our own command


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses now, all different."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]
