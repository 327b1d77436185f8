"""A lock for each key, which exists only while somebody wants it."""

import asyncio
from collections import Counter
from collections.abc import Callable


class KeyedLock:
    """Serialises what concerns one key, and nothing else. `released(key)` is called after each hold."""

    def __init__(self, released: Callable[[str], None]) -> None:
        self._released = released
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: Counter[str] = Counter()

    def is_held(self, key: str) -> bool:
        """Whether somebody holds the lock of `key`, or waits for it."""
        return key in self._locks

    def hold(self, key: str) -> "Hold":
        """Hold the lock of `key` in an `async with`; whoever came first gets it first."""
        return Hold(self._locks, self._users, key, self._released)


class Hold:
    """One user's hold of one lock."""

    def __init__(
        self, locks: dict[str, asyncio.Lock], users: Counter[str], key: str, released: Callable[[str], None]
    ) -> None:
        self._locks = locks
        self._users = users
        self._key = key
        self._released = released

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
        self._released(self._key)

    def _leave(self) -> None:
        self._users[self._key] -= 1
        if not self._users[self._key]:
            del self._users[self._key], self._locks[self._key]
