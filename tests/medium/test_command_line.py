"""The three ways to start the manager, its flags and files, and how it ends when it cannot run."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from coredinator.app import listen
from tests.support.host import PROGRAM, Host, service_unit, show, systemctl, wait_for, workload_units

ROOT = Path(__file__).parent.parent.parent
WAYS = (
    PROGRAM,
    [sys.executable, str(ROOT / "coredinator" / "app.py")],
    [str(Path(sys.executable).with_name("coredinator"))],
)

LATE = "coredinator-late.service"


def run(*arguments: str, program: Sequence[str] = WAYS[0]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=30, check=False)


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize("way", WAYS, ids=["module", "file", "script"])
def test_each_way_serves(idle_host: Host, way: Sequence[str]) -> None:
    idle_host.program = way
    idle_host.launch()
    idle_host.start(idle_host.config("backwash"))
    assert idle_host.status("backwash")["state"] == "running"


@pytest.mark.parametrize("way", WAYS, ids=["module", "file", "script"])
def test_help_names_every_flag(way: Sequence[str]) -> None:
    done = run("--help", program=way)
    assert done.returncode == 0
    assert set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", done.stdout, re.MULTILINE)) == {
        "--base-path", "--port", "--host", "--log-file", "--log-level", "--no-console", "--reload",
        "--event-bus-host", "--event-bus-pub-port", "--event-bus-sub-port", "--system", "--user",
        "--state-dir", "--config", "--check-config", "--cors-origin", "--stable-period", "--version", "--help",
    }  # fmt: skip


def test_an_answer_does_not_wait_until_the_client_has_acknowledged_its_headers() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use_ends_with_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("--base-path", str(tmp_path), "--state-dir", str(tmp_path / "state"), "--port", port)
    assert_one_line(done, port, "in use")


def test_a_second_manager_on_the_same_port_ends_with_one_line_and_touches_nothing(host: Host) -> None:
    host.start(host.config("backwash"))
    pids, units = host.pids("backwash"), workload_units()
    bus = wait_for(lambda: show("coredinator-eventbus.service", "MainPID"))
    (host.folder / "second").mkdir()
    second = Host(host.folder / "second")
    second.port = host.port
    second.install("gate")
    second.settings(services={"gate": {}})
    done = run(*second.arguments())
    assert_one_line(done, str(host.port), "in use")
    assert done.returncode == os.EX_UNAVAILABLE
    assert show(service_unit("gate"), "LoadState") == "not-found"
    assert host.health()["status"] == "healthy"
    assert (host.pids("backwash"), workload_units()) == (pids, units)
    assert show("coredinator-eventbus.service", "MainPID") == bus


def test_a_base_path_that_is_a_file_ends_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = run("--base-path", str(file))
    assert_one_line(done, str(file), "not a folder")
    assert done.returncode == os.EX_CONFIG


def test_a_missing_base_path_ends_with_one_line_and_may_be_there_later(tmp_path: Path) -> None:
    flags = ("--base-path", str(tmp_path / "none"))
    done = run(*flags)
    assert_one_line(done, str(tmp_path / "none"), "does not exist")
    assert done.returncode == os.EX_TEMPFAIL
    checked = run(*flags, "--check-config")
    assert (checked.returncode, checked.stderr) == (os.EX_CONFIG, done.stderr)


def test_a_manager_whose_base_path_comes_late_is_started_again_by_systemd(idle_host: Host) -> None:
    late = idle_host.base_path.rename(idle_host.folder / "not mounted")
    unit = ROOT / "units" / "coredinator.service"
    lines = [line for line in unit.read_text().splitlines() if line.startswith(("Type=", "Restart", "StartLimit"))]
    properties = [f"--property={line}" for line in lines]
    command = ["systemd-run", "--user", "--no-block", "--collect", "--unit", LATE, *properties]
    subprocess.run([*command, "--", *idle_host.command()], check=True)
    try:
        wait_for(lambda: int(show(LATE, "NRestarts")) > 0, what="a second try")
        late.rename(idle_host.base_path)
        wait_for(lambda: show(LATE, "ActiveState") == "active", timeout=30, what="a manager that serves")
        assert idle_host.health()["service"] == "coredinator"
    finally:
        systemctl("stop", LATE)


def test_no_base_path_ends_with_one_line() -> None:
    assert_one_line(run(), "--base-path")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port: 99999\n", "port"),
        ("bse-path: /tmp\n", "bse-path"),
        ("port: [\n", "line 2"),
        ("- port\n", "mapping"),
        ("log-level: loud\n", "loud"),
        ("event-bus-pub-port: 5560\n", "5560"),
        ("event-bus-pub-port: '5561'\n", "event-bus-pub-port"),
        ("stable-period: .inf\n", "31536000"),
    ],
)
def test_a_bad_settings_file_ends_with_one_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "coredinator.yaml"
    file.write_text(text)
    done = run("--base-path", str(tmp_path), "--config", str(file))
    assert_one_line(done, words)
    assert done.returncode == os.EX_CONFIG


def test_a_state_folder_that_cannot_be_made_ends_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("--base-path", str(tmp_path), "--state-dir", str(tmp_path / "file" / "state"))
    assert_one_line(done, str(tmp_path / "file" / "state"))


def test_a_log_file_that_cannot_be_opened_ends_with_one_line_and_may_be_later(tmp_path: Path) -> None:
    log = str(tmp_path / "none" / "x.log")
    done = run("--base-path", str(tmp_path), "--state-dir", str(tmp_path / "s"), "--log-file", log)
    assert_one_line(done, log)
    assert done.returncode == os.EX_TEMPFAIL


def test_flags_win_over_the_settings_file(idle_host: Host) -> None:
    settings = idle_host.folder / "coredinator.yaml"
    settings.write_text(f"base-path: {json.dumps(str(idle_host.base_path))}\nport: 1\nlog-level: debug\n")
    given = {"--base-path", str(idle_host.base_path)}
    arguments = [argument for argument in idle_host.arguments() if argument not in given]
    idle_host.arguments = lambda: [*arguments, "--config", str(settings)]  # type: ignore[method-assign]
    idle_host.launch()
    assert idle_host.health()["service"] == "coredinator"


def test_the_log_file_holds_json_lines(idle_host: Host) -> None:
    log = idle_host.folder / "coredinator.log"
    idle_host.extra_flags = ["--log-file", str(log), "--no-console"]
    idle_host.launch()
    idle_host.start(idle_host.config("backwash"))

    def started() -> list[dict[str, str]]:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return [line for line in lines if line["event"] == "backwash-corerl started"]

    (line,) = wait_for(started)
    assert line["agent_id"] == "backwash"
    assert line["unit"] == "coredinator-agent@backwash.service"
    assert line["level"] == "info"
    assert "backwash" not in idle_host.log.read_text()


def test_answers_are_dated_as_time_goes_on(host: Host) -> None:
    def dated() -> datetime:
        return parsedate_to_datetime(host.api.get("/api/healthcheck").headers["Date"])

    first = dated()
    wait_for(lambda: dated() > first, what="a later date")
    assert abs(datetime.now(UTC) - dated()) < timedelta(seconds=30)


def test_sigterm_ends_the_manager_and_nothing_else(host: Host) -> None:
    host.start(host.config("backwash"))
    pids = host.pids("backwash")
    host.terminate()
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)


def test_reload_serves_again_after_a_change(tmp_path: Path, idle_host: Host) -> None:
    package = tmp_path / "checkout" / "coredinator"
    shutil.copytree(ROOT / "coredinator", package, ignore=shutil.ignore_patterns("__pycache__"))
    idle_host.program = [sys.executable, str(package / "app.py"), "--reload"]
    idle_host.launch()
    first = idle_host.health()["process_id"]
    with (package / "agent" / "status.py").open("a") as source:
        source.write("\n# changed\n")

    def served_by() -> int:
        try:
            return idle_host.health()["process_id"]
        except httpx.HTTPError:
            return first

    wait_for(lambda: served_by() != first, timeout=30)
