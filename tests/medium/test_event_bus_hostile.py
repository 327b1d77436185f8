"""Peers that speak something else, too much, or not at all: the bus stays up for the others."""

import contextlib
import socket
import struct
from collections.abc import Generator

import psutil
import pytest

from coredinator.event_bus.proxy import MESSAGE_LIMIT, TOPIC_LIMIT
from tests.support.bus import (
    GREETING,
    Bus,
    Context,
    assert_forwards,
    frame,
    publisher,
    raw_peer,
    ready,
    subscriber,
)
from tests.support.host import wait_for

MIB = 2**20

GARBAGE = {
    "noise": b"\xff" * 4096,
    "an unknown mechanism": GREETING.replace(b"NULL", b"EVIL") + b"\x00" * 100,
    "a frame of 4 EiB": GREETING + ready(b"PUB") + b"\x02" + struct.pack(">Q", 1 << 62) + b"x" * 100,
    "half a greeting": GREETING[:20],
    "a greeting and no more": GREETING,
    "a password nobody asked for": GREETING.replace(b"NULL\0", b"PLAIN") + b"\x04\x08\x05HELLO\0\0",
    "a READY of 4 GiB": GREETING + b"\x06" + struct.pack(">Q", 1 << 32) + b"\x05READY",
    "properties that overrun": GREETING + b"\x04\x10\x05READY\x0bSock" + b"\xff" * 5,
    "a command that is none": GREETING + ready(b"PUB") + b"\x04\x05\xffabcd",
}
# Of these libzmq waits for the rest. ZMTP 1.0 has no greeting: it begins with the length of a frame, which is what
# the first letter of HTTP is taken for.
UNFINISHED = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "half a message": GREETING + ready(b"PUB") + b"\x00\x64only ten b",
    "half a subscription": GREETING + ready(b"SUB") + b"\x00\x64\x01only ten",
    "ZMTP 1.0": b"\x01\x00" + b"\x7f" * 200,
    "ZMTP 2.0 of an unknown kind": b"\xff" + b"\x00" * 8 + b"\x7f\x01\xee\x00\x00",
}


pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_who_sends_garbage_to_either_port_is_disconnected(bus: Bus, context: Context, garbage: bytes) -> None:
    with both_ports(bus, garbage) as peers:
        for peer in peers:
            read_to_the_end(peer)
    assert_forwards(bus, context)


@pytest.mark.parametrize("beginning", UNFINISHED.values(), ids=UNFINISHED)
def test_who_never_finishes_stops_nothing_and_is_let_go_when_it_hangs_up(
    bus: Bus, context: Context, beginning: bytes
) -> None:
    with both_ports(bus, beginning) as peers:
        assert_forwards(bus, context)
        for peer in peers:
            with contextlib.suppress(OSError):  # it may be disconnected already
                peer.shutdown(socket.SHUT_WR)
            read_to_the_end(peer)
    assert_forwards(bus, context)


@contextlib.contextmanager
def both_ports(bus: Bus, sent: bytes) -> Generator[list[socket.socket]]:
    """A connection to each port, over which something was sent; reads wait for longer than a greeting may take."""
    with contextlib.ExitStack() as stack:
        peers: list[socket.socket] = []
        for port in (bus.addresses.pub_port, bus.addresses.sub_port):
            peers.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=15)))
            peers[-1].sendall(sent)
        yield peers


def read_to_the_end(peer: socket.socket) -> None:
    """Return once the bus has closed the connection, which with data on its way is a reset."""
    with contextlib.suppress(ConnectionError):
        while peer.recv(4096):
            pass


def test_a_slow_subscriber_blocks_nobody(bus: Bus, context: Context) -> None:
    slow = subscriber(context, bus.addresses, b"t")
    quick = subscriber(context, bus.addresses, b"last")
    source = publisher(context, bus.addresses, b"t", b"last")
    payload = b"x" * 10_000

    def arrives_behind_the_flood() -> bool:
        # Far more than the pipes and socket buffers on the way hold: the slow one's are full.
        for _ in range(5_000):
            source.send_multipart([b"t", payload])
        source.send_multipart([b"last", b""])
        return bool(quick.poll(200))

    wait_for(arrives_behind_the_flood, timeout=20)
    assert slow.poll(1000)


