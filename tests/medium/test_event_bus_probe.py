"""The sign of life that feeds the watchdog."""

import threading
from pathlib import Path

import pytest
import zmq

from coredinator.event_bus import proxy as proxy_module
from coredinator.event_bus.proxy import Proxy
from tests.support.bus import MANY_TOPICS, Context, free_addresses, publisher, running_bus, subscriber

pytestmark = pytest.mark.timeout(60)


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


def test_a_subscriber_of_everything_never_sees_the_probe(tmp_path: Path, context: Context) -> None:
    with running_bus(tmp_path, watchdog_usec=200_000) as bus:
        sink = subscriber(context, bus.addresses, b"")
        source = publisher(context, bus.addresses, b"")
        for _ in range(5):
            assert bus.notification() == "WATCHDOG=1"
        source.send_multipart([b"last", b"{}"])
        assert sink.poll(5000)
        assert sink.recv_multipart() == [b"last", b"{}"]
