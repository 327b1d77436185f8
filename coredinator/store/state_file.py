"""The database file, kept true to what was written to it, whatever others do to the file."""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coredinator.logs import MessageId
from coredinator.store.database import explain, is_damage, is_locked, open_database
from coredinator.store.schema import SCHEMA_VERSION

type Row = Mapping[str, Any]
"""Values by column name."""

_log = logging.getLogger(__name__)

_TRANSITIONS_KEPT = 100_000
_PRUNE_EVERY = 1_000


@dataclass(slots=True)
class Changes:
    """Rows to write by their unit, one of None deletes; rows to add; values to set."""

    services: dict[str, Row | None] = field(default_factory=dict[str, Row | None])
    transitions: list[Row] = field(default_factory=list[Row])
    meta: dict[str, str] = field(default_factory=dict[str, str])

    def __bool__(self) -> bool:
        return bool(self.services or self.transitions or self.meta)

    def add(self, later: "Changes") -> None:
        """Take over changes that come after these."""
        self.services.update(later.services)
        self.transitions += later.transitions
        self.meta.update(later.meta)


class StateFile:
    """The file with its services and meta values in memory; for one thread at a time.

    Should the file be deleted, cut, written over or replaced while it is open, the next write or
    check begins a new one out of memory; a damaged one is kept aside. Only history can be lost so.
    """

    def __init__(self, path: Path, *, lock_timeout: float) -> None:
        """Open or create the file. Raises StoreError."""
        self._path = path
        self._lock_timeout = lock_timeout
        self._noted = 0
        self._durable = False  # as a connection begins
        self._connection: sqlite3.Connection | None = open_database(path, lock_timeout=lock_timeout)
        self.services, self.meta = _content(self._connection)
        self._seen = _fingerprint(path)

    def write(self, changes: Changes, *, durable: bool) -> None:
        """Write everything in one transaction, or nothing; `durable` waits for the disk.

        Without changes the file is only checked. Raises sqlite3.Error, StoreError.
        """
        connection = self._connection if self._is_ours() else None
        connection = connection or self._begin_anew("it was changed or removed")
        if not changes:
            return
        try:
            self._transact(connection, changes, durable=durable)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self._transact(self._begin_anew(str(error)), changes, durable=durable)
        _apply(changes.services, self.services)
        self.meta.update(changes.meta)
        self._seen = _fingerprint(self._path)

    def is_untouched(self) -> bool:
        """Whether the file is as the last write left it; may be asked from any thread."""
        return _fingerprint(self._path) == self._seen

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            # What a damaged file has to say is of no use any more.
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _is_ours(self) -> bool:
        """Whether the file is as we left it, or changed by others to no harm (a reader's checkpoint)."""
        now = _fingerprint(self._path)
        if now == self._seen:
            return True
        if [mark and mark.inode for mark in now] != [mark and mark.inode for mark in self._seen]:
            return False
        try:
            with contextlib.closing(open_for_reading(self._path, self._lock_timeout)) as reader:
                sound = reader.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
                version = reader.execute("PRAGMA user_version").fetchone()[0]
                if not sound or version != SCHEMA_VERSION or _content(reader) != (self.services, self.meta):
                    return False
        except sqlite3.Error as error:
            if is_locked(error):
                raise
            return False
        self._seen = now
        return True

    def _begin_anew(self, why: str) -> sqlite3.Connection:
        """Open whatever lies at the path, and make it hold what memory holds."""
        if self._connection is not None:
            _log.error(
                "the state database %s is not as it was left: %s; it is written anew", self._path, why,
                extra={"message_id": MessageId.DATABASE_DAMAGED},
            )  # fmt: skip
        self.close()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain(self._path, error) from error
        connection = open_database(self._path, lock_timeout=self._lock_timeout)
        self._durable = False
        try:
            everything = Changes(dict(self.services), [], self.meta)
            self._transact(connection, everything, durable=True, instead=True)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._seen = _fingerprint(self._path)
        return connection

    def _transact(
        self, connection: sqlite3.Connection, changes: Changes, *, durable: bool, instead: bool = False
    ) -> None:
        if durable is not self._durable:
            # In WAL mode NORMAL can lose the last commits with the power, FULL cannot.
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        connection.execute("BEGIN IMMEDIATE")
        try:
            if instead:
                connection.execute("DELETE FROM services")
                connection.execute("DELETE FROM meta")
            deleted = [(unit,) for unit, row in changes.services.items() if row is None]
            _insert(connection, "services", [row for row in changes.services.values() if row is not None])
            # Each call gives up Python's lock and waits for it, for nothing where there is nothing to do.
            if deleted:
                connection.executemany("DELETE FROM services WHERE unit = ?", deleted)
            _insert(connection, "transitions", changes.transitions)
            if changes.meta:
                connection.executemany("REPLACE INTO meta VALUES (?, ?)", changes.meta.items())
            self._prune(connection, len(changes.transitions))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _prune(self, connection: sqlite3.Connection, added: int) -> None:
        self._noted += added
        if self._noted >= _PRUNE_EVERY:
            self._noted = 0
            connection.execute(
                "DELETE FROM transitions WHERE id <= (SELECT max(id) FROM transitions) - ?", (_TRANSITIONS_KEPT,)
            )


def open_for_reading(path: Path, lock_timeout: float) -> sqlite3.Connection:
    """A connection that creates and changes nothing."""
    reader = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=lock_timeout)
    reader.row_factory = sqlite3.Row
    return reader


@dataclass(frozen=True, slots=True)
class _Mark:
    inode: int
    size: int
    mtime: int


def _fingerprint(path: Path) -> list[_Mark | None]:
    """What tells the file and its write-ahead log from others, without reading them."""
    return [_mark(path), _mark(path.with_name(path.name + "-wal"))]


def _mark(path: Path) -> _Mark | None:
    try:
        status = os.stat(path)  # noqa: PTH116  # half the time of Path.stat, before every write
    except OSError:
        return None
    return _Mark(status.st_ino, status.st_size, status.st_mtime_ns)


def _content(connection: sqlite3.Connection) -> tuple[dict[str, Row], dict[str, str]]:
    rows = connection.execute("SELECT * FROM services ORDER BY unit").fetchall()
    meta = connection.execute("SELECT key, value FROM meta").fetchall()
    return {row["unit"]: dict(row) for row in rows}, {row["key"]: row["value"] for row in meta}


def _apply(changes: Mapping[str, Row | None], rows: dict[str, Row]) -> None:
    for unit, row in changes.items():
        if row is None:
            rows.pop(unit, None)
        else:
            rows[unit] = row


def _insert(connection: sqlite3.Connection, table: str, rows: list[Row]) -> None:
    if rows:
        columns = ", ".join(rows[0])
        values = ", ".join(f":{name}" for name in rows[0])
        statement = f"REPLACE INTO {table} ({columns}) VALUES ({values})"  # noqa: S608  # names from our own code
        connection.executemany(statement, rows)
