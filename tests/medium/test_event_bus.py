"""The proxy as a process and as a unit, and the manager's publisher, on real sockets."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import zmq

from coredinator.event_bus import proxy as proxy_module
from coredinator.event_bus.addresses import BusAddresses
from coredinator.event_bus.proxy import PortUnavailable, Proxy
from coredinator.event_bus.publisher import Publisher
from tests.support.host import Host, free_port, free_ports, show, systemctl, wait_for

type Context = zmq.Context[zmq.Socket[bytes]]

pytestmark = pytest.mark.timeout(60)

UNIT = "coredinator-eventbus-test.service"

# Far more than the 2,000 messages that a pipe between two sockets holds by default.
MANY_TOPICS = [b"%d" % number for number in range(10_000)]

PUBLISH_FOREVER = """
import sys, time
from coredinator.event_bus.publisher import Publisher
publisher = Publisher(sys.argv[1])
while True:
    publisher.publish("t", {"from": "another process"})
    time.sleep(0.01)
"""

# ZMTP 3.0 (rfc.zeromq.org/spec/23): greeting with mechanism NULL, then READY of a PUB socket.
GREETING = b"\xff" + b"\x00" * 8 + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\x00") + b"\x00" * 32
READY = b"\x04\x19\x05READY\x0bSocket-Type" + struct.pack(">I", 3) + b"PUB"

GARBAGE = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "noise": b"\xff" * 4096,
    "an unknown mechanism": GREETING.replace(b"NULL", b"EVIL") + b"\x00" * 100,
    "a frame of 4 EiB": GREETING + READY + b"\x02" + struct.pack(">Q", 1 << 62) + b"x" * 100,
    "half a frame": GREETING + READY + b"\x00\x64only ten b",
    "a command that is none": GREETING + READY + b"\x04\x05\xffabcd",
}


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


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path) as running:
        yield running


@pytest.fixture
def context() -> Iterator[Context]:
    context = zmq.Context()
    # Also for sockets that the end of a test function closes: what they could not send is not waited for.
    context.setsockopt(zmq.LINGER, 0)
    yield context
    context.destroy()


@contextlib.contextmanager
def as_unit(addresses: BusAddresses, *properties: str) -> Iterator[None]:
    """The proxy as a transient unit; returns when its start job has ended, well or not."""
    flags = [argument for value in ("Type=notify", *properties) for argument in ("-p", value)]
    subprocess.run(["systemd-run", "--user", "--unit", UNIT, *flags, "--", *command(addresses)], check=False)
    try:
        yield
    finally:
        systemctl("stop", UNIT, check=False)
        systemctl("reset-failed", UNIT, check=False)


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
    sink = subscriber(context, bus.addresses, b"still here")
    source = publisher(context, bus.addresses, b"still here")
    source.send_multipart([b"still here", b"{}"])
    assert sink.poll(5000)
    assert sink.recv_multipart() == [b"still here", b"{}"]
    assert bus.process.poll() is None


def test_every_subscriber_gets_what_every_publisher_sends(bus: Bus, context: Context) -> None:
    # A publisher hears of a topic once, however many subscribe to it: each has one of its own, too.
    ready = [b"ready %d" % number for number in range(3)]
    subscribers = [subscriber(context, bus.addresses, b"t", own) for own in ready]
    publishers = [publisher(context, bus.addresses, b"t", *ready) for _ in range(3)]
    for number, source in enumerate(publishers):
        source.send_multipart([b"t", str(number).encode()])
    for sink in subscribers:
        received = set()
        while len(received) < 3:
            assert sink.poll(5000)
            received.add(sink.recv_multipart()[1])
        assert received == {b"0", b"1", b"2"}


def test_the_managers_event_is_a_topic_and_json(bus: Bus, context: Context) -> None:
    sink = subscriber(context, bus.addresses, b"agent.")
    source = Publisher(bus.addresses.publisher_endpoint)

    def arrived() -> bool:
        source.publish("agent.started", {"agent_id": "bäckwash", "main_pid": 7, "result": None})
        return bool(sink.poll(20))

    wait_for(arrived)
    topic, body = sink.recv_multipart()
    assert topic == b"agent.started"
    assert json.loads(body) == {"agent_id": "bäckwash", "main_pid": 7, "result": None}
    source.close()


def test_every_publisher_learns_of_every_subscription(bus: Bus, context: Context) -> None:
    # Held, or it would be closed and its subscriptions with it.
    sink = subscriber(context, bus.addresses, *MANY_TOPICS)
    publisher(context, bus.addresses, *MANY_TOPICS)
    publisher(context, bus.addresses, *MANY_TOPICS)
    sink.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_clients_connected(bus: Bus, context: Context, number: signal.Signals) -> None:
    sink = subscriber(context, bus.addresses, b"t")
    source = publisher(context, bus.addresses, b"t")
    source.send_multipart([b"t", b"{}"])
    assert sink.poll(5000)
    bus.process.send_signal(number)
    assert bus.notification() == "STOPPING=1"
    assert bus.process.wait(5) == 0
    assert bus.process.stderr is not None
    assert bus.process.stderr.read() == ""


def test_a_signal_ends_it_promptly_behind_a_slow_subscriber(bus: Bus, context: Context) -> None:
    slow = subscriber(context, bus.addresses, b"t")
    source = publisher(context, bus.addresses, b"t")
    for _ in range(5_000):
        source.send_multipart([b"t", b"x" * 10_000])
    assert slow.poll(5000)
    bus.process.terminate()
    assert bus.process.wait(5) == 0


def test_the_watchdog_is_fed_while_it_forwards(tmp_path: Path) -> None:
    with running_bus(tmp_path, watchdog_usec=200_000) as bus:
        for _ in range(5):
            assert bus.notification() == "WATCHDOG=1"


def test_the_probe_tells_a_thread_that_hangs(monkeypatch: pytest.MonkeyPatch, context: Context) -> None:
    forwarded, released = threading.Event(), threading.Event()

    def forward_one_and_hang(front: zmq.Socket[bytes], back: zmq.Socket[bytes]) -> None:
        front.send(back.recv())
        forwarded.set()
        released.wait()

    monkeypatch.setattr(proxy_module.zmq, "proxy", forward_one_and_hang)
    addresses = free_addresses()
    hanging = Proxy(addresses)
    probe = hanging.start()
    sink = subscriber(context, addresses, b"t")
    assert forwarded.wait(5)
    assert not probe.forwards(0.1)
    probe.close()
    released.set()
    hanging.close()
    sink.close()


def test_a_probe_leaves_no_subscription_behind(context: Context) -> None:
    addresses = free_addresses()
    healthy = Proxy(addresses)
    probe = healthy.start()
    sink = subscriber(context, addresses, b"t")
    source = publisher(context, addresses, b"t")
    assert probe.forwards(5)
    assert source.poll(5000)
    begun = source.recv()
    assert source.poll(5000)
    assert (begun[:1], source.recv()) == (b"\x01", b"\x00" + begun[1:])
    probe.close()
    healthy.close()
    sink.close()


def test_the_probe_gets_through_a_flood_of_subscriptions(context: Context) -> None:
    addresses = free_addresses()
    healthy = Proxy(addresses)
    probe = healthy.start()
    assert probe.forwards(5)
    sink = subscriber(context, addresses, *MANY_TOPICS)
    publisher(context, addresses, *MANY_TOPICS)
    assert probe.forwards(5)
    probe.close()
    healthy.close()
    sink.close()


def test_a_flood_that_never_ends_neither_holds_the_probe_nor_passes_for_a_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = threading.Event()

    def forward_others_only(front: zmq.Socket[bytes], _back: zmq.Socket[bytes]) -> None:
        while not ended.wait(0.001):
            front.send(b"\x01of another")
            front.send(b"\x00of another")

    monkeypatch.setattr(proxy_module.zmq, "proxy", forward_others_only)
    flooded = Proxy(free_addresses())
    probe = flooded.start()
    assert probe.forwards(0.2)
    probe.close()
    ended.set()
    flooded.close()


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


def test_a_subscriber_of_everything_never_sees_the_probe(tmp_path: Path, context: Context) -> None:
    with running_bus(tmp_path, watchdog_usec=200_000) as bus:
        sink = subscriber(context, bus.addresses, b"")
        source = publisher(context, bus.addresses, b"")
        for _ in range(5):
            assert bus.notification() == "WATCHDOG=1"
        source.send_multipart([b"last", b"{}"])
        assert sink.poll(5000)
        assert sink.recv_multipart() == [b"last", b"{}"]


@pytest.mark.parametrize("host", ["127.0.0.1", "*"])
@pytest.mark.parametrize("taken", ["pub_port", "sub_port"])
def test_a_taken_port_is_one_line_and_exit_code_69(host: str, taken: str) -> None:
    addresses = free_addresses(host)
    port = getattr(addresses, taken)
    with socket.create_server(("127.0.0.1", port)):
        done = subprocess.run(command(addresses), capture_output=True, text=True, check=False)
    assert done.returncode == 69
    assert done.stderr == (
        f"coredinator-eventbus: cannot bind tcp://{host}:{port}: Address already in use; "
        f"end what uses port {port}, or set another one\n"
    )


def test_a_refused_proxy_lets_go_of_its_other_port() -> None:
    addresses = free_addresses()
    with socket.create_server(("127.0.0.1", addresses.sub_port)), pytest.raises(PortUnavailable) as refused:
        Proxy(addresses)
    assert refused.traceback, "it holds what was made: closed is only what the proxy closes itself"
    # Sockets are closed by libzmq's own thread: the port is free soon, not at once.
    wait_for(lambda: is_free(addresses.pub_port))


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_not_this_machine_is_one_line_and_exit_code_69(host: str) -> None:
    done = subprocess.run(command(free_addresses(host)), capture_output=True, text=True, check=False)
    assert done.returncode == 69
    assert len(done.stderr.splitlines()) == 1
    assert host in done.stderr
    assert "set the host to *" in done.stderr


def test_a_privileged_port_names_the_capability() -> None:
    # A network of its own has the kernel's default for which ports are privileged.
    without_capability = ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"]
    done = subprocess.run(
        ["unshare", "--net", *without_capability, *command(BusAddresses("*", 80, 81))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 69
    assert "port 80 needs CAP_NET_BIND_SERVICE" in done.stderr


@pytest.mark.parametrize(
    "flags", [["--pub-port", "0"], ["--sub-port", "70000"], ["--pub-port", "5", "--sub-port", "5"]]
)
def test_a_bad_port_is_one_line_and_exit_code_78(flags: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coredinator.event_bus", *flags], capture_output=True, text=True, check=False
    )
    assert done.returncode == 78
    assert len(done.stderr.splitlines()) == 1
    assert flags[1] in done.stderr


def test_a_complaint_of_several_lines_becomes_one(tmp_path: Path) -> None:
    settings = tmp_path / "coredinator.yaml"
    settings.write_bytes(b"event-bus-host: \x01\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(str(tmp_path / "notify"))
        notifications.settimeout(5)
        done = subprocess.run(
            [sys.executable, "-m", "coredinator.event_bus", "--config", str(settings)],
            env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        status = notifications.recv(4096).decode()
    assert done.returncode == 78
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr == f"coredinator-eventbus: {status.removeprefix('STATUS=')}\n"
    assert "control characters" in status


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_bus_on_every_interface_answers_both_families(tmp_path: Path, address: str) -> None:
    with running_bus(tmp_path, host="*") as bus:
        for port in (bus.addresses.pub_port, bus.addresses.sub_port):
            with socket.create_connection((address, port), timeout=5) as connected:
                assert connected.recv(1) == GREETING[:1]


@pytest.mark.parametrize("host", ["*", "0.0.0.0", "localhost"])  # noqa: S104  # it is what an administrator may set
def test_the_managers_events_arrive_where_localhost_is_ipv6_first(tmp_path: Path, context: Context, host: str) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("::1 localhost\n127.0.0.1 localhost\n")
    with running_bus(tmp_path, host=host) as bus:
        sink = context.socket(zmq.SUB)
        sink.connect(f"tcp://127.0.0.1:{bus.addresses.sub_port}")
        sink.subscribe(b"t")
        own_hosts = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts)]
        endpoint = bus.addresses.publisher_endpoint
        manager = subprocess.Popen([*own_hosts, sys.executable, "-c", PUBLISH_FOREVER, endpoint])
        try:
            assert sink.poll(10_000)
        finally:
            manager.kill()
            manager.wait()


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


def test_a_publisher_that_dies_takes_nobody_with_it(bus: Bus, context: Context) -> None:
    sink = subscriber(context, bus.addresses, b"t")
    doomed = subprocess.Popen([sys.executable, "-c", PUBLISH_FOREVER, bus.addresses.publisher_endpoint])
    try:
        assert sink.poll(10_000)
    finally:
        doomed.kill()
        doomed.wait()
    assert_forwards(bus, context)


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_on_either_port_stops_nothing(bus: Bus, context: Context, garbage: bytes) -> None:
    for port in (bus.addresses.pub_port, bus.addresses.sub_port):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as raw, contextlib.suppress(OSError):
            raw.sendall(garbage)
            raw.shutdown(socket.SHUT_WR)
            # To the end, which comes once the bus has read the garbage.
            while raw.recv(4096):
                pass
    assert_forwards(bus, context)


def test_a_publisher_without_a_bus_never_blocks() -> None:
    lonely = Publisher(f"tcp://127.0.0.1:{free_port()}")
    for number in range(10_000):
        lonely.publish("t", {"number": number})
    lonely.close()


def test_a_publisher_never_blocks_on_a_bus_that_hangs(bus: Bus, context: Context) -> None:
    sink = subscriber(context, bus.addresses, b"t")
    source = Publisher(bus.addresses.publisher_endpoint)

    def arrived() -> bool:
        source.publish("t", {})
        return bool(sink.poll(20))

    wait_for(arrived)
    assert source.dropped == 0
    bus.process.send_signal(signal.SIGSTOP)

    def high_water_mark_is_reached() -> bool:
        for _ in range(1_000):
            source.publish("t", {"filler": "x" * 10_000})
        return source.dropped > 0

    wait_for(high_water_mark_is_reached, timeout=20)
    source.close()


def test_a_publisher_is_heard_again_after_the_bus_was_away(bus: Bus, tmp_path: Path, context: Context) -> None:
    sink = subscriber(context, bus.addresses, b"t")
    source = Publisher(bus.addresses.publisher_endpoint)

    def arrived() -> bool:
        source.publish("t", {})
        return bool(sink.poll(20))

    wait_for(arrived)
    bus.process.kill()
    bus.process.wait()
    while sink.poll(0):
        sink.recv_multipart()
    again = subprocess.Popen(command(bus.addresses), cwd=tmp_path)
    try:
        wait_for(arrived, timeout=20)
    finally:
        again.kill()
        again.wait()
        source.close()


def test_as_a_unit_it_is_ready_and_restarted_when_it_hangs() -> None:
    addresses = free_addresses()
    with as_unit(addresses, "WatchdogSec=2", "Restart=always", "RestartSec=100ms"):
        assert show(UNIT, "ActiveState") == "active"
        assert show(UNIT, "StatusText") == f"Forwarding from {addresses.xsub_addr} to {addresses.xpub_addr}"
        pid = int(show(UNIT, "MainPID"))
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: int(show(UNIT, "NRestarts")) >= 1, timeout=20)
        wait_for(lambda: show(UNIT, "ActiveState") == "active" and int(show(UNIT, "MainPID")) not in {0, pid})


def test_it_is_the_watchdog_that_ends_a_unit_that_hangs() -> None:
    with as_unit(free_addresses(), "WatchdogSec=2", "Restart=no"):
        os.kill(int(show(UNIT, "MainPID")), signal.SIGSTOP)
        wait_for(lambda: show(UNIT, "Result") == "watchdog", timeout=20)


def test_as_a_unit_it_says_which_port_is_taken_and_comes_up_when_it_is_free() -> None:
    addresses = free_addresses()
    with socket.create_server(("127.0.0.1", addresses.pub_port)), as_unit(addresses, "Restart=no"):
        assert show(UNIT, "ActiveState") == "failed"
        assert show(UNIT, "ExecMainStatus") == "69"
        assert f"port {addresses.pub_port}" in show(UNIT, "StatusText")
    with as_unit(addresses, "Restart=no"):
        assert show(UNIT, "ActiveState") == "active"


def test_the_manager_moves_the_bus_to_the_ports_of_its_new_settings(host: Host) -> None:
    wait_for(lambda: host.health()["event_bus"]["status"] == "running")
    host.terminate()
    moved = free_addresses()
    host.pub_port, host.sub_port = moved.pub_port, moved.sub_port
    host.launch()
    status = f"Forwarding from {moved.xsub_addr} to {moved.xpub_addr}"
    wait_for(lambda: show("coredinator-eventbus.service", "StatusText") == status, timeout=20)
    wait_for(lambda: host.health()["status"] == "healthy")
