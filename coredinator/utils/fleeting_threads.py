"""Threads that live while there is work, so that a process which has nothing to do has none of them."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from coredinator.errors import FilesUnavailable

_LINGER = 2.0
_FILE_THREADS = 2
_PATIENCE = 10.0
_STAND_INS = 30
"""So many threads that a disk holds are replaced by others."""


class FleetingThreads(Executor):
    """An executor of up to `limit` threads, each of which ends after `linger` seconds without work.

    Work begins in the order in which it is given. In contrast to a ThreadPoolExecutor, whose threads stay for
    good, nobody waits for these at the end of the process: one that a disk holds ends with it.
    """

    def __init__(self, name: str, limit: int, *, linger: float = _LINGER) -> None:
        self._name = name
        self._limit = limit
        self._linger = linger
        self._work: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._stuck = 0

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn` in a thread. Raises RuntimeError if there is no thread and the system grants none."""
        outcome: Future[T] = Future()

        def work() -> None:
            if not outcome.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001  # it is for whoever waits for the outcome
                outcome.set_exception(error)
            else:
                outcome.set_result(result)

        with self._changed:
            self._work.append(work)
            if len(self._work) <= self._idle:
                self._changed.notify()
            elif self._may_begin():
                self._begin(work)
        return outcome

    def stand_in(self, outcome: Future[Any]) -> None:
        """Allow one thread more until the work with this outcome, which takes too long, is done."""

        def done(_: Future[Any]) -> None:
            with self._changed:
                self._stuck -= 1

        with self._changed:
            self._stuck += 1
            if len(self._work) > self._idle and self._may_begin():
                self._begin(self._work[-1])
        outcome.add_done_callback(done)

    def _may_begin(self) -> bool:
        return self._threads < self._limit + min(self._stuck, _STAND_INS)

    def _begin(self, work: Callable[[], None]) -> None:
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError:
            if not self._threads:
                self._work.remove(work)
                raise
        else:
            self._threads += 1

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()
            del work  # or it would hold its outcome until the next one comes

    def _next(self) -> Callable[[], None] | None:
        """The next work; None once there has been none for a while, and this thread is no longer counted."""
        with self._changed:
            self._idle += 1
            # Whoever adds work holds the lock as well: it finds this thread idle or no longer counted.
            found = self._changed.wait_for(lambda: self._work, self._linger)
            self._idle -= 1
            if found:
                return self._work.popleft()
            self._threads -= 1
            return None


_files = FleetingThreads("files", _FILE_THREADS)


async def in_file_thread[**P, T](function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that reads configs or looks for executables, which may lie on a network disk that hangs.

    Raises FilesUnavailable after 10 s.
    """
    work = _files.submit(function, *args, **kwargs)
    try:
        async with asyncio.timeout(_PATIENCE):
            return await asyncio.wrap_future(work)
    except TimeoutError:
        if not work.cancelled():  # it has begun
            _files.stand_in(work)
        raise FilesUnavailable(
            f"the disk of configs and executables did not answer within {_PATIENCE:g} s; see to it and try again"
        ) from None
