"""The schema of the mirror and its migrations, counted by `PRAGMA user_version`."""

import sqlite3

from coredinator.errors import StoreError

_MIGRATIONS = (
    """
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE services (
        unit TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        instance TEXT NOT NULL,
        agent_id TEXT NOT NULL,
        config_path TEXT,
        intent TEXT NOT NULL CHECK (intent IN ('running', 'stopped')),
        pending TEXT CHECK (pending IN ('start', 'stop')),
        executable TEXT,
        version TEXT,
        pinned_version TEXT,
        coreio_id TEXT,
        error TEXT,
        state TEXT NOT NULL,
        main_pid INTEGER,
        since TEXT,
        restarts INTEGER NOT NULL,
        result TEXT,
        exit_status INTEGER,
        control_group TEXT NOT NULL,
        drop_ins TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE transitions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        unit TEXT NOT NULL,
        previous_state TEXT NOT NULL,
        state TEXT NOT NULL,
        cause TEXT NOT NULL,
        main_pid INTEGER,
        result TEXT,
        exit_status INTEGER,
        restarts INTEGER NOT NULL
    ) STRICT;

    CREATE INDEX transitions_of_unit ON transitions (unit, id);
    """,
    """
    ALTER TABLE services ADD COLUMN limits TEXT;
    ALTER TABLE services ADD COLUMN health TEXT;
    ALTER TABLE services ADD COLUMN previous_version TEXT;
    ALTER TABLE services ADD COLUMN frozen INTEGER NOT NULL DEFAULT 0;
    """,
)

SCHEMA_VERSION = len(_MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to the newest schema, each step in one transaction.

    Raises StoreError for a database that a newer Coredinator wrote.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the state database has schema {version}, this Coredinator knows {SCHEMA_VERSION}; "
            "install the newer version again, or move the database aside"
        )
    for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
