"""Addresses of the event bus, and its command line."""

from pathlib import Path

import pytest

from coredinator.errors import SettingsError
from coredinator.event_bus.addresses import BusAddresses
from coredinator.event_bus.proxy import parse_addresses


@pytest.mark.parametrize(
    ("host", "bound", "reachable"),
    [
        ("*", "tcp://*:5559", "tcp://localhost:5559"),
        ("0.0.0.0", "tcp://0.0.0.0:5559", "tcp://localhost:5559"),  # noqa: S104
        ("::", "tcp://[::]:5559", "tcp://localhost:5559"),
        ("127.0.0.1", "tcp://127.0.0.1:5559", "tcp://127.0.0.1:5559"),
        ("::1", "tcp://[::1]:5559", "tcp://[::1]:5559"),
        ("plant.example", "tcp://plant.example:5559", "tcp://plant.example:5559"),
    ],
)
def test_addresses(host: str, bound: str, reachable: str) -> None:
    addresses = BusAddresses(host, 5559, 5560)
    assert addresses.xsub_addr == bound
    assert addresses.publisher_endpoint == reachable
    assert addresses.xpub_addr == bound.replace("5559", "5560")
    assert addresses.subscriber_endpoint == reachable.replace("5559", "5560")


def test_the_settings_file_is_the_managers_and_flags_win(tmp_path: Path) -> None:
    file = tmp_path / "coredinator.yaml"
    file.write_text("base-path: /opt\nevent-bus-host: 127.0.0.1\nevent-bus-pub-port: 7001\n")
    assert parse_addresses(["--config", str(file), "--sub-port", "7002"]) == BusAddresses("127.0.0.1", 7001, 7002)


@pytest.mark.parametrize("text", ["event-bus-pub-port: many\n", "event-bus-host: 5\n", "event-bus-sub-port: true\n"])
def test_bad_values_in_the_file_are_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "coredinator.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match="event bus"):
        parse_addresses(["--config", str(file)])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="none"):
        parse_addresses(["--config", str(tmp_path / "none.yaml")])
