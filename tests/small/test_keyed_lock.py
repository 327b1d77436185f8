"""One at a time for each key, and a word from everybody who leaves."""

import asyncio

import pytest

from coredinator.utils.keyed_lock import KeyedLock


async def test_holds_of_one_key_come_one_after_the_other_and_others_do_not_wait() -> None:
    locks = KeyedLock(lambda _: None)
    done: list[str] = []

    async def hold(key: str, name: str) -> None:
        async with locks.hold(key):
            done.append(f"{name} begins")
            await asyncio.sleep(0)
            done.append(f"{name} ends")

    async with asyncio.TaskGroup() as group:
        for key, name in (("pump", "first"), ("pump", "second"), ("valve", "other")):
            group.create_task(hold(key, name))
    assert [line for line in done if "other" not in line] == [
        "first begins",
        "first ends",
        "second begins",
        "second ends",
    ]
    assert done.index("other begins") < done.index("first ends")


async def test_it_is_told_when_somebody_leaves_and_whether_the_lock_can_be_had() -> None:
    told: list[tuple[str, bool]] = []
    locks = KeyedLock(lambda key: told.append((key, locks.is_held(key))))
    async with locks.hold("pump"):
        waiter = asyncio.create_task(_hold(locks))
        await asyncio.sleep(0)
        assert told == []
    assert told == [("pump", True)], "somebody waits for it"
    await waiter
    assert told == [("pump", True), ("pump", False)]


async def test_a_hold_that_fails_or_is_called_off_leaves_nothing_behind() -> None:
    told: list[bool] = []
    locks = KeyedLock(lambda key: told.append(locks.is_held(key)))
    waiter: asyncio.Task[None] | None = None

    async def fail() -> None:
        nonlocal waiter
        async with locks.hold("pump"):
            waiter = asyncio.create_task(_hold(locks))
            await asyncio.sleep(0)
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await fail()
    assert told == [True]
    assert waiter is not None
    waiter.cancel()  # it is its turn, but it will not know
    await asyncio.gather(waiter, return_exceptions=True)
    assert told == [True, False]
    assert not locks.is_held("pump")


async def _hold(locks: KeyedLock) -> None:
    async with locks.hold("pump"):
        pass
