"""The bus as a unit: kept alive by systemd, and within limits."""

import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from coredinator.event_bus.addresses import BusAddresses
from tests.support.bus import (
    Context,
    assert_passes,
    command,
    frame,
    free_addresses,
    raw_peer,
)
from tests.support.host import Host, show, systemctl, wait_for

UNIT = "coredinator-eventbus-test.service"


pytestmark = pytest.mark.timeout(60)


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


@pytest.mark.parametrize("port", ["pub_port", "sub_port"])
def test_a_client_that_fills_the_bus_is_cut_off_and_others_are_served(port: str, context: Context) -> None:
    """libzmq ends the connection where it can, else the process, which systemd begins anew."""
    addresses = free_addresses()
    kind = b"PUB" if port == "pub_port" else b"SUB"
    with as_unit(addresses, "LimitDATA=128M", "Restart=always", "RestartSec=100ms"):
        with raw_peer(getattr(addresses, port), kind) as raw, pytest.raises(ConnectionError):
            send_without_end(raw, kind)
        wait_for(lambda: show(UNIT, "ActiveState") == "active")
        assert_passes(addresses, context)


def send_without_end(raw: socket.socket, kind: bytes) -> None:
    """Parts of a message that never ends, or topics that have nothing in common: more than memory has room for."""
    for _ in range(20_000):
        raw.sendall(frame(b"x" * 100_000, more=True) if kind == b"PUB" else frame(b"\x01" + os.urandom(900)))


# Messages that a subscriber never reads, and subscriptions that come and go, which reach all publishers.
FLOOD = """
import itertools, sys, zmq
context = zmq.Context()
source, sink, fickle = context.socket(zmq.PUB), context.socket(zmq.SUB), context.socket(zmq.XSUB)
source.connect(sys.argv[1])
sink.connect(sys.argv[2])
sink.subscribe(b"")
fickle.connect(sys.argv[2])
for number in itertools.count():
    source.send_multipart([b"t", bytes(60_000)])
    fickle.send(b"%c%d" % (number // 1000 % 2, number % 1000))
"""


def test_the_manager_answers_while_its_bus_is_flooded(host: Host) -> None:
    wait_for(lambda: host.health()["event_bus"]["status"] == "running")
    bus = psutil.Process(int(show("coredinator-eventbus.service", "MainPID")))
    ports = [f"tcp://127.0.0.1:{port}" for port in (host.pub_port, host.sub_port)]
    flood = subprocess.Popen([sys.executable, "-c", FLOOD, *ports])
    try:
        before = busy_seconds(bus)
        wait_for(lambda: busy_seconds(bus) > before + 0.5, what="a flood")
        before, waited = busy_seconds(bus), list[float]()
        while busy_seconds(bus) < before + 1:
            assert flood.poll() is None
            answer = httpx.get(f"{host.api.base_url}/api/healthcheck", timeout=10)
            assert answer.json()["status"] == "healthy"
            waited.append(answer.elapsed.total_seconds())
    finally:
        flood.kill()
        flood.wait()
    assert statistics.median(waited) < 0.1


def busy_seconds(process: psutil.Process) -> float:
    """CPU time of a process."""
    times = process.cpu_times()
    return times.user + times.system


def test_the_managers_bus_is_watched_as_the_installed_one(host: Host) -> None:
    wait_for(lambda: host.health()["event_bus"]["status"] == "running")
    assert "WatchdogSec=20s\n" in Path("units/coredinator-eventbus.service").read_text()
    assert show("coredinator-eventbus.service", "WatchdogUSec") == "20s"


def test_the_managers_bus_has_the_limits_of_the_installed_one(host: Host) -> None:
    wait_for(lambda: host.health()["event_bus"]["status"] == "running")
    installed = Path("units/coredinator-eventbus.service").read_text()
    for limit, value in (("MemoryMax", "512M"), ("LimitDATA", "512M"), ("LimitNOFILE", "65536")):
        assert f"{limit}={value}\n" in installed
        assert show("coredinator-eventbus.service", limit) == value.replace("512M", str(512 * 2**20))
