"""Limits and headers for every request, as plain ASGI."""

import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coredinator import __version__
from coredinator.web.errors import RETRY_AFTER, VERSION_HEADER

BODY_LIMIT = 1024 * 1024
"""Bytes of a request's body."""
_DRAIN_LIMIT = 16 * BODY_LIMIT
"""So much of a larger body is read and dropped: a client that is cut off while it sends sees no answer."""
_SMALL_BODY = 64 * 1024
_LARGE_BODIES = 16
"""So many bodies beyond `_SMALL_BODY` are held in memory at a time; no sensible request is that large."""


_too_large = JSONResponse({"detail": f"the body is larger than {BODY_LIMIT} bytes"}, 413)
_too_many_large_bodies = JSONResponse(
    {"detail": "too many large bodies at a time; try again"}, 503, {"Retry-After": RETRY_AFTER}
)


def _header(scope: Scope, name: bytes) -> str | None:
    """The first header of that name in small letters, without the cost of starlette's Headers for every request."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


class VersionHeader:
    """Puts the version into every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and mark its answer."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[VERSION_HEADER] = __version__
            await send(message)

        await self._app(scope, receive, marked)


class BodyLimit:
    """Refuses bodies over `BODY_LIMIT` with 413, whether their length is declared or not.

    Few may be large at the same time, lest they fill the memory together: further ones get 503.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._large = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body first, up to the limit; a client that goes away meanwhile gets no answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        messages: list[Message] = []
        received = 0
        more = True
        with contextlib.ExitStack() as held:
            while more and received <= _DRAIN_LIMIT:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                before, received = received, received + len(message.get("body", b""))
                more = message.get("more_body", False)
                if before <= _SMALL_BODY < received:
                    if self._large == _LARGE_BODIES:
                        await _too_many_large_bodies(scope, receive, send)
                        return
                    self._large += 1
                    held.callback(self._release)
                if received <= BODY_LIMIT:
                    messages.append(message)
            if received > BODY_LIMIT:
                await _too_large(scope, receive, send)
                return
            messages.reverse()

            async def replay() -> Message:
                return messages.pop() if messages else await receive()

            await self._app(scope, replay, send)

    def _release(self) -> None:
        self._large -= 1


class OriginGuard:
    """Refuses requests that a web page of a foreign origin makes, unless the origin is allowed.

    Browsers send simple requests such as an empty POST across origins without asking first; CORS
    alone keeps only their answers from the page. A page is our own if its origin is the Host that it
    asks and names this machine: by an address, or by a name that no stranger's DNS can point here
    (DNS rebinding). `host` is the one that the manager serves on.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str], host: str) -> None:
        self._app = app
        self._allowed = frozenset(allowed)
        self._host = host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if it comes from no page, from our own, or from an allowed one."""
        if scope["type"] == "http":
            origin = _header(scope, b"origin")
            if origin is not None and not self._may(origin, _header(scope, b"host") or ""):
                detail = f"origin {origin} may not use this API; allow it with --cors-origin {origin}"
                await JSONResponse({"detail": detail}, 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _may(self, origin: str, host: str) -> bool:
        if origin in self._allowed or "*" in self._allowed:
            return True
        try:
            page = urlsplit(origin)
            return page.netloc == host and page.hostname is not None and self._is_ours(page.hostname)
        except ValueError:  # it is no URL
            return False

    def _is_ours(self, name: str) -> bool:
        machine = socket.gethostname().lower()
        label = machine.partition(".")[0]
        if name in {self._host, "localhost", machine, label, f"{label}.local"} or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
