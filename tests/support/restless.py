"""Threads that are interrupted at each of their lines, so that moments are met which are met seldom otherwise."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType

_PAUSE = 1e-5


@contextmanager
def restless(*modules: ModuleType) -> Iterator[None]:
    """Threads that start within this let others go first before each line of these modules."""
    names = {module.__name__ for module in modules}

    def pause(frame: FrameType, _event: str, _argument: object) -> object:
        if frame.f_globals.get("__name__") not in names:
            return None
        time.sleep(_PAUSE)
        return pause

    threading.settrace(pause)
    try:
        yield
    finally:
        threading.settrace(None)  # pyright: ignore[reportArgumentType]  # as the stubs have it
