"""Clients that send too slowly, do not read, or are too many: others do not notice."""

import contextlib
import resource
import select
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import httpx
import psutil
import pytest

from coredinator.web.middleware import BODY_LIMIT
from coredinator.web.protocol import REQUEST_TIMEOUT, raise_descriptor_limit
from tests.support.host import Host, wait_for

GET = b"GET /api/healthcheck HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/agents/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
PATIENCE = 3 * REQUEST_TIMEOUT


# What a service has by default; half of them are for connections.
DESCRIPTORS = 1024


@dataclass(frozen=True)
class Outcome:
    """How a connection ended: after how many seconds, and what came until then."""

    seconds: float
    answer: bytes


def send_all(connection: socket.socket, pieces: Iterator[bytes], pause: float) -> Outcome:
    """Send piece after piece, with pauses, until the other end has closed."""
    begin = time.monotonic()
    answer = b""
    while time.monotonic() - begin < PATIENCE:
        with contextlib.suppress(OSError):
            connection.sendall(next(pieces, b""))
        if select.select([connection], [], [], pause)[0]:
            try:
                received = connection.recv(65536)
            except ConnectionError:
                received = b""
            if not received:
                return Outcome(time.monotonic() - begin, answer)
            answer += received
    raise AssertionError(f"still open; answer so far: {answer!r}")


def never_read(connection: socket.socket) -> Outcome:
    """Ask for much more than all buffers on the way hold, and wait to be cut off."""
    begin = time.monotonic()
    connection.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        connection.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
    poll = select.poll()
    poll.register(connection, 0)
    assert poll.poll(PATIENCE * 1000), "still open"
    return Outcome(time.monotonic() - begin, b"")


CLIENTS: Mapping[str, Callable[[socket.socket], Outcome]] = {
    "says nothing": lambda to: send_all(to, repeat(b""), 1),
    "sends half a header": lambda to: send_all(to, iter([GET]), 1),
    "lets its header trickle": lambda to: send_all(to, iter([GET, *repeat(b"a", 1000)]), 0.1),
    "sends half a body": lambda to: send_all(to, iter([POST + b"Content-Length: 100\r\n\r\n{"]), 1),
    "lets its body trickle": lambda to: send_all(
        to, iter([POST + b"Content-Length: 900\r\n\r\n", *repeat(b" ", 900)]), 0.1
    ),
    "lets its chunks trickle": lambda to: send_all(
        to, iter([POST + b"Transfer-Encoding: chunked\r\n\r\n", *repeat(b"1\r\n \r\n", 900)]), 0.1
    ),
    "is slow at its second request": lambda to: send_all(to, iter([GET + b"\r\n", GET, *repeat(b"a", 1000)]), 0.1),
    "goes on after it was refused": lambda to: send_all(
        to, iter([POST + b"Origin: http://evil\r\nTransfer-Encoding: chunked\r\n\r\n", *repeat(b"1", 900)]), 0.1
    ),
    "never reads": never_read,
}  # fmt: skip
NO_408 = {"says nothing", "goes on after it was refused", "never reads"}


@pytest.fixture(scope="module", autouse=True)
def descriptors() -> None:
    """Have enough of them here, too."""
    raise_descriptor_limit()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Outcome]:
    """All slow clients at the same time."""
    with (
        Host.running(tmp_path_factory.mktemp("slow")) as host,
        contextlib.ExitStack() as stack,
        ThreadPoolExecutor(len(CLIENTS)) as pool,
    ):
        ends = {name: pool.submit(behave, stack.enter_context(connect(host))) for name, behave in CLIENTS.items()}
        return {name: end.result() for name, end in ends.items()}


def connect(host: Host) -> socket.socket:
    return socket.create_connection(("127.0.0.1", host.port), timeout=PATIENCE)


def health_seconds(host: Host) -> float:
    """How long a new client waits for the healthcheck."""
    return httpx.get(f"{host.api.base_url}/api/healthcheck").elapsed.total_seconds()


def median_health(host: Host) -> float:
    return statistics.median(health_seconds(host) for _ in range(15))


