"""The mirror on a real SQLite file."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coredinator.errors import StoreError
from coredinator.service.identity import identify
from coredinator.service.record import Health, Pending, ServiceRecord
from coredinator.service.rows import (
    Transition,
    record_from_row,
    record_to_row,
    transition_from_row,
    transition_to_row,
)
from coredinator.service.state import Intent, Observation, State
from coredinator.services import KindName, Limits
from coredinator.services.limits import INFINITY
from coredinator.store import Mirror
from coredinator.store import mirror as mirror_module
from coredinator.store.state_file import Changes, StateFile
from coredinator.utils.fleeting_threads import in_file_thread
from tests.support.restless import restless
from tests.support.scene import damage

FULL = ServiceRecord(
    identify(KindName.CORERL, "back wash"),
    "back wash",
    "/etc/x/back wash.yaml",
    Intent.RUNNING,
    Pending.START,
    executable="/opt/linux-corerl-v1.0.0",
    version="1.0.0",
    pinned_version="1.0.0",
    previous_version="0.9.0",
    coreio_id="shared",
    error="an error",
    limits=Limits(memory_max=INFINITY, nice=-5),
    health=Health(ok=False, detail="no answer"),
    observed=Observation(
        State.RUNNING, 7, datetime(2026, 11, 24, 9, 0, 0, 123456, UTC), 3, "success", 9, "/a/b", ("/etc/x.conf",),
        frozen=True,
    ),
)  # fmt: skip
BARE = ServiceRecord(identify(KindName.COREIO, "x"), "x", None, Intent.STOPPED)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "coredinator.db"


@pytest.fixture
async def mirror(path: Path) -> AsyncIterator[Mirror]:
    opened = Mirror.open(path, lock_timeout=0.2)
    yield opened
    await opened.close()


def stored(path: Path) -> list[ServiceRecord]:
    with sqlite3.connect(path) as reader:
        reader.row_factory = sqlite3.Row
        return [record_from_row(dict(row)) for row in reader.execute("SELECT * FROM services ORDER BY unit")]


async def test_records_come_back_as_they_were(mirror: Mirror, path: Path) -> None:
    await mirror.commit([record_to_row(FULL), record_to_row(BARE)], {"systemd": "boot"})
    assert stored(path) == [FULL, BARE]
    await mirror.close()
    again = Mirror.open(path)
    rows, meta = again.load()
    assert [record_from_row(row) for row in rows] == [FULL, BARE]
    assert meta == {"systemd": "boot"}
    await again.close()


async def test_the_last_of_many_writes_stands(mirror: Mirror, path: Path) -> None:
    mirror.put(record_to_row(FULL))
    mirror.forget(FULL.unit)
    mirror.put(record_to_row(BARE))
    await mirror.commit([])
    assert stored(path) == [BARE]


async def test_history_is_newest_first_and_limited(mirror: Mirror) -> None:
    lines = [
        Transition(datetime.now(UTC), FULL.unit, "running", "failed", f"cause {number}", 1, "signal", 9, number)
        for number in range(5)
    ]
    for line in lines:
        mirror.put(transitions=[transition_to_row(line)])
    await mirror.commit([])
    history = [transition_from_row(row) for row in await mirror.history(FULL.unit, 3)]
    assert history == lines[:1:-1]
    assert await mirror.history("other.service", 3) == []


async def test_a_commit_that_cannot_be_written_says_so_and_is_dropped(mirror: Mirror, path: Path) -> None:
    await mirror.commit([])
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        await mirror.commit([record_to_row(FULL)])
    assert mirror.problem is not None
    mirror.put(record_to_row(BARE))
    holder.close()
    async with asyncio.timeout(10):
        while mirror.problem is not None or not stored(path):
            await asyncio.sleep(0.02)
    assert stored(path) == [BARE]


async def test_who_waits_for_what_was_put_hears_that_the_disk_refuses_and_it_is_tried_again(
    mirror: Mirror, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[bool] = []
    write = StateFile.write

    def noted(file: StateFile, changes: Changes, *, durable: bool) -> None:
        if FULL.unit in changes.services:
            syncs.append(durable)
        write(file, changes, durable=durable)

    await mirror.commit([])
    monkeypatch.setattr(StateFile, "write", noted)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    mirror.put(record_to_row(FULL), durable=True)
    with pytest.raises(StoreError, match="locked"):
        await mirror.written()
    holder.close()
    mirror.put(record_to_row(BARE))
    await mirror.written()
    assert stored(path) == [FULL, BARE]
    assert set(syncs) == {True}


async def test_what_was_put_is_on_disk_after_close(path: Path) -> None:
    mirror = Mirror.open(path)
    mirror.put(record_to_row(FULL))
    await mirror.close()
    assert stored(path) == [FULL]


@pytest.mark.parametrize("way", ["delete", "delete only the file", "cut", "halve", "overwrite"])
async def test_a_file_that_is_damaged_while_it_is_open_is_begun_anew(path: Path, way: str) -> None:
    mirror = Mirror.open(path)
    await mirror.commit([record_to_row(FULL), record_to_row(BARE)], {"systemd": "boot"})
    await mirror.close()  # so that nothing is left in the write-ahead log
    mirror = Mirror.open(path)
    mirror.put(
        transitions=[
            transition_to_row(Transition(datetime.now(UTC), FULL.unit, "running", "failed", "x", 1, None, 9, 0))
        ]
    )
    await mirror.commit([])
    damage(path, way)
    mirror.check()
    await mirror.commit([])
    assert stored(path) == [FULL, BARE]
    assert mirror.problem is None
    await mirror.close()
    again = Mirror.open(path)
    assert again.load()[1] == {"systemd": "boot"}
    await again.close()


async def test_a_row_changed_by_hand_is_put_right(mirror: Mirror, path: Path) -> None:
    await mirror.commit([record_to_row(FULL)])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as hand:
        hand.execute("UPDATE services SET intent = 'stopped'")
    await mirror.commit([])
    assert stored(path) == [FULL]


async def test_writes_that_wait_for_the_disk_stay_in_order(mirror: Mirror, path: Path) -> None:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    mirror.put(record_to_row(FULL))
    async with asyncio.timeout(10):
        while mirror.problem is None:
            await asyncio.sleep(0.02)
    mirror.put(record_to_row(BARE))
    mirror.forget(FULL.unit)
    holder.close()
    await mirror.commit([])
    assert stored(path) == [BARE]


async def test_rows_that_cannot_be_written_hold_up_no_others(mirror: Mirror, path: Path) -> None:
    with pytest.raises(StoreError, match="cannot hold"):
        await mirror.commit([record_to_row(replace(FULL, version="\udcff"))])
    await mirror.commit([record_to_row(BARE)])
    assert stored(path) == [BARE]


async def test_no_thread_is_there_once_all_is_written_and_one_comes_for_what_is_next(
    mirror: Mirror, path: Path
) -> None:
    for record in (FULL, BARE):
        await mirror.commit([record_to_row(record)])
        await mirror.history(record.unit, 1)
        await no_threads()
    assert stored(path) == [FULL, BARE]


async def test_a_look_at_a_file_that_is_as_it_was_left_needs_no_thread(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mirror.commit([record_to_row(FULL)])
    await no_threads()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    mirror.check()
    assert mirror.problem is None


async def test_without_a_thread_a_commit_is_refused_and_the_rest_is_written_later(
    mirror: Mirror, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        mirror.put(record_to_row(BARE))
        with pytest.raises(StoreError, match="can't start new thread"):
            await mirror.commit([record_to_row(FULL)])
    assert mirror.problem is not None
    mirror.check()
    await mirror.commit([])
    assert mirror.problem is None
    assert stored(path) == [BARE]


async def test_what_was_put_is_on_disk_after_close_even_without_a_thread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = Mirror.open(path)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    mirror.put(record_to_row(FULL))
    await mirror.close()
    assert stored(path) == [FULL]


async def test_a_mirror_that_was_never_written_to_closes(path: Path) -> None:
    await Mirror.open(path).close()
    assert stored(path) == []


async def test_what_comes_as_the_writer_finds_nothing_more_to_write_is_written(path: Path) -> None:
    with restless(mirror_module):
        mirror = Mirror.open(path)
        for number in range(500):
            await asyncio.sleep(number % 100 * 1e-5)
            async with asyncio.timeout(10):
                await mirror.commit([])
        await mirror.close()


async def test_a_commit_goes_on_while_files_hang(mirror: Mirror, path: Path) -> None:
    gate = threading.Event()
    hung = [asyncio.create_task(in_file_thread(gate.wait)) for _ in range(8)]
    try:
        async with asyncio.timeout(10):
            await mirror.commit([record_to_row(FULL)])
            assert await mirror.history(FULL.unit, 1) == []
        assert not any(task.done() for task in hung)
    finally:
        gate.set()
        await asyncio.gather(*hung)
    assert stored(path) == [FULL]


def test_a_locked_database_is_an_error_that_touches_nothing(path: Path) -> None:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked"):
        Mirror.open(path, lock_timeout=0.1)
    holder.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [b"no database at all" * 99, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_a_damaged_file_is_kept_aside(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    mirror = Mirror.open(path)
    assert mirror.load() == ([], {})
    await mirror.close()
    (aside,) = path.parent.glob("*.damaged-*")
    assert aside.read_bytes() == content


def test_a_folder_in_its_place_is_an_error(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match=str(path)):
        Mirror.open(path)


async def no_threads() -> None:
    """Wait until neither writer nor reader has a thread."""
    async with asyncio.timeout(30):
        while {"mirror", "history"} & {thread.name for thread in threading.enumerate()}:
            await asyncio.sleep(0.02)


def refuse(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
