"""The mirror: written by one thread in batches, so that no request ever waits for the disk to read.

The thread is there only while there is something to write.
"""

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from coredinator.errors import StoreError
from coredinator.logs import MessageId
from coredinator.store.database import explain
from coredinator.store.state_file import Changes, Row, StateFile, open_for_reading
from coredinator.utils.fleeting_threads import FleetingThreads

_log = logging.getLogger(__name__)

_LOCK_TIMEOUT = 10.0
_RETRY_DELAY = 1.0
_TRIED = "tried"
"""The meta value that is written to find out whether the disk still refuses."""
_TRANSITIONS_KEPT = 10_000
"""So many wait in memory for a disk that refuses them; older ones are dropped."""


@dataclass(slots=True)
class _Write:
    """One unit of work, written to stable storage if it is `durable`; with `done` somebody waits for it."""

    changes: Changes
    done: asyncio.Future[None] | None = None
    durable: bool = False


class Mirror:
    """The state database.

    `put` and `forget` are written soon, and again and again if the disk refuses; `commit`
    returns when its rows are on stable storage, or raises StoreError and has written nothing.
    """

    def __init__(self, path: Path, file: StateFile) -> None:
        self._path = path
        self._file = file
        self._writes: list[_Write] = []
        self._wake = threading.Condition()
        self._running = False
        self._closing = False
        self._problem: str | None = None
        # No more than one, since the file is for one at a time; readers have connections of their own.
        self._writer = FleetingThreads("mirror", 1)
        self._reader = FleetingThreads("history", 1)

    @classmethod
    def open(cls, path: Path, *, lock_timeout: float = _LOCK_TIMEOUT) -> Self:
        """Open or create the database at `path`. Raises StoreError."""
        return cls(path, StateFile(path, lock_timeout=lock_timeout))

    @property
    def problem(self) -> str | None:
        """Why the last write failed, None if it did not."""
        return self._problem

    def load(self) -> tuple[list[Row], dict[str, str]]:
        """All rows of services and the meta values. To be called before anything is written."""
        return list(self._file.services.values()), dict(self._file.meta)

    def put(self, *services: Row, transitions: Iterable[Row] = (), durable: bool = False) -> None:
        """Write rows of `services` soon, `durable` ones to stable storage, and add rows to `transitions`."""
        rows: dict[str, Row | None] = {service["unit"]: service for service in services}
        self._submit(_Write(Changes(rows, [*transitions]), durable=durable))

    def forget(self, unit: str) -> None:
        """Delete a row of `services` soon."""
        self._submit(_Write(Changes({unit: None})))

    def check(self) -> None:
        """Have a new file begun soon if this one is no longer there or ours, and failed writes tried again."""
        # No thread is woken for a file that is as it was left, and the loop is not held either: what is asked
        # of a file that is open, the kernel knows without its disk.
        if self._problem is not None or not self._file.is_untouched():
            self._submit(_Write(Changes()))

    async def commit(
        self, services: Iterable[Row], meta: Mapping[str, str] | None = None, *, forgotten: Iterable[str] = ()
    ) -> None:
        """Write rows and meta values, delete those of units, in one transaction; return when it is durable."""
        done = asyncio.get_running_loop().create_future()
        rows: dict[str, Row | None] = {row["unit"]: row for row in services}
        rows.update(dict.fromkeys(forgotten))
        self._submit(_Write(Changes(rows, meta=dict(meta or {})), done, durable=True))
        await done

    async def written(self) -> None:
        """Return when all that was put is in the file and outlives this process.

        Raises StoreError if the disk refuses; what was put is kept, and tried again.
        """
        done = asyncio.get_running_loop().create_future()
        self._submit(_Write(Changes(), done))
        await done

    async def history(self, unit: str, limit: int) -> list[Row]:
        """The last rows of `transitions` of a unit, newest first."""
        return await asyncio.wrap_future(self._reader.submit(self._history, unit, limit))

    async def close(self) -> None:
        """Write what is left and close the file."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        try:
            finished = self._writer.submit(self._finish)
        except RuntimeError:  # the system grants no thread, and none runs
            self._finish()
        else:
            await asyncio.wrap_future(finished)

    def _history(self, unit: str, limit: int) -> list[Row]:
        query = "SELECT * FROM transitions WHERE unit = ? ORDER BY id DESC LIMIT ?"
        try:
            with contextlib.closing(open_for_reading(self._path, _LOCK_TIMEOUT)) as reader:
                return [dict(row) for row in reader.execute(query, (unit, limit))]
        except sqlite3.Error as error:
            raise explain(self._path, error) from error

    def _submit(self, write: _Write) -> None:
        with self._wake:
            self._writes.append(write)
            if self._running:
                if write.done is not None:
                    self._wake.notify()  # it does not wait for the next try
                return
            self._running = True
        try:
            self._writer.submit(self._run)
        except RuntimeError as error:
            self._failed(
                self._next(),
                StoreError(
                    f"the state database {self._path} cannot be written: {error}; end processes or raise TasksMax="
                ),
            )
            self._running = False

    def _run(self) -> None:
        """Write until nothing is left."""
        while batch := self._next():
            if not self._write(batch) and not self._closing:
                with self._wake:
                    self._wake.wait_for(lambda: self._closing or self._is_awaited(), timeout=_RETRY_DELAY)

    def _next(self) -> list[_Write]:
        """All that is to be written now; if there is nothing, whoever brings something has it written."""
        with self._wake:
            batch, self._writes = self._writes, []
            self._running = bool(batch)
        return batch

    def _finish(self) -> None:
        self._run()
        self._file.close()

    def _is_awaited(self) -> bool:
        return any(write.done for write in self._writes)

    def _write(self, batch: list[_Write]) -> bool:
        """Write the batch in one transaction; keep what nobody waits for if that fails."""
        waiters = [write.done for write in batch if write.done is not None]
        changes = _sum(batch)
        if self._problem is not None:
            changes.meta.setdefault(_TRIED, datetime.now(UTC).isoformat())
        try:
            self._file.write(changes, durable=any(write.durable for write in batch))
        except (sqlite3.Error, StoreError) as error:
            self._failed(batch, error if isinstance(error, StoreError) else explain(self._path, error))
            return False
        except Exception as error:  # noqa: BLE001  # it is logged
            # A mistake in the rows, not in the file: to write them again would fail again, and a
            # thread that ended would hold every start for good.
            _log.exception("rows that cannot be written were dropped")
            _settle(waiters, StoreError(f"the state database {self._path} cannot hold the rows: {error}"))
            return True
        if self._problem is not None:
            _log.info(
                "the state database %s can be written again", self._path,
                extra={"message_id": MessageId.DATABASE_WRITABLE},
            )  # fmt: skip
            self._problem = None
        _settle(waiters, None)
        return True

    def _failed(self, batch: list[_Write], problem: StoreError) -> None:
        """Tell those who wait; have the rest written with the next batch, before what has come since."""
        if self._problem is None:
            _log.error("%s", problem, extra={"message_id": MessageId.DATABASE_UNWRITABLE})
        self._problem = str(problem)
        _settle([write.done for write in batch if write.done is not None], problem)
        if self._closing:
            return
        unawaited = [write for write in batch if write.done is None]
        kept = _sum(unawaited)
        del kept.transitions[:-_TRANSITIONS_KEPT]
        with self._wake:
            self._writes.insert(0, _Write(kept, durable=any(write.durable for write in unawaited)))


def _sum(batch: Iterable[_Write]) -> Changes:
    changes = Changes()
    for write in batch:
        changes.add(write.changes)
    return changes


def _settle(waiters: Sequence[asyncio.Future[None]], error: StoreError | None) -> None:
    """Tell all who wait, in one turn of their loop."""

    def settle() -> None:
        for done in waiters:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

    if not waiters:
        return
    try:
        waiters[0].get_loop().call_soon_threadsafe(settle)
    except RuntimeError:
        _log.debug("the event loop has ended; nobody waits for the write any more")
