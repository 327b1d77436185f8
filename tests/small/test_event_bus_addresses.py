"""Addresses of the event bus, and its command line."""

from pathlib import Path

import pytest

from coredinator.errors import SettingsError
from coredinator.event_bus.addresses import BusAddresses
from coredinator.event_bus.proxy import parse_addresses
from coredinator.settings import Settings
from coredinator.settings_file import SETTINGS_KEYS


@pytest.mark.parametrize(
    ("host", "bound", "reachable"),
    [
        ("*", "tcp://*:5559", "tcp://localhost:5559"),
        ("0.0.0.0", "tcp://0.0.0.0:5559", "tcp://127.0.0.1:5559"),  # noqa: S104
        ("::", "tcp://[::]:5559", "tcp://localhost:5559"),
        ("127.0.0.1", "tcp://127.0.0.1:5559", "tcp://127.0.0.1:5559"),
        ("::1", "tcp://[::1]:5559", "tcp://[::1]:5559"),
        ("[::]", "tcp://[::]:5559", "tcp://localhost:5559"),
        ("[fe80::1]", "tcp://[fe80::1]:5559", "tcp://[fe80::1]:5559"),
        ("plant.example", "tcp://plant.example:5559", "tcp://plant.example:5559"),
    ],
)
def test_addresses(host: str, bound: str, reachable: str) -> None:
    addresses = BusAddresses(host, 5559, 5560)
    assert addresses.xsub_addr == bound
    assert addresses.publisher_endpoint == reachable
    assert addresses.xpub_addr == bound.replace("5559", "5560")
    assert addresses.subscriber_endpoint == reachable.replace("5559", "5560")


def test_without_flags_it_is_the_documented_bus() -> None:
    assert parse_addresses([]) == BusAddresses("*", 5559, 5560)


def test_flags_set_everything() -> None:
    flags = ["--host", "::1", "--pub-port", "1", "--sub-port", "65535"]
    assert parse_addresses(flags) == BusAddresses("::1", 1, 65535)


def test_both_spellings_of_a_key_are_read(tmp_path: Path) -> None:
    file = tmp_path / "coredinator.yaml"
    file.write_text("event_bus_pub_port: 7001\nevent-bus-sub-port: 7002\n")
    assert parse_addresses(["--config", str(file)]) == BusAddresses("*", 7001, 7002)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--pub-port", "0"], "port 0 "),
        (["--sub-port", "65536"], "port 65536 "),
        (["--pub-port", "-1"], "port -1 "),
        (["--pub-port", "5560"], "share port 5560"),
        (["--host", ""], "host ''"),
    ],
)
def test_bad_flags_are_named(flags: list[str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        parse_addresses(flags)


@pytest.mark.parametrize("flags", [["--pub-port", "many"], ["--pub", "7001"], ["--nonsense"]])
def test_what_is_no_flag_ends_with_the_usage(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_addresses(flags)
    assert ended.value.code == 2
    assert "usage: coredinator-eventbus" in capsys.readouterr().err


def test_the_settings_file_is_the_managers_and_flags_win(tmp_path: Path) -> None:
    file = tmp_path / "coredinator.yaml"
    file.write_text("base-path: /opt\nevent-bus-host: 127.0.0.1\nevent-bus-pub-port: 7001\n")
    assert parse_addresses(["--config", str(file), "--sub-port", "7002"]) == BusAddresses("127.0.0.1", 7001, 7002)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("event-bus-pub-port: many\n", "event bus port 'many'"),
        ("event-bus-host: 5\n", "event bus host 5"),
        ("event-bus-sub-port: true\n", "event bus port True"),
        ("event-bus-sub-port: 5559\n", "share port 5559"),
        ("event-bus-sub-port: [\n", "coredinator.yaml"),
        ("- event-bus-sub-port\n", "coredinator.yaml"),
        ("event-bus-hots: 127.0.0.1\n", "unknown keys: event-bus-hots"),
    ],
)
def test_bad_values_in_the_file_are_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "coredinator.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=named):
        parse_addresses(["--config", str(file)])


def test_every_key_of_the_managers_is_known() -> None:
    assert {field.alias for field in Settings.model_fields.values()} == SETTINGS_KEYS


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="none"):
        parse_addresses(["--config", str(tmp_path / "none.yaml")])
