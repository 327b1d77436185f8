"""What the demo's four programs have in common: a log on stderr, and a clean end."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Coroutine


def run(main: Coroutine[object, object, None]) -> None:
    """Run a program until SIGTERM or SIGINT ends it, then return."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    # It tells every lost link with a traceback; what matters of it the programs say themselves.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    asyncio.run(_until_signal(main))


async def _until_signal(main: Coroutine[object, object, None]) -> None:
    task = asyncio.ensure_future(main)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
