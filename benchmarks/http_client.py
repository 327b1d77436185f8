"""A keep-alive HTTP client that costs next to nothing: it knows just what the manager's answers look like."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

_LENGTH = b"content-length: "
_END = b"\r\n\r\n"
_STATUS = slice(9, 12)
HOST = "127.0.0.1"


def get(path: str) -> bytes:
    """The bytes of a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def send(method: str, path: str, body: bytes = b"") -> bytes:
    """The bytes of a request with a JSON body."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Answers(asyncio.Protocol, ABC):
    """Cuts what the server sends into answers."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to write requests to."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # for the type: TCP has no other
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand over the answer once it is complete; there is one request at a time."""
        self._buffer += data
        end = self._buffer.find(_END)
        if end < 0:
            return
        at = self._buffer.index(_LENGTH) + len(_LENGTH)
        length = int(self._buffer[at : self._buffer.index(b"\r", at)])
        if len(self._buffer) == end + len(_END) + length:
            answer, self._buffer = self._buffer, b""
            self.answered(answer[_STATUS], answer[end + len(_END) :])

    @abstractmethod
    def answered(self, status: bytes, body: bytes) -> None:
        """Take an answer."""


class Connection(Answers):
    """One request after the other, each awaited."""

    def __init__(self) -> None:
        super().__init__()
        self._answer: asyncio.Future[bytes] | None = None

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect to the manager."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, HOST, port)
        return connection

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer. Raises RuntimeError if it is an error."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def answered(self, status: bytes, body: bytes) -> None:
        """Wake whoever asked."""
        if self._answer is None or self._answer.done():
            return
        if status == b"200":
            self._answer.set_result(body)
        else:
            self._answer.set_exception(RuntimeError(f"{status.decode()}: {body.decode()}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is under way."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the manager closed the connection"))

    def close(self) -> None:
        """Close it."""
        self.transport.close()


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load; `cpu_seconds` is the client's own."""

    requests: int
    seconds: float
    cpu_seconds: float


class _Repeater(Answers):
    """Sends the next request as soon as the last one is answered, until the time is over."""

    def __init__(self, requests: Sequence[bytes], offset: int, until: float) -> None:
        super().__init__()
        self._requests = requests
        self._next = offset
        self._until = until
        self.count = 0
        self.ended = asyncio.get_running_loop().create_future()

    def begin(self) -> None:
        self.transport.write(self._requests[self._next % len(self._requests)])

    def answered(self, status: bytes, body: bytes) -> None:
        if status != b"200":
            self.ended.set_exception(RuntimeError(f"{status.decode()}: {body.decode()}"))
            return
        self.count += 1
        if time.monotonic() < self._until:
            self._next += 1
            self.begin()
        else:
            self.ended.set_result(time.monotonic())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("the manager closed the connection"))


async def _load(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    started, cpu = time.monotonic(), time.process_time()
    repeaters: list[_Repeater] = []
    for number in range(connections):
        offset = number * len(requests) // connections
        _, repeater = await loop.create_connection(
            lambda at=offset: _Repeater(requests, at, started + seconds), HOST, port
        )
        repeaters.append(repeater)
    for repeater in repeaters:
        repeater.begin()
    ends = await asyncio.gather(*(repeater.ended for repeater in repeaters))
    for repeater in repeaters:
        repeater.transport.close()
    count = sum(repeater.count for repeater in repeaters)
    return Load(count, max(ends) - started, time.process_time() - cpu)


def _load_here(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    return asyncio.run(_load(port, requests, connections, seconds))


def load(port: int, requests: Sequence[bytes], *, connections: int, seconds: float) -> Load:
    """Repeat the requests on each connection, in a process of its own so that it costs no other one time."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_load_here, port, requests, connections, seconds).result()
