"""Managers forked from a server that has imported everything: a fifth of the time of a new interpreter."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
# The main module, or else each child would import it.
_SERVER.set_forkserver_preload(["__main__", "coredinator.app"])


class ForkedManager:
    """A manager process, with as much of subprocess.Popen as a Host needs."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self._process = _SERVER.Process(target=_run, args=(tuple(arguments), log, dict(os.environ)))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.kill(self.pid, number)

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("manager", timeout)
        return self._process.exitcode


def _run(arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
    os.environ.clear()  # the server's, which is that of the first manager
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    # Imported by the server, and by it only: ZeroMQ begins no thread before the fork.
    from coredinator.app import main  # noqa: PLC0415

    main(arguments)
