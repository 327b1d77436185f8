"""An asyncio event loop whose thread serves GLib as well.

GLib in a thread of its own would take Python's lock away from the loop at every message, and wait for
it before: a third of the CPU time of a start. Here both wait in one place. Whenever the loop has
nothing to do, GLib's default main context waits for asyncio's file descriptors, too; whatever GLib
has to say is said between two turns of the loop, by callbacks in the loop's thread.
"""

import asyncio
import math
from selectors import EpollSelector, SelectorKey
from typing import override

from gi.repository import GLib


class GLibEventLoop(asyncio.SelectorEventLoop):
    """An event loop for asyncio.Runner."""

    def __init__(self) -> None:
        super().__init__(_Selector())


class _Selector(EpollSelector):
    """Waits for file descriptors and for GLib."""

    def __init__(self) -> None:
        super().__init__()
        self._glib = GLib.MainContext.default()
        # epoll's own descriptor can be read as soon as one of those that it watches is ready.
        self._watch = GLib.unix_fd_add_full(GLib.PRIORITY_DEFAULT, self.fileno(), GLib.IOCondition.IN, _wake_up)

    @override
    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """What is ready; waits until something is, or GLib did something, or `timeout` seconds are over."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            self._glib.iteration(may_block=False)
            return ready
        # One that is changed in place of a new one would wake the context up (g_source_set_ready_time).
        timer = None if timeout is None else GLib.timeout_source_new(math.ceil(timeout * 1000))
        if timer is not None:
            timer.set_callback(_wake_up)  # pyright: ignore[reportUnknownMemberType]  # as the stubs have it
            timer.attach(self._glib)
        self._glib.iteration(may_block=True)
        if timer is not None:
            timer.destroy()
        return super().select(0)

    @override
    def close(self) -> None:
        GLib.source_remove(self._watch)
        super().close()


def _wake_up(*_: object) -> bool:
    """End GLib's waiting: what is ready is asked of epoll then."""
    return GLib.SOURCE_CONTINUE
