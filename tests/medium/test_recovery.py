"""The supervisor dies, is replaced, loses its database: the agents do not notice."""

import contextlib
import shutil
import sqlite3
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.host import Host, agent_unit, bus_away, coreio_unit, kill, show, systemctl, wait_for, workload_units


def status_without_usage(host: Host, agent_id: str) -> dict[str, object]:
    status = host.status(agent_id)
    for service in status["service_statuses"].values():
        for key in ("memory_bytes", "cpu_seconds"):
            service.pop(key)
    return status


@pytest.mark.parametrize("way", ["kill", "terminate"])
def test_a_new_manager_finds_the_same_agents(host: Host, way: str) -> None:
    host.start(host.config("running"))
    host.start(host.config("stopped"))
    host.stop("stopped")
    before = [status_without_usage(host, name) for name in ("running", "stopped")]
    getattr(host, way)()
    host.launch()
    wait_for(lambda: host.status("running")["state"] == "running")
    after = [status_without_usage(host, name) for name in ("running", "stopped")]
    assert after == before
    assert host.api.get("/api/agents/").json() == ["running", "stopped"]


@pytest.mark.parametrize("name", ["backwash", "with space", "100%n", "ünïcode"])
def test_a_lost_database_is_rebuilt_from_systemd(host: Host, name: str) -> None:
    host.start(host.config(name), coreio_id="shared one")
    kill(host.corerl(name)["main_pid"])
    wait_for(lambda: host.corerl(name)["restarts"] == 1 and host.status(name)["state"] == "running")
    before = status_without_usage(host, name)
    host.kill()
    shutil.rmtree(host.state_dir)
    systemctl("daemon-reload")
    host.launch()
    wait_for(lambda: host.status(name)["state"] == "running")
    assert status_without_usage(host, name) == before


def test_an_odd_path_survives_reloads_restarts_and_the_loss_of_the_database(host: Host) -> None:
    folder = host.configs / "odd 100%n \"q\" 'x' \\b é {y}"
    folder.mkdir()
    config = folder / "backwash.yaml"
    config.write_text("agent_name: odd\n")
    program = host.base_path / "releases" / "linux-corerl-v1.0.0"
    program.write_text('#!/bin/sh\nprintf %s "$2" > "${2%/*}/seen"\nexec sleep infinity\n')
    seen = folder / "seen"
    host.start(config)
    wait_for(lambda: seen.exists() and seen.read_text() == str(config))
    seen.unlink()
    systemctl("daemon-reload")
    systemctl("restart", agent_unit("backwash"))
    wait_for(lambda: seen.exists() and seen.read_text() == str(config))
    host.kill()
    shutil.rmtree(host.state_dir)
    host.launch()
    wait_for(lambda: host.status("backwash")["state"] == "running")
    assert host.status("backwash")["config_path"] == str(config)
    assert host.corerl("backwash")["executable"] == str(program)


def test_a_damaged_database_is_set_aside_and_rebuilt(host: Host) -> None:
    host.start(host.config("backwash"))
    before = status_without_usage(host, "backwash")
    host.kill()
    for suffix in ("-wal", "-shm"):
        Path(f"{host.state_dir}/coredinator.db{suffix}").unlink(missing_ok=True)
    (host.state_dir / "coredinator.db").write_bytes(b"this is no database" * 1000)
    host.launch()
    wait_for(lambda: host.status("backwash")["state"] == "running")
    assert status_without_usage(host, "backwash") == before
    (aside,) = host.state_dir.glob("coredinator.db.damaged-*")
    assert aside.read_bytes().startswith(b"this is no database")
    assert "damaged" in host.log.read_text()


def test_a_locked_database_is_waited_for(host: Host) -> None:
    host.start(host.config("backwash"))
    before = host.pids("backwash")
    host.terminate()
    holder = sqlite3.connect(host.state_dir / "coredinator.db", isolation_level=None, check_same_thread=False)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(2.0, holder.close)
    release.start()
    host.launch()
    release.join()
    wait_for(lambda: host.status("backwash")["state"] == "running")
    assert host.pids("backwash") == before
    assert not list(host.state_dir.glob("*.damaged-*"))


def test_a_database_of_a_newer_version_ends_the_manager_with_one_line(host: Host) -> None:
    host.terminate()
    with sqlite3.connect(host.state_dir / "coredinator.db") as database:
        database.execute("PRAGMA user_version = 99")
    done = subprocess.run(host.command(), capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("coredinator:")]
    assert "99" in line
    assert "Traceback" not in done.stderr


