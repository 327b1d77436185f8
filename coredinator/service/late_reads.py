"""Reading what systemd tells with no signal, at a moment when nobody waits for systemd."""

import asyncio
from collections.abc import Awaitable, Callable

_QUIET = 0.3
"""Seconds without a start, whoever made it, and without a request for a stop after which it is quiet."""
_AT_LAST = 10.0
"""Seconds after which a unit is read, quiet or not."""


class LateReads:
    """Units that are to be read, one at a time; `read` must not raise.

    All properties of a unit are some 400, and cost systemd a third of what its start does: in a burst
    of starts they would hold up the next ones.
    """

    def __init__(self, read: Callable[[str], Awaitable[None]]) -> None:
        self._read = read
        self._due: dict[str, float] = {}
        self._quiet_from = 0.0
        self._task: asyncio.Task[None] | None = None

    def ask(self, unit: str) -> None:
        """Have a unit read that was started, or met, just now."""
        self.hold_off()
        loop = asyncio.get_running_loop()
        self._due.setdefault(unit, loop.time() + _AT_LAST)
        if self._task is None:
            self._task = loop.create_task(self._work())

    def hold_off(self) -> None:
        """Note that somebody is about to start or stop something."""
        self._quiet_from = asyncio.get_running_loop().time() + _QUIET

    async def close(self) -> None:
        """Drop what is due."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._due:
                unit, latest = next(iter(self._due.items()))
                pause = min(self._quiet_from, latest) - loop.time()
                if pause > 0:
                    await asyncio.sleep(pause)
                    continue
                del self._due[unit]
                await self._read(unit)
        finally:
            self._task = None
