"""What happens to the state database while the manager runs happens to no agent and to no intent."""

import contextlib
import resource
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.host import Host, agent_unit, show, systemctl, wait_for, workload_units
from tests.support.scene import damage
from tests.support.world import World

DAMAGES = ("delete", "delete only the file", "cut", "halve", "overwrite")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.running(tmp_path) as running:
        running.do(running.write_config("backwash"))
        running.do(running.start("backwash"))
        running.settle()
        yield running


def intents(host: Host) -> dict[str, str]:
    """What a reader finds in the file, nothing while there is none to read."""
    uri = f"{(host.state_dir / 'coredinator.db').as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as reader:
            return dict(reader.execute("SELECT unit, intent FROM services WHERE kind = 'corerl'"))
    except sqlite3.Error:
        return {}


@pytest.mark.parametrize("way", DAMAGES)
def test_a_damaged_database_is_written_anew_while_the_manager_runs(world: World, way: str) -> None:
    host = world.host
    host.start(host.config("stopped"))
    host.stop("stopped")
    expected = {agent_unit("backwash"): "running", agent_unit("stopped"): "stopped"}
    wait_for(lambda: intents(host) == expected)
    before = host.pids("backwash")
    damage(host.state_dir / "coredinator.db", way)
    wait_for(lambda: intents(host) == expected, what="rows")
    host.kill()
    host.launch()
    assert host.api.get("/api/agents/").json() == ["backwash", "stopped"]
    assert host.status("stopped")["intended_state"] == "stopped"
    assert host.pids("backwash") == before


def test_a_full_disk_refuses_a_start_and_leaves_nothing_behind(world: World) -> None:
    host = world.host
    config = str(host.config("another"))
    world.do(world.fill_disk())
    answer = wait_for(lambda: refusal(host, config), what="refusal")
    assert "disk" in answer
    assert agent_unit("another") not in systemctl("list-units", "--all", "--plain")
    assert host.health()["status"] == "degraded"
    world.do(world.free_disk())
    wait_for(lambda: host.health()["status"] == "healthy")
    host.start(Path(config))
    host.wait_state("another", "running")


def refusal(host: Host, config: str) -> str | None:
    """The room that the file has left takes a few rows more."""
    host.api.post("/api/coreio/start", json={"config_path": config, "coreio_id": "filler"})
    answer = host.api.post("/api/agents/start", json={"config_path": config})
    if answer.status_code == 503:
        return str(answer.json()["detail"])
    host.api.post("/api/agents/another/stop")
    return None


def test_a_full_disk_keeps_no_controller_running(world: World) -> None:
    host = world.host
    world.do(world.fill_disk())
    answers = {host.api.post("/api/agents/backwash/stop").status_code for _ in range(5)}
    assert answers <= {200, 503}
    assert show(agent_unit("backwash"), "ActiveState") == "inactive"
    world.do(world.free_disk())
    wait_for(lambda: intents(host)[agent_unit("backwash")] == "stopped")
    assert host.status("backwash")["intended_state"] == "stopped"


def test_what_an_operator_wants_while_the_disk_is_full_is_written_down_later(world: World) -> None:
    host = world.host
    world.do(world.fill_disk())
    systemctl("stop", agent_unit("backwash"))
    wait_for(lambda: host.status("backwash")["intended_state"] == "stopped")
    world.do(world.free_disk())
    wait_for(lambda: intents(host)[agent_unit("backwash")] == "stopped")


def test_a_manager_on_a_full_disk_serves_or_says_in_one_line_why_not(world: World) -> None:
    before = world.host.pids("backwash")
    world.do(world.fill_disk(), world.end_manager("kill"), delays=[0, 0.1])
    world.launch()
    world.do(world.free_disk())
    if not world.up:
        world.launch()
    world.settle()
    assert world.host.pids("backwash") == before


def test_a_manager_on_a_read_only_disk_says_in_one_line_why_it_ends(world: World) -> None:
    before = world.host.pids("backwash")
    world.do(world.end_manager("kill"))
    world.do(world.protect_disk())
    world.launch()
    assert not world.up
    assert "Read-only file system" in world.host.log.read_text()
    assert show(agent_unit("backwash"), "MainPID") == str(before[0])
    world.do(world.free_disk())
    world.launch()
    world.settle()
    assert world.host.pids("backwash") == before


def test_what_is_wanted_runs_again_after_a_boot_with_a_full_disk(world: World) -> None:
    """Where the file cannot even be opened, the manager is started again by systemd until it can."""
    host = world.host
    world.do(world.end_manager("terminate"))
    systemctl("stop", *workload_units())
    (host.state_dir / "resume").touch()
    world.do(world.fill_disk())
    world.launch()
    if not world.up:
        world.do(world.free_disk())
        world.launch()
    host.wait_state("backwash", "running")
    world.do(world.free_disk())
    wait_for(lambda: not (host.state_dir / "resume").exists(), timeout=20)
    assert intents(host) == {agent_unit("backwash"): "running"}


def test_what_is_adopted_while_the_disk_refuses_is_written_down_later(world: World) -> None:
    host = world.host
    assert host.process is not None
    limits = resource.prlimit(host.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(host.process.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    unit = agent_unit("unknown")
    subprocess.run(["systemd-run", "--user", f"--unit={unit}", "sleep", "infinity"], check=True, capture_output=True)
    wait_for(lambda: host.api.get("/api/agents/").json() == ["backwash", "unknown"])
    wait_for(lambda: host.health()["status"] == "degraded")
    assert unit not in intents(host)
    resource.prlimit(host.process.pid, resource.RLIMIT_FSIZE, limits)
    wait_for(lambda: intents(host).get(unit) == "running")


def test_a_bus_that_accepts_and_says_nothing_holds_up_neither_the_api_nor_the_end(
    idle_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = idle_host.folder / "silent"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={path}")
        idle_host.launch()
        process = idle_host.process
        assert idle_host.health()["systemd"]["status"] == "unreachable"
        idle_host.terminate()
    assert process is not None
    assert process.returncode == -signal.SIGTERM