def manager(host: Host) -> psutil.Process:
    assert host.process is not None
    return psutil.Process(host.process.pid)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_cannot_hold_a_connection(outcomes: Mapping[str, Outcome], client: str) -> None:
    assert outcomes[client].seconds < REQUEST_TIMEOUT + 5


@pytest.mark.parametrize("client", [name for name in CLIENTS if name not in NO_408])
def test_a_request_that_takes_too_long_is_408(outcomes: Mapping[str, Outcome], client: str) -> None:
    answer = outcomes[client].answer
    assert b"HTTP/1.1 408 " in answer
    assert b"was not received within 10 seconds" in answer
    assert b"X-CoreRL-Version: " in answer


def test_who_was_refused_is_not_answered_twice(outcomes: Mapping[str, Outcome]) -> None:
    assert outcomes["goes on after it was refused"].answer.startswith(b"HTTP/1.1 403 ")
    assert outcomes["goes on after it was refused"].answer.count(b"HTTP/1.1 ") == 1


def test_who_has_said_nothing_hears_nothing(outcomes: Mapping[str, Outcome]) -> None:
    assert outcomes["says nothing"].answer == b""


def test_an_answer_comes_in_one_piece(host: Host) -> None:
    host.start(host.config("backwash"))
    with connect(host) as connection:
        for path in ("/api/healthcheck", "/api/agents/", "/api/agents/backwash/status", "/api/nowhere") * 5:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            assert f"content-length: {len(body)}\r\n".encode() in head + b"\r\n"
            assert body


def test_two_thousand_headers_that_trickle_delay_nobody(host: Host) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(host)) for _ in range(2000)]
        waited: list[float] = []
        for number, connection in enumerate(connections * 2):
            with contextlib.suppress(ConnectionError):
                connection.sendall(GET if number < len(connections) else b"a")
            if number % 100 == 0:
                waited.append(health_seconds(host))
    assert statistics.median(waited) < 0.1


def test_three_thousand_connections_keep_nobody_out(host: Host) -> None:
    running = manager(host)
    resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    before = running.memory_info().rss
    with contextlib.ExitStack() as stack:
        for number in range(3000):
            connection = stack.enter_context(connect(host))
            with contextlib.suppress(ConnectionError):
                connection.sendall(GET if number % 2 else b"")
        assert median_health(host) < 0.1
        assert host.start(host.config("backwash")) == "backwash"
        assert running.num_fds() < DESCRIPTORS / 2 + 100
        assert running.memory_info().rss - before < 64 * 2**20
    wait_for(lambda: running.num_fds() < 100, what="connections closed")
    assert "out of system resource" not in host.log.read_text()


def test_a_connection_at_work_is_not_closed_for_a_new_one(host: Host) -> None:
    host.install("corerl", script="#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.1; done\n")
    host.start(host.config("backwash"))
    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as stack:
        stopped = pool.submit(httpx.post, f"{host.api.base_url}/api/agents/backwash/stop", timeout=30)
        wait_for(lambda: host.corerl("backwash")["state"] == "stopping")
        resource.prlimit(manager(host).pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        for _ in range(DESCRIPTORS):
            stack.enter_context(connect(host))
        assert stopped.result().status_code == 200


def test_many_large_bodies_at_once_do_not_fill_the_memory(host: Host) -> None:
    running = manager(host)
    before = running.memory_info().rss
    body = b" " * (BODY_LIMIT - 1)
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            connection = stack.enter_context(connect(host))
            connection.sendall(POST + f"Content-Length: {BODY_LIMIT}\r\n\r\n".encode() + body)
        refused = b""
        while b"too many large bodies" not in refused:
            refused += connection.recv(65536)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: " in refused
        assert median_health(host) < 0.1
        assert host.start(host.config("backwash")) == "backwash"
        assert running.memory_info().rss - before < 64 * 2**20
    large = f'{{"config_path": "{host.config("backwash")}"}}'.encode() + body[: BODY_LIMIT // 2]
    json = {"content-type": "application/json"}
    wait_for(lambda: host.api.post("/api/agents/start", content=large, headers=json).is_success, what="room again")
