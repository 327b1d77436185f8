"""The plant's tags as OPC UA nodes, and a link to their server that comes back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.ua import Int16, NodeId, String, UaError

_log = logging.getLogger(__name__)

NAMESPACE = "urn:coredinator:demo:tep"
NAMESPACE_INDEX = 2
"""The first index that a server gives away."""
_RETRY_DELAY = 0.2
"""Seconds between tries to reach the server."""
_TIMEOUT = 2.0
"""Seconds after which an answer that did not come means a lost server."""


def node_id(tag: str) -> NodeId:
    """The id of a tag's node."""
    return NodeId(String(tag), Int16(NAMESPACE_INDEX))


def nodes(client: Client, tags: Iterable[str]) -> list[Node]:
    """The nodes of several tags."""
    return [client.get_node(node_id(tag)) for tag in tags]


async def stay_linked(url: str, use: Callable[[Client], Awaitable[None]]) -> None:
    """Connect to an OPC UA server and `use` it; connect again whenever the link is lost."""
    reachable = True
    while True:
        try:
            async with Client(url, timeout=_TIMEOUT) as client:
                _log.info("connected to %s", url)
                reachable = True
                await use(client)
        # With a star, for `use` may run tasks of its own, whose errors come in groups.
        except* (OSError, UaError) as errors:
            if reachable:
                reason = errors.exceptions[0]
                _log.warning("%s is out of reach (%s); trying again", url, reason or type(reason).__name__)
            reachable = False
        await asyncio.sleep(_RETRY_DELAY)
