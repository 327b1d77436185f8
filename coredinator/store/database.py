"""Opening the database file: waiting for locks, and setting a damaged one aside."""

import logging
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from coredinator.errors import StoreError
from coredinator.logs import MessageId
from coredinator.store.schema import migrate

_log = logging.getLogger(__name__)

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def open_database(path: Path, *, lock_timeout: float) -> sqlite3.Connection:
    """Open or create the database and bring its schema up to date.

    One that another process holds locked is waited for, up to `lock_timeout` seconds. A damaged one
    is renamed, never deleted, and a new one begun. Raises StoreError.
    """
    try:
        try:
            return _open(path, lock_timeout)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            aside = _move_aside(path)
            _log.error(
                "the state database %s is damaged (%s); it is kept as %s, and the state is rebuilt from systemd",
                path, error, aside,
                extra={"message_id": MessageId.DATABASE_DAMAGED},
            )  # fmt: skip
            return _open(path, lock_timeout)
    except (sqlite3.Error, OSError) as error:
        raise explain(path, error) from error


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, as opposed to locked, full or forbidden."""
    return _code(error) in _DAMAGED


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another process holds the file."""
    return _code(error) in _LOCKED


def explain(path: Path, error: sqlite3.Error | OSError) -> StoreError:
    """The error as one that names the file and the cure."""
    if isinstance(error, sqlite3.Error) and is_locked(error):
        return StoreError(f"the state database {path} is locked by another process; end that process and try again")
    return StoreError(f"the state database {path} cannot be used: {error}; check the disk and the file's owner")


def _open(path: Path, lock_timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=lock_timeout, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        _check(connection)
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Raise what a damaged file raises if SQLite's own check finds the first thing wrong."""
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        error = sqlite3.DatabaseError(verdict)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _code(error: sqlite3.Error) -> int:
    # The low byte is the primary code, the rest says where it arose.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _move_aside(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + suffix))
    return aside
