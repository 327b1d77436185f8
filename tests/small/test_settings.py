"""Flags, the settings file, and what is said of wrong ones."""

from pathlib import Path

import pytest

from coredinator.errors import SettingsError
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
        (["--stable-period", "0"], "--stable-period"),
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


@pytest.mark.parametrize(
    "flags", [["--no-such-flag"], ["--port", "x"], ["--user", "--system"], ["--log-level", "loud"]]
)
def test_argparse_refuses_the_rest(flags: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse_settings(flags)
