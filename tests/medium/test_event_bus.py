"""The proxy as a process and as a unit, on real sockets."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from coredinator.event_bus.addresses import BusAddresses
from coredinator.event_bus.publisher import Publisher
from tests.support.host import free_port, show, systemctl, wait_for


class Bus:
    """A proxy process whose notifications the test receives."""

    def __init__(self, folder: Path, watchdog_usec: int = 0) -> None:
        self.addresses = BusAddresses("127.0.0.1", free_port(), free_port())
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notifications.bind(str(folder / "notify"))
        self._notifications.settimeout(10)
        environment = os.environ | {"NOTIFY_SOCKET": str(folder / "notify")}
        if watchdog_usec:
            environment["WATCHDOG_USEC"] = str(watchdog_usec)
        self.process = subprocess.Popen(command(self.addresses), env=environment, stderr=subprocess.PIPE, text=True)

    def notification(self, timeout: float = 10) -> str:
        self._notifications.settimeout(timeout)
        return self._notifications.recv(4096).decode()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._notifications.close()


def command(addresses: BusAddresses) -> list[str]:
    return [
        sys.executable, "-m", "coredinator.event_bus", "--host", addresses.host,
        "--pub-port", str(addresses.pub_port), "--sub-port", str(addresses.sub_port),
    ]  # fmt: skip


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    running = Bus(tmp_path)
    assert "READY=1" in running.notification()
    yield running
    running.close()


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


def subscriber(context: zmq.Context[zmq.Socket[bytes]], bus: Bus, topic: bytes = b"") -> zmq.Socket[bytes]:
    connected = context.socket(zmq.SUB)
    connected.connect(bus.addresses.subscriber_endpoint)
    connected.subscribe(topic)
    return connected


def publisher(context: zmq.Context[zmq.Socket[bytes]], bus: Bus, topic: bytes) -> zmq.Socket[bytes]:
    """An XPUB, which tells when the subscription has come through."""
    connected = context.socket(zmq.XPUB)
    connected.connect(bus.addresses.publisher_endpoint)
    while True:
        assert connected.poll(5000), "no subscription came"
        if connected.recv() == b"\x01" + topic:
            return connected


def test_every_subscriber_gets_what_every_publisher_sends(bus: Bus, context: zmq.Context[zmq.Socket[bytes]]) -> None:
    subscribers = [subscriber(context, bus, b"t") for _ in range(3)]
    publishers = [publisher(context, bus, b"t") for _ in range(3)]
    for number, source in enumerate(publishers):
        source.send_multipart([b"t", str(number).encode()])
    for sink in subscribers:
        received = set()
        while len(received) < 3:
            assert sink.poll(5000)
            received.add(sink.recv_multipart()[1])
        assert received == {b"0", b"1", b"2"}


def test_sigterm_ends_it_cleanly(bus: Bus) -> None:
    bus.process.terminate()
    assert "STOPPING=1" in bus.notification()
    assert bus.process.wait(5) == 0


def test_the_watchdog_is_fed_while_it_forwards(tmp_path: Path) -> None:
    bus = Bus(tmp_path, watchdog_usec=200_000)
    try:
        assert "READY=1" in bus.notification()
        for _ in range(5):
            assert bus.notification() == "WATCHDOG=1"
    finally:
        bus.close()


def test_a_subscriber_of_everything_never_sees_the_probe(
    tmp_path: Path, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    bus = Bus(tmp_path, watchdog_usec=100_000)
    try:
        assert "READY=1" in bus.notification()
        sink = subscriber(context, bus)
        source = publisher(context, bus, b"")
        for _ in range(5):
            assert bus.notification() == "WATCHDOG=1"
        source.send_multipart([b"last", b"{}"])
        assert sink.poll(5000)
        assert sink.recv_multipart() == [b"last", b"{}"]
    finally:
        bus.close()


def test_a_taken_port_is_one_line_and_exit_code_69() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            command(BusAddresses("127.0.0.1", port, free_port())), capture_output=True, text=True, check=False
        )
    assert done.returncode == 69
    assert len(done.stderr.splitlines()) == 1
    assert str(port) in done.stderr


@pytest.mark.parametrize(
    "flags", [["--pub-port", "0"], ["--sub-port", "70000"], ["--pub-port", "5", "--sub-port", "5"]]
)
def test_a_bad_port_is_one_line_and_exit_code_78(flags: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coredinator.event_bus", *flags], capture_output=True, text=True, check=False
    )
    assert done.returncode == 78
    assert len(done.stderr.splitlines()) == 1


def test_a_slow_subscriber_blocks_nobody(bus: Bus, context: zmq.Context[zmq.Socket[bytes]]) -> None:
    slow = subscriber(context, bus, b"t")
    source = publisher(context, bus, b"t")
    quick = subscriber(context, bus, b"last")
    while source.recv() != b"\x01last":
        pass
    payload = b"x" * 10_000

    def arrives_behind_the_flood() -> bool:
        # Far more than the pipes and socket buffers on the way hold: the slow one's are full.
        for _ in range(5_000):
            source.send_multipart([b"t", payload])
        source.send_multipart([b"last", b""])
        return bool(quick.poll(200))

    wait_for(arrives_behind_the_flood, timeout=20)
    assert slow.poll(1000)


def test_garbage_on_either_port_stops_nothing(bus: Bus, context: zmq.Context[zmq.Socket[bytes]]) -> None:
    for port in (bus.addresses.pub_port, bus.addresses.sub_port):
        for garbage in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xff" * 4096,
            b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f" + b"\x00" * 100,
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as raw, contextlib.suppress(OSError):
                raw.sendall(garbage)
    sink = subscriber(context, bus, b"t")
    publisher(context, bus, b"t").send_multipart([b"t", b"still here"])
    assert sink.poll(5000)
    assert sink.recv_multipart() == [b"t", b"still here"]
    assert bus.process.poll() is None


def test_a_publisher_without_a_bus_never_blocks() -> None:
    lonely = Publisher(f"tcp://127.0.0.1:{free_port()}")
    began = time.monotonic()
    for number in range(10_000):
        lonely.publish("t", {"number": number})
    lonely.close()
    # The bound tells a blocked call from a busy machine; it measures no speed.
    assert time.monotonic() - began < 20


def test_a_publisher_never_blocks_on_a_bus_that_hangs(bus: Bus, context: zmq.Context[zmq.Socket[bytes]]) -> None:
    sink = subscriber(context, bus, b"t")
    source = Publisher(bus.addresses.publisher_endpoint)

    def arrived() -> bool:
        source.publish("t", {})
        return bool(sink.poll(20))

    wait_for(arrived)
    bus.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    for _ in range(20_000):
        source.publish("t", {"filler": "x" * 1000})
    source.close()
    assert time.monotonic() - began < 20


def test_as_a_unit_it_is_ready_and_restarted_when_it_hangs() -> None:
    addresses = BusAddresses("127.0.0.1", free_port(), free_port())
    unit = "coredinator-eventbus-test.service"
    properties = ("Type=notify", "WatchdogSec=1", "Restart=always", "RestartSec=100ms")
    flags = [argument for value in properties for argument in ("-p", value)]
    subprocess.run(["systemd-run", "--user", "--unit", unit, *flags, "--", *command(addresses)], check=True)
    try:
        assert show(unit, "ActiveState") == "active"
        assert "Forwarding" in show(unit, "StatusText")
        pid = int(show(unit, "MainPID"))
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: int(show(unit, "NRestarts")) == 1, timeout=15)
        wait_for(lambda: show(unit, "ActiveState") == "active" and int(show(unit, "MainPID")) not in {0, pid})
    finally:
        systemctl("stop", unit)
