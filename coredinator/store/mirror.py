"""The mirror: written by one thread in batches, so that no request ever waits for the disk to read."""

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from coredinator.errors import StoreError
from coredinator.store.database import explain, open_database

type Row = Mapping[str, Any]
"""Values by column name."""

_log = logging.getLogger(__name__)

_LOCK_TIMEOUT = 10.0
_RETRY_DELAY = 1.0
_TRANSITIONS_KEPT = 100_000
_PRUNE_EVERY = 1_000


@dataclass(slots=True)
class _Write:
    """One unit of work; a row of None deletes. With `done` somebody waits for it to be on disk."""

    services: dict[str, Row | None] = field(default_factory=dict[str, Row | None])
    transitions: list[Row] = field(default_factory=list[Row])
    meta: dict[str, str] = field(default_factory=dict[str, str])
    done: asyncio.Future[None] | None = None


class Mirror:
    """The state database.

    `put`, `forget` and `note` are written soon, and again and again if the disk refuses; `commit`
    returns when its rows are on stable storage, or raises StoreError and has written nothing.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._writes: list[_Write] = []
        self._wake = threading.Condition()
        self._closing = False
        self._problem: str | None = None
        self._noted = 0
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, path: Path, *, lock_timeout: float = _LOCK_TIMEOUT) -> Self:
        """Open or create the database at `path`. Raises StoreError."""
        return cls(path, open_database(path, lock_timeout=lock_timeout))

    @property
    def problem(self) -> str | None:
        """Why the last write failed, None if it did not."""
        return self._problem

    def load(self) -> tuple[list[Row], dict[str, str]]:
        """All rows of services and the meta values. To be called before anything is written."""
        rows = self._connection.execute("SELECT * FROM services ORDER BY unit").fetchall()
        meta = self._connection.execute("SELECT key, value FROM meta").fetchall()
        return [dict(row) for row in rows], {row["key"]: row["value"] for row in meta}

    def put(self, service: Row) -> None:
        """Write a row of `services` soon."""
        self._submit(_Write(services={service["unit"]: service}))

    def forget(self, unit: str) -> None:
        """Delete a row of `services` soon."""
        self._submit(_Write(services={unit: None}))

    def note(self, transition: Row) -> None:
        """Add a row to `transitions` soon."""
        self._submit(_Write(transitions=[transition]))

    async def commit(self, services: Iterable[Row], meta: Mapping[str, str] | None = None) -> None:
        """Write rows and meta values in one transaction and return when they are durable."""
        done = asyncio.get_running_loop().create_future()
        rows: dict[str, Row | None] = {row["unit"]: row for row in services}
        self._submit(_Write(services=rows, meta=dict(meta or {}), done=done))
        await done

    async def history(self, unit: str, limit: int) -> list[Row]:
        """The last rows of `transitions` of a unit, newest first."""
        return await asyncio.to_thread(self._history, unit, limit)

    async def close(self) -> None:
        """Write what is left and close the file."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _history(self, unit: str, limit: int) -> list[Row]:
        query = "SELECT * FROM transitions WHERE unit = ? ORDER BY id DESC LIMIT ?"
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT)) as reader:
                reader.row_factory = sqlite3.Row
                return [dict(row) for row in reader.execute(query, (unit, limit))]
        except sqlite3.Error as error:
            raise explain(self._path, error) from error

    def _submit(self, write: _Write) -> None:
        with self._wake:
            self._writes.append(write)
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._writes or self._closing)
                batch, self._writes = self._writes, []
            if batch and not self._write(batch) and not self._closing:
                with self._wake:
                    self._wake.wait_for(lambda: self._closing, timeout=_RETRY_DELAY)
            if self._closing and not self._writes:
                self._connection.close()
                return

    def _write(self, batch: list[_Write]) -> bool:
        """Write the batch in one transaction; keep what nobody waits for if that fails."""
        waiters = [write.done for write in batch if write.done is not None]
        try:
            self._transact(batch, durable=bool(waiters))
        except sqlite3.Error as error:
            problem = explain(self._path, error)
            if self._problem is None:
                _log.error("%s", problem)
            self._problem = str(problem)
            for done in waiters:
                _settle(done, problem)
            if not self._closing:
                with self._wake:
                    self._writes[:0] = [write for write in batch if write.done is None]
            return False
        if self._problem is not None:
            _log.info("the state database %s can be written again", self._path)
            self._problem = None
        for done in waiters:
            _settle(done, None)
        return True

    def _transact(self, batch: list[_Write], *, durable: bool) -> None:
        services: dict[str, Row | None] = {}
        transitions: list[Row] = []
        meta: dict[str, str] = {}
        for write in batch:
            services.update(write.services)
            transitions += write.transitions
            meta.update(write.meta)
        # In WAL mode NORMAL can lose the last commits with the power, FULL cannot.
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            rows = [row for row in services.values() if row is not None]
            deleted = [(unit,) for unit, row in services.items() if row is None]
            self._insert("services", rows)
            self._connection.executemany("DELETE FROM services WHERE unit = ?", deleted)
            self._insert("transitions", transitions)
            self._connection.executemany("REPLACE INTO meta VALUES (?, ?)", meta.items())
            self._prune(len(transitions))
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _insert(self, table: str, rows: list[Row]) -> None:
        if rows:
            columns = ", ".join(rows[0])
            values = ", ".join(f":{name}" for name in rows[0])
            statement = f"REPLACE INTO {table} ({columns}) VALUES ({values})"  # noqa: S608  # names from our own code
            self._connection.executemany(statement, rows)

    def _prune(self, added: int) -> None:
        self._noted += added
        if self._noted >= _PRUNE_EVERY:
            self._noted = 0
            self._connection.execute(
                "DELETE FROM transitions WHERE id <= (SELECT max(id) FROM transitions) - ?", (_TRANSITIONS_KEPT,)
            )


def _settle(done: asyncio.Future[None], error: StoreError | None) -> None:
    def settle() -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    try:
        done.get_loop().call_soon_threadsafe(settle)
    except RuntimeError:
        _log.debug("the event loop has ended; nobody waits for the write any more")
