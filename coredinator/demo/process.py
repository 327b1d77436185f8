"""What the demo's four programs have in common: logging, a clean end, patience with their peers."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine

from asyncua import Client
from asyncua.ua import UaError

_log = logging.getLogger(__name__)

RECONNECT_DELAY = 0.5
"""Seconds between tries to reach a peer."""
LINK_ERRORS = (OSError, UaError, TimeoutError, ConnectionError)
"""What a lost or absent OPC UA server raises."""


def run(main: Coroutine[object, object, None]) -> None:
    """Run a program until it ends or SIGTERM or SIGINT ends it, then exit with 0."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    asyncio.run(_until_signal(main))


async def stay_linked(url: str, use: Callable[[Client], Awaitable[None]]) -> None:
    """Connect to an OPC UA server and `use` it; connect again whenever the link is lost."""
    reachable = True
    while True:
        try:
            async with Client(url, timeout=2) as client:
                _log.info("connected to %s", url)
                reachable = True
                await use(client)
        except LINK_ERRORS as error:
            if reachable:
                _log.warning("%s is out of reach: %s; trying again", url, error or type(error).__name__)
            reachable = False
        await asyncio.sleep(RECONNECT_DELAY)


async def _until_signal(main: Coroutine[object, object, None]) -> None:
    task = asyncio.ensure_future(main)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
