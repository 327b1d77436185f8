"""The manager's publisher: it reaches the bus, and never waits for it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import zmq

from coredinator.event_bus.publisher import Publisher
from tests.support.bus import Bus, Context, assert_forwards, command, running_bus, subscriber
from tests.support.host import free_port, wait_for

PUBLISH_FOREVER = """
import sys, time
from coredinator.event_bus.publisher import Publisher
publisher = Publisher(sys.argv[1])
while True:
    publisher.publish("t", {"from": "another process"})
    time.sleep(0.01)
"""


pytestmark = pytest.mark.timeout(60)


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


def test_a_publisher_that_dies_takes_nobody_with_it(bus: Bus, context: Context) -> None:
    sink = subscriber(context, bus.addresses, b"t")
    doomed = subprocess.Popen([sys.executable, "-c", PUBLISH_FOREVER, bus.addresses.publisher_endpoint])
    try:
        assert sink.poll(10_000)
    finally:
        doomed.kill()
        doomed.wait()
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
