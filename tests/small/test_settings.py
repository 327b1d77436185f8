"""Flags, the settings file, and what is said of wrong ones."""

from pathlib import Path

import pytest

from coredinator.errors import PathUnavailable, SettingsError
from coredinator.event_bus.proxy import parse_addresses
from coredinator.logs import LogSettings, set_up_logging
from coredinator.settings import default_state_dir, parse_settings
from coredinator.systemd import Scope


def test_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    settings = parse_settings(["--base-path", str(tmp_path), "--user"])
    assert (settings.host, settings.port) == ("127.0.0.1", 7000)
    assert (settings.event_bus_host, settings.event_bus_pub_port, settings.event_bus_sub_port) == ("*", 5559, 5560)
    assert settings.state_dir == tmp_path / "xdg" / "coredinator"
    assert settings.scope is Scope.USER
    assert settings.cors_origin == ()
    assert settings.stable_period == 600


def test_systemd_names_the_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/coredinator:/var/lib/other")
    assert default_state_dir() == Path("/var/lib/coredinator")


def test_a_relative_base_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_settings(["--base-path", "."]).base_path == tmp_path


def test_every_key_of_the_file_and_flags_win(tmp_path: Path) -> None:
    file = tmp_path / "coredinator.yaml"
    file.write_text(
        f"base-path: '{tmp_path}'\nport: 7100\nhost: '::1'\ncors-origin: https://a.example\n"
        "event-bus-host: 127.0.0.1\nlog-level: WARNING\nscope: system\nstable-period: 5\n"
    )
    settings = parse_settings(["--config", str(file), "--port", "7200"])
    assert (settings.host, settings.port, settings.log_level) == ("::1", 7200, "warning")
    assert settings.cors_origin == ("https://a.example",)
    assert settings.scope is Scope.SYSTEM


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--port", "0"], "--port"),
        (["--port", "70000"], "--port"),
        (["--host", ""], "--host"),
        (["--event-bus-pub-port", "7000"], "both 7000"),
        (["--stable-period", "0.01"], "--stable-period: .* 0.1"),
        (["--stable-period", "31536001"], "--stable-period: .* 31536000"),
        (["--stable-period", "inf"], "--stable-period: .* 31536000"),
        (["--stable-period", "nan"], "--stable-period: .* 31536000"),
    ],
)
def test_bad_flags_are_named(tmp_path: Path, flags: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        parse_settings(["--base-path", str(tmp_path), *flags])


def test_a_base_path_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "\udcff"
    folder.mkdir()
    with pytest.raises(SettingsError, match="UTF-8"):
        parse_settings(["--base-path", str(folder)])


def test_a_base_path_that_is_not_there_may_come_and_one_that_is_no_folder_stays_wrong(tmp_path: Path) -> None:
    path = tmp_path / "{releases}"
    path.symlink_to(tmp_path / "not yet")
    with pytest.raises(PathUnavailable, match=r"--base-path: .*/\{releases\} does not exist"):
        parse_settings(["--base-path", str(path)])
    (tmp_path / "not yet").touch()
    with pytest.raises(SettingsError, match="not a folder") as raised:
        parse_settings(["--base-path", str(path)])
    assert raised.type is SettingsError


@pytest.mark.parametrize(
    ("text", "words"),
    [("port: 0\n", "--port"), ("bse-path: /\n", "unknown keys"), ("cors-origin: 5\n", "--cors-origin")],
)
def test_what_else_is_wrong_outweighs_a_missing_base_path(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "coredinator.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        parse_settings(["--config", str(file), "--base-path", str(tmp_path / "none")])
    assert raised.type is SettingsError
    assert [word for word in (words, "does not exist") if word not in str(raised.value)] == []


def test_a_log_file_that_cannot_be_opened_may_be_later(tmp_path: Path) -> None:
    with pytest.raises(PathUnavailable, match=r"x\.log cannot be opened: No such file"):
        set_up_logging(LogSettings("info", tmp_path / "none" / "x.log", console=False))


@pytest.mark.parametrize("key", ["port", "event-bus-pub-port", "event-bus-sub-port"])
@pytest.mark.parametrize("value", ["'7001'", "7001.0", "true", "null", "0", "65536", "1e999"])
def test_a_port_in_the_file_is_an_integer_for_the_manager_and_its_bus(tmp_path: Path, key: str, value: str) -> None:
    file = tmp_path / "coredinator.yaml"
    file.write_text(f"base-path: '{tmp_path}'\n{key}: {value}\n")
    with pytest.raises(SettingsError, match=f"--{key}: "):
        parse_settings(["--config", str(file)])
    if key.startswith("event-bus"):
        with pytest.raises(SettingsError, match="is not a port"):
            parse_addresses(["--config", str(file)])


@pytest.mark.parametrize("value", [".inf", ".nan", "1.0e+300", "31536001"])
def test_a_stable_period_in_the_file_is_a_year_at_most(tmp_path: Path, value: str) -> None:
    file = tmp_path / "coredinator.yaml"
    file.write_text(f"base-path: '{tmp_path}'\nstable-period: {value}\n")
    with pytest.raises(SettingsError, match=r"--stable-period: .* 31536000"):
        parse_settings(["--config", str(file)])


@pytest.mark.parametrize(
    "flags", [["--no-such-flag"], ["--port", "x"], ["--user", "--system"], ["--log-level", "loud"]]
)
def test_argparse_refuses_the_rest(flags: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse_settings(flags)
