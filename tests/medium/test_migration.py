"""A database of an earlier version is taken over."""

import contextlib
import sqlite3

from tests.support.host import Host


def test_a_database_of_the_first_schema_is_brought_up_to_date(host: Host) -> None:
    host.start(host.config("backwash"))
    pids = host.pids("backwash")
    host.terminate()
    with contextlib.closing(sqlite3.connect(host.state_dir / "coredinator.db")) as database:
        for column in ("limits", "health", "previous_version", "frozen"):
            database.execute(f"ALTER TABLE services DROP COLUMN {column}")
        database.execute("PRAGMA user_version = 1")
        database.commit()
    host.launch()
    assert host.pids("backwash") == pids
    assert host.status("backwash")["state"] == "running"
    assert host.api.patch("/api/agents/backwash/limits", json={"memory_max": "1G"}).status_code == 200