def test_subscriptions_that_are_over_leave_nothing_in_memory(bus: Bus, context: Context) -> None:
    source = publisher(context, bus.addresses)
    sink = subscriber(context, bus.addresses)

    def come_and_go(names: range) -> None:
        for number in names:
            topic = b"%0500d" % number
            sink.subscribe(topic)
            sink.unsubscribe(topic)
        for _ in range(2 * len(names)):
            assert source.poll(5000)
            source.recv()

    memory = psutil.Process(bus.process.pid).memory_info
    come_and_go(range(1_000))
    before = memory().rss
    for first in range(1_000, 21_000, 1_000):
        come_and_go(range(first, first + 1_000))
    # Kept, the topics alone would take 20 MB.
    assert memory().rss - before < 10_000_000


@pytest.mark.parametrize("parts", [[b"t"], [b""], [b"t", b"", b"{}"], [b"t"] * 100, [b"t\xff\0", b"\x80no JSON"]])
def test_messages_of_another_form_pass_and_harm_nobody(bus: Bus, context: Context, parts: list[bytes]) -> None:
    sink = subscriber(context, bus.addresses, b"")
    source = publisher(context, bus.addresses, b"")
    source.send_multipart(parts)
    assert sink.poll(5000)
    assert sink.recv_multipart() == parts
    assert_forwards(bus, context)


def test_a_topic_that_would_overrun_libzmqs_stack_is_refused(bus: Bus, context: Context) -> None:
    with raw_peer(bus.addresses.sub_port, b"SUB") as raw:
        raw.sendall(frame(b"\x01" + b"x" * 200_000))
        read_to_the_end(raw)
    assert_forwards(bus, context)


def test_frames_up_to_the_limits_pass(bus: Bus, context: Context) -> None:
    topic = b"x" * TOPIC_LIMIT
    sink = subscriber(context, bus.addresses, topic)
    source = publisher(context, bus.addresses, topic)
    source.send_multipart([topic, b"y" * MESSAGE_LIMIT])
    assert sink.poll(5000)
    assert sink.recv_multipart() == [topic, b"y" * MESSAGE_LIMIT]


def test_a_frame_over_the_limit_costs_its_publisher_the_connection(bus: Bus, context: Context) -> None:
    before = memory(bus)
    with raw_peer(bus.addresses.pub_port, b"PUB") as raw, pytest.raises(ConnectionError):
        raw.sendall(frame(b"x" * (MESSAGE_LIMIT + 1)) * 100)
    assert memory(bus) - before < 10 * MIB
    assert_forwards(bus, context)


def test_a_flood_of_large_messages_to_those_who_never_read_stays_in_memory_limits(bus: Bus, context: Context) -> None:
    source = publisher(context, bus.addresses)
    for _ in range(4):
        with raw_peer(bus.addresses.sub_port, b"SUB") as raw:
            raw.sendall(frame(b"\x01t"))
            assert source.poll(5000)
            source.recv()
            for _ in range(4_000):
                source.send_multipart([b"t", b"x" * MESSAGE_LIMIT])
            assert_forwards(bus, context)
            assert memory(bus) < 400 * MIB
        # The end of the subscription.
        while source.recv() != b"\0t":
            pass


def test_connections_that_never_greet_are_dropped(bus: Bus, context: Context) -> None:
    process = psutil.Process(bus.process.pid)
    before = process.num_fds()
    with contextlib.ExitStack() as stack:
        for number in range(2_000):
            port = bus.addresses.sub_port if number % 2 else bus.addresses.pub_port
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            connection.sendall(GREETING[: number % 64])
        assert_forwards(bus, context)
        assert memory(bus) < 100 * MIB
        wait_for(lambda: process.num_fds() < before + 20, timeout=15, what="connections dropped")


def memory(bus: Bus) -> int:
    return psutil.Process(bus.process.pid).memory_info().rss