def test_a_second_manager_on_the_same_state_folder_ends_with_one_line(host: Host) -> None:
    host.start(host.config("backwash"))
    before = host.pids("backwash")
    done = subprocess.run(host.command(), capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0
    assert str(host.state_dir) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert host.pids("backwash") == before


def test_an_operator_stop_while_the_manager_is_down_counts(host: Host) -> None:
    host.start(host.config("backwash"))
    host.kill()
    systemctl("stop", agent_unit("backwash"))
    host.launch()
    wait_for(lambda: host.status("backwash")["intended_state"] == "stopped")
    assert host.status("backwash")["state"] == "stopped"
    assert agent_unit("backwash") not in workload_units()


def test_a_start_that_was_cut_short_is_carried_out(host: Host) -> None:
    host.start(host.config("backwash"))
    host.kill()
    systemctl("stop", agent_unit("backwash"))
    with sqlite3.connect(host.state_dir / "coredinator.db") as database:
        database.execute("UPDATE services SET pending = 'start' WHERE kind = 'corerl'")
    host.launch()
    host.wait_state("backwash", "running")
    wait_for(lambda: show(agent_unit("backwash"), "ActiveState") == "active")


def test_a_stop_that_was_cut_short_is_carried_out(host: Host) -> None:
    host.start(host.config("backwash"))
    host.kill()
    with sqlite3.connect(host.state_dir / "coredinator.db") as database:
        database.execute("UPDATE services SET pending = 'stop', intent = 'stopped' WHERE kind = 'corerl'")
    host.launch()
    wait_for(lambda: show(agent_unit("backwash"), "ActiveState") == "inactive")
    assert host.status("backwash")["intended_state"] == "stopped"


def test_after_a_reboot_what_was_wanted_runs_and_what_was_stopped_does_not(host: Host) -> None:
    """A new run of systemd is simulated by another identity; tests/large boot real hosts."""
    for name in ("one", "two"):
        host.start(host.config(name))
    host.start(host.config("stopped"))
    host.stop("stopped")
    host.terminate()
    systemctl("stop", *workload_units())
    with sqlite3.connect(host.state_dir / "coredinator.db") as database:
        database.execute("UPDATE meta SET value = 'another boot' WHERE key = 'systemd'")
    host.launch()
    for name in ("one", "two"):
        host.wait_state(name, "running")
        assert host.coreio(name)["since"] <= host.corerl(name)["since"]
    assert host.status("stopped")["state"] == "stopped"
    assert agent_unit("stopped") not in workload_units()


def test_a_resume_file_makes_a_start_like_one_after_a_reboot(host: Host) -> None:
    host.start(host.config("backwash"))
    host.terminate()
    systemctl("stop", *workload_units())
    (host.state_dir / "resume").touch()
    host.launch()
    host.wait_state("backwash", "running")
    assert not (host.state_dir / "resume").exists()


@pytest.mark.parametrize("damage", ["vanished", "broken"])
def test_one_unusable_config_keeps_nobody_else_from_starting(host: Host, damage: str) -> None:
    bad = host.config("bad")
    host.start(bad)
    host.start(host.config("good"))
    host.terminate()
    systemctl("stop", *workload_units())
    if damage == "vanished":
        bad.unlink()
    else:
        bad.write_text("a: [\n")
    (host.state_dir / "resume").touch()
    host.launch()
    host.wait_state("good", "running")
    status = host.wait_state("bad", "failed")
    assert str(bad) in status["service_statuses"]["corerl"]["error"]


@pytest.mark.parametrize("verb", ["daemon-reload", "daemon-reexec"])
def test_systemd_reloads_and_nothing_happens_to_the_agents(host: Host, verb: str) -> None:
    host.start(host.config("backwash"))
    before = status_without_usage(host, "backwash")
    for _ in range(3):
        systemctl(verb)
    pid = host.corerl("backwash")["main_pid"]
    kill(pid)
    wait_for(lambda: host.corerl("backwash")["restarts"] == 1, what="change seen after the reload")
    assert host.status("backwash")["intended_state"] == "running"
    assert host.coreio("backwash")["main_pid"] == before["service_statuses"]["coreio"]["main_pid"]  # type: ignore[index]
    host.start(host.config("another"))
    host.stop("another")
    assert show(agent_unit("another"), "ActiveState") == "inactive"


def test_the_manager_outlives_the_bus(host: Host) -> None:
    host.start(host.config("backwash"))
    before = host.pids("backwash")
    kill(int(show("dbus.service", "MainPID")))
    wait_for(lambda: host.health()["systemd"]["status"] == "unreachable" or bus_is_back(host), what="bus noticed")
    # Its socket starts the bus again for whoever connects.
    wait_for(lambda: host.health()["systemd"]["status"] == "connected", timeout=20)
    assert host.pids("backwash") == before
    kill(host.corerl("backwash")["main_pid"])
    wait_for(lambda: host.corerl("backwash")["restarts"] == 1)
    host.start(host.config("another"))
    host.wait_state("another", "running")


def bus_is_back(host: Host) -> bool:
    return host.log.read_text().count("connected to the user systemd") > 1


def test_requests_get_503_while_the_bus_is_away(host: Host) -> None:
    host.start(host.config("backwash"))
    with bus_away():
        wait_for(lambda: host.health()["systemd"]["status"] == "unreachable")
        config = host.config("another")
        answer = host.api.post("/api/agents/start", json={"config_path": str(config)})
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert "systemd" in answer.json()["detail"]
        assert host.api.post("/api/agents/backwash/stop").status_code == 503
        assert host.status("backwash")["intended_state"] == "running"
        assert host.api.get("/api/agents/").json() == ["backwash"]
        assert host.health()["status"] == "degraded"
    wait_for(lambda: host.health()["systemd"]["status"] == "connected", timeout=20)
    assert agent_unit("another") not in workload_units()


def test_a_row_that_makes_no_sense_is_left_out_and_said(host: Host) -> None:
    host.start(host.config("backwash"))
    host.start(host.config("odd"))
    host.terminate()
    with contextlib.closing(sqlite3.connect(host.state_dir / "coredinator.db", autocommit=True)) as database:
        database.execute("UPDATE services SET limits = '{\"memory_max\": \"512M\"}' WHERE instance = 'odd'")
        database.execute("UPDATE services SET drop_ins = '5' WHERE instance = 'odd-coreio'")
    host.launch()
    assert host.log.read_text().count("left out the record of unit") == 2
    host.wait_state("backwash", "running")
    host.wait_state("odd", "running")  # adopted, since it runs


def test_what_is_asked_before_systemd_is_met_is_503_and_changes_nothing(host: Host) -> None:
    host.start(host.config("backwash"))
    before = host.pids("backwash")
    with bus_away():
        host.kill()
        host.launch()
        assert host.api.post("/api/agents/backwash/stop").status_code == 503
        assert host.api.delete("/api/agents/backwash").status_code == 503
    wait_for(lambda: host.health()["systemd"]["status"] == "connected", timeout=20)
    host.wait_state("backwash", "running")
    assert host.status("backwash")["intended_state"] == "running"
    assert host.pids("backwash") == before


def test_a_stopped_unit_that_nobody_holds_or_knows_any_more_is_let_go(host: Host) -> None:
    host.start(host.config("backwash"))
    host.stop("backwash")
    with bus_away():  # which takes the references along, and systemd does not look for whom it keeps the unit
        host.kill()
    shutil.rmtree(host.state_dir)
    host.launch()
    wait_for(lambda: agent_unit("backwash") not in workload_units(), what="the unit gone")
    wait_for(lambda: host.api.get("/api/agents/").json() == [], what="the agent gone")


def test_a_manager_without_a_systemd_serves_and_says_so(idle_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/no/such/bus")
    idle_host.launch()
    health = idle_host.health()
    assert health["status"] == "degraded"
    assert health["systemd"]["status"] == "unreachable"
    answer = idle_host.api.post("/api/agents/start", json={"config_path": str(idle_host.config("backwash"))})
    assert answer.status_code == 503
    assert idle_host.api.get("/api/agents/").json() == []


def test_a_manager_killed_in_the_middle_of_many_starts_loses_none(host: Host) -> None:
    names = [f"agent{number}" for number in range(12)]
    accepted: list[str] = []

    def start(name: str) -> None:
        try:
            accepted.append(host.start(host.config(name)))
        except Exception:  # noqa: BLE001  # the manager dies under it
            return

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(start, name) for name in names]
        wait_for(lambda: len(accepted) >= 3)
        host.kill()
        for future in futures:
            future.result()
    host.launch()
    for name in accepted:
        host.wait_state(name, "running")
    for name in host.api.get("/api/agents/").json():
        host.wait_state(name, "running")
        assert int(show(agent_unit(name), "MainPID")) == host.corerl(name)["main_pid"]


def test_the_event_bus_outlives_the_manager(host: Host) -> None:
    wait_for(lambda: host.health()["event_bus"]["status"] == "running")
    pid = show("coredinator-eventbus.service", "MainPID")
    host.kill()
    host.launch()
    wait_for(lambda: host.health()["event_bus"]["status"] == "running")
    assert show("coredinator-eventbus.service", "MainPID") == pid


def test_a_coreio_stopped_for_good_is_not_adopted_again(host: Host) -> None:
    host.start(host.config("backwash"))
    host.api.post("/api/coreio/backwash-coreio/stop")
    host.kill()
    host.launch()
    assert host.api.get("/api/coreio/").json() == {"coreio_services": []}
    assert coreio_unit("backwash-coreio") not in workload_units()
