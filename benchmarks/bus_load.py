"""Publishers and subscribers for the event bus, in two processes that live through many trials."""

import struct
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

import zmq

from benchmarks.http_client import HOST

_HELLO, _TOPIC, _END = b"hello", b"bench", b"end"
_BURST = 100
_LARGE = 8192
"""Bytes from which on it is cheaper to pass a message by reference than to copy it in Python."""
_PAUSE = 0.0001
"""Seconds of rest where nothing is due. Were it longer, no more than a burst for each rest would bound the rate."""
_QUIET_MS = 100
"""Once nothing has come for so long after the time of an order, nothing will, not even the publishers' last words."""
_STAMP = struct.Struct("d")


@dataclass(frozen=True, slots=True)
class Order:
    """What the publishers are to send altogether: messages of `size` bytes, `rate` in a second.

    Only `stamped` ones tell how long they were on their way; the others cost the clients less.
    """

    size: int
    rate: float
    seconds: float
    stamped: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent, in how many seconds; `cpu_seconds` is the publishing process's own."""

    count: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Received:
    """What all subscribers together received, and the seconds that each message was on its way."""

    count: int
    latencies: list[float]
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One order and what came of it."""

    sent: Sent
    received: Received
    lost: int


class Clients:
    """As many publishers as subscribers; each subscriber receives all messages."""

    def __init__(self, publishing: Connection, subscribing: Connection, peers: int) -> None:
        self._publishing = publishing
        self._subscribing = subscribing
        self._peers = peers

    def run(self, order: Order) -> Trial:
        """Send, and count what arrives."""
        self._subscribing.send(order)
        self._publishing.send(order)
        sent: Sent = self._publishing.recv()
        received: Received = self._subscribing.recv()
        return Trial(sent, received, sent.count * self._peers - received.count)


@contextmanager
def clients(pub_port: int, sub_port: int, peers: int) -> Generator[Clients]:
    """Start the processes, and wait until every subscriber hears every publisher."""
    context = get_context("spawn")
    with ExitStack() as stack:
        ends: list[Connection] = []
        for target, port in ((publish, pub_port), (subscribe, sub_port)):
            here, there = context.Pipe()
            process = context.Process(target=target, args=(port, peers, there), daemon=True)
            process.start()
            stack.callback(process.join)
            stack.callback(here.send, None)
            ends.append(here)
        publishing, subscribing = ends
        subscribing.recv()
        publishing.send(True)  # noqa: FBT003  # any true value says that all is heard
        yield Clients(publishing, subscribing, peers)


def publish(port: int, peers: int, control: Connection) -> None:
    """Greet until told that all is heard, then carry out orders until there is none."""
    with zmq.Context() as context, ExitStack() as stack:
        sockets = [stack.enter_context(context.socket(zmq.PUB)) for _ in range(peers)]
        for socket in sockets:
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(f"tcp://{HOST}:{port}")
        while not control.poll(0.005):
            for number, socket in enumerate(sockets):
                socket.send_multipart([_HELLO, str(number).encode()])
        control.recv()
        for number, order in enumerate(iter(control.recv, None)):
            sent = _carry_out(order, sockets)
            for socket in sockets:
                socket.send_multipart([_END, str(number).encode()])
            control.send(sent)


def _carry_out(order: Order, sockets: Sequence["zmq.Socket[bytes]"]) -> Sent:
    body = bytes(order.size)
    padding = body[_STAMP.size :]
    copy = order.size < _LARGE
    cpu, started = time.process_time(), time.monotonic()
    sent = 0
    pace = started
    while (now := time.monotonic()) < started + order.seconds:
        due = int((now - pace) * order.rate)
        if due > _BURST:
            # Late: sent all at once it would overflow the publisher's own queue. What is late is left out.
            pace += (due - _BURST) / order.rate
            due = _BURST
        if not due:
            time.sleep(_PAUSE)
            continue
        pace += due / order.rate
        for _ in range(due):
            socket = sockets[sent % len(sockets)]
            socket.send(_TOPIC, zmq.SNDMORE)
            socket.send(_STAMP.pack(time.monotonic()) + padding if order.stamped else body, copy=copy)
            sent += 1
    return Sent(sent, time.monotonic() - started, time.process_time() - cpu)


def subscribe(port: int, peers: int, control: Connection) -> None:
    """Tell once every subscriber has heard every publisher, then count for each order until there is none."""
    with zmq.Context() as context, ExitStack() as stack:
        sockets = [stack.enter_context(context.socket(zmq.SUB)) for _ in range(peers)]
        poller = zmq.Poller()
        for socket in sockets:
            socket.connect(f"tcp://{HOST}:{port}")
            socket.subscribe(b"")
            poller.register(socket, zmq.POLLIN)
        missing = {(socket, str(number).encode()) for socket in sockets for number in range(peers)}
        while missing:
            for socket, _ in poller.poll():
                missing.discard((socket, socket.recv_multipart()[1]))
        control.send(None)
        for number, order in enumerate(iter(control.recv, None)):
            control.send(_count(order, poller, str(number).encode(), peers * peers))


def _count(order: Order, poller: zmq.Poller, last_word: bytes, last_words: int) -> Received:
    """Count until all publishers have said to all subscribers that they are done with this order, or nothing comes."""
    latencies: list[float] = []
    copy = order.size < _LARGE
    cpu, started = time.process_time(), time.monotonic()
    count = 0
    while last_words and ((ready := poller.poll(_QUIET_MS)) or time.monotonic() < started + order.seconds):
        for socket, _ in ready:
            try:
                for _ in range(_BURST):
                    topic, body = socket.recv(zmq.DONTWAIT), socket.recv(copy=copy)
                    if topic != _TOPIC:
                        last_words -= topic == _END and memoryview(body) == last_word
                        continue
                    count += 1
                    if order.stamped:
                        latencies.append(time.monotonic() - _STAMP.unpack_from(memoryview(body))[0])
            except zmq.Again:
                continue
    return Received(count, latencies, time.process_time() - cpu)
