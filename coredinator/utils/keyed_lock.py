"""A lock for each key, which exists only while somebody wants it."""

import asyncio
from collections import Counter
from collections.abc import Callable


class KeyedLock:
    """Serialises what concerns one key, and nothing else.

    `left(key)` is called when somebody has held the lock of `key`, or has given up waiting for it.
    """

    def __init__(self, left: Callable[[str], None]) -> None:
        self._left = left
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: Counter[str] = Counter()

    def is_held(self, key: str) -> bool:
        """Whether somebody holds the lock of `key`, or waits for it."""
        return key in self._locks

    def hold(self, key: str) -> "Hold":
        """Hold the lock of `key` in an `async with`; whoever came first gets it first."""
        return Hold(self._locks, self._users, key, self._left)


class Hold:
    """One user's hold of one lock."""

    def __init__(
        self, locks: dict[str, asyncio.Lock], users: Counter[str], key: str, left: Callable[[str], None]
    ) -> None:
        self._locks = locks
        self._users = users
        self._key = key
        self._left = left

    async def __aenter__(self) -> None:
        lock = self._locks.setdefault(self._key, asyncio.Lock())
        self._users[self._key] += 1
        try:
            await lock.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._locks[self._key].release()
        self._leave()

    def _leave(self) -> None:
        self._users[self._key] -= 1
        if not self._users[self._key]:
            del self._users[self._key], self._locks[self._key]
        self._left(self._key)
