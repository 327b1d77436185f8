"""Units are read late: one at a time, once it is quiet, and at last in any case."""

import asyncio

import pytest

from coredinator.service import late_reads
from coredinator.service.late_reads import LateReads


class Reader:
    """What is read, and how many at a time."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.at_once = 0

    async def read(self, unit: str) -> None:
        self.at_once += 1
        assert self.at_once == 1
        await asyncio.sleep(0)
        self.at_once -= 1
        self.done.append(unit)

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.done) < count:
                await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_reads, "_QUIET", 0.05)
    monkeypatch.setattr(late_reads, "_AT_LAST", 0.3)


async def test_each_unit_is_read_once_in_its_turn() -> None:
    reader = Reader()
    reads = LateReads(reader.read)
    for unit in ("a", "b", "a", "c"):
        reads.ask(unit)
    assert reader.done == []
    await reader.wait_for(3)
    assert reader.done == ["a", "b", "c"]
    reads.ask("a")
    await reader.wait_for(4)


async def test_nothing_is_read_while_others_start_until_it_has_waited_long_enough() -> None:
    reader = Reader()
    reads = LateReads(reader.read)
    loop = asyncio.get_running_loop()
    reads.ask("a")
    asked = loop.time()
    async with asyncio.timeout(10):
        while not reader.done:
            reads.hold_off()
            await asyncio.sleep(0.005)
    assert loop.time() - asked >= 0.3


async def test_what_is_due_is_dropped_at_the_end() -> None:
    reader = Reader()
    reads = LateReads(reader.read)
    reads.ask("a")
    await reads.close()
    await asyncio.sleep(0.1)
    assert reader.done == []
