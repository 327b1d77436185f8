"""The event bus as a process of its own, and clients of it: well-behaved ones, and raw connections."""

import contextlib
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import zmq

from coredinator.event_bus.addresses import BusAddresses
from tests.support.host import free_ports

type Context = zmq.Context[zmq.Socket[bytes]]

# Far more than the 2,000 messages that a pipe between two sockets holds by default.
MANY_TOPICS = [b"%d" % number for number in range(10_000)]

# ZMTP 3.0 (rfc.zeromq.org/spec/23): greeting with mechanism NULL, then READY with the socket's type.
GREETING = b"\xff" + b"\x00" * 8 + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\x00") + b"\x00" * 32


def ready(kind: bytes) -> bytes:
    properties = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
    return b"\x04" + bytes([len(properties)]) + properties


def frame(body: bytes, *, more: bool = False) -> bytes:
    """A long frame of a message."""
    return bytes([2 + more]) + struct.pack(">Q", len(body)) + body


class Bus:
    """A proxy process whose notifications the test receives."""

    def __init__(self, folder: Path, host: str, watchdog_usec: int) -> None:
        self.addresses = free_addresses(host)
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notifications.bind(str(folder / "notify"))
        self._notifications.settimeout(10)
        environment = os.environ | {"NOTIFY_SOCKET": str(folder / "notify")}
        if watchdog_usec:
            environment["WATCHDOG_USEC"] = str(watchdog_usec)
        self.process = subprocess.Popen(command(self.addresses), env=environment, stderr=subprocess.PIPE, text=True)

    def notification(self) -> str:
        return self._notifications.recv(4096).decode()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._notifications.close()


def free_addresses(host: str = "127.0.0.1") -> BusAddresses:
    return BusAddresses(host, *free_ports(2))


def command(addresses: BusAddresses) -> list[str]:
    return [
        sys.executable, "-m", "coredinator.event_bus", "--host", addresses.host,
        "--pub-port", str(addresses.pub_port), "--sub-port", str(addresses.sub_port),
    ]  # fmt: skip


@contextlib.contextmanager
def running_bus(folder: Path, *, host: str = "127.0.0.1", watchdog_usec: int = 0) -> Iterator[Bus]:
    bus = Bus(folder, host, watchdog_usec)
    try:
        assert bus.notification().splitlines() == [
            "READY=1",
            f"STATUS=Forwarding from {bus.addresses.xsub_addr} to {bus.addresses.xpub_addr}",
        ]
        yield bus
    finally:
        bus.close()


def subscriber(context: Context, addresses: BusAddresses, *topics: bytes) -> zmq.Socket[bytes]:
    connected = context.socket(zmq.SUB)
    # By default it drops subscriptions of its own that come faster than they can be sent.
    connected.setsockopt(zmq.SNDHWM, 0)
    connected.connect(addresses.subscriber_endpoint)
    for topic in topics:
        connected.subscribe(topic)
    return connected


def publisher(context: Context, addresses: BusAddresses, *topics: bytes) -> zmq.Socket[bytes]:
    """An XPUB, which hears what is subscribed to: returned once that includes all of `topics`."""
    connected = context.socket(zmq.XPUB)
    connected.setsockopt(zmq.RCVHWM, 0)
    connected.connect(addresses.publisher_endpoint)
    missing = {b"\x01" + topic for topic in topics}
    while missing:
        assert connected.poll(5000), f"{len(missing)} subscriptions never came"
        missing.discard(connected.recv())
    return connected


def assert_forwards(bus: Bus, context: Context) -> None:
    assert_passes(bus.addresses, context)
    assert bus.process.poll() is None


def assert_passes(addresses: BusAddresses, context: Context) -> None:
    """A good message gets through."""
    sink = subscriber(context, addresses, b"still here")
    source = publisher(context, addresses, b"still here")
    source.send_multipart([b"still here", b"{}"])
    assert sink.poll(5000)
    assert sink.recv_multipart() == [b"still here", b"{}"]


@contextlib.contextmanager
def raw_peer(port: int, kind: bytes) -> Iterator[socket.socket]:
    """A connection whose handshake is done, for a socket of type `kind` that says what it likes."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(GREETING + ready(kind))
        received = b""
        while b"Socket-Type" not in received:  # libzmq takes nothing else before it has sent its own READY
            received += connection.recv(4096)
        yield connection
