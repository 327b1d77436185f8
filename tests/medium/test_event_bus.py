"""The proxy as a process, on real sockets."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from coredinator.event_bus.addresses import BusAddresses
from coredinator.event_bus.proxy import PortUnavailable, Proxy
from tests.support.bus import (
    GREETING,
    MANY_TOPICS,
    Bus,
    Context,
    command,
    free_addresses,
    publisher,
    running_bus,
    subscriber,
)
from tests.support.host import wait_for

pytestmark = pytest.mark.timeout(60)


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
