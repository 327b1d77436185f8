"""HTTP as uvicorn speaks it, with limits that uvicorn has not: on a client's time and on connections."""

import asyncio
import json
import resource
import socket
import struct
from collections import OrderedDict
from typing import override

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from coredinator import __version__
from coredinator.web.errors import VERSION_HEADER

REQUEST_TIMEOUT = 10.0
"""Seconds that a client has to send a request whole, from its connection or its last answer on; also to
read an answer that is larger than the buffers on the way."""
CONNECTION_LIMIT = 2048
"""Connections at a time, where the process may have twice as many file descriptors; else half of those."""
HEADER_LIMIT = 16 * 1024
"""Bytes of a request's line and headers."""


def raise_descriptor_limit() -> None:
    """Let this process have descriptors for `CONNECTION_LIMIT`, as far as it may.

    A service has 1024 unless it asks for more (DefaultLimitNOFILE= in systemd-system.conf(5)).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * CONNECTION_LIMIT)), hard))


class BoundedState(ServerState):
    """What all connections share: who waits for its client, the longest first, until when on the loop's clock.

    One timer looks after them all; one for each request would cost a status answer a thirtieth of its time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting: OrderedDict[BoundedProtocol, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def wait_for_client(self, protocol: "BoundedProtocol") -> None:
        """Have a connection's client run out of time in `REQUEST_TIMEOUT`."""
        deadline = protocol.loop.time() + REQUEST_TIMEOUT
        self.waiting[protocol] = deadline
        if self._timer is None:
            self._timer = protocol.loop.call_at(deadline, self._look, protocol.loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        while self.waiting:
            protocol, deadline = next(iter(self.waiting.items()))
            if deadline > loop.time():
                self._timer = loop.call_at(deadline, self._look, loop)
                return
            del self.waiting[protocol]
            protocol.run_out_of_time()


class _WholeAnswers(h11.Connection):
    """A connection that sends the head of an answer with the beginning of its body: one packet in place of two."""

    _head = b""

    @override
    def send(self, event: h11.Event) -> bytes | None:
        data = super().send(event)
        if isinstance(event, h11.Response):
            self._head = data or b""
            return b""
        head, self._head = self._head, b""
        return None if data is None else head + data


class BoundedProtocol(H11Protocol):
    """A connection that a client cannot hold for as long as it likes.

    A request that does not come whole in time is answered with 408; a client that has sent nothing is
    closed without a word. There is always room for one more connection: at the limit the one that
    has waited for its client longest is closed in its place.
    """

    server_state: BoundedState

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # as uvicorn does
        super().connection_made(transport)
        self.conn = _WholeAnswers(h11.SERVER, HEADER_LIMIT)
        self._judge()
        if len(self.connections) > min(CONNECTION_LIMIT, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2):
            self._make_room()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._wait_no_more()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._judge()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._judge()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._judge()

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._judge()

    def _judge(self) -> None:
        """Let the client's time run if it is its turn: to send the rest of a request, or to read."""
        answering = self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]  # it is None at first
        if answering and not self.flow.write_paused:
            self._wait_no_more()
        elif self not in self.server_state.waiting:
            self.server_state.wait_for_client(self)

    def _wait_no_more(self) -> None:
        self.server_state.waiting.pop(self, None)

    def run_out_of_time(self) -> None:
        """Answer a request that was begun with 408, and close; at once where the client does not read either."""
        if self.transport.is_closing() or self.flow.write_paused:
            self.cut_off()
            return
        begun, _ = self.conn.trailing_data
        if self.conn.our_state is h11.SEND_RESPONSE or (self.conn.our_state is h11.IDLE and begun):
            self._answer_408()
        self.transport.close()
        self.server_state.wait_for_client(self)  # what is written may never be read either

    def _answer_408(self) -> None:
        detail = f"the request was not received within {REQUEST_TIMEOUT:.0f} seconds; send it at once"
        headers = [("content-type", "application/json"), ("connection", "close"), (VERSION_HEADER, __version__)]
        for event in (
            h11.Response(status_code=408, headers=headers, reason=b"Request Timeout"),
            h11.Data(data=json.dumps({"detail": detail}).encode()),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")

    def cut_off(self) -> None:
        """Close at once; the kernel, too, is to forget what the client has not read (socket(7), SO_LINGER)."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _make_room(self) -> None:
        longest, _ = self.server_state.waiting.popitem(last=False)
        # At once, for it is closed only in the loop's next turn, and many more may come in this one.
        self.connections.discard(longest)
        longest.cut_off()
