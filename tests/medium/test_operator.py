"""What an operator does with systemctl is as good as a request."""

import subprocess

import pytest

from tests.support.host import (
    CRASHER,
    Host,
    Subscriber,
    agent_unit,
    coreio_unit,
    kill,
    service_unit,
    show,
    systemctl,
    wait_for,
)

STOPS_WITH_ERROR = "#!/bin/sh\ntrap 'exit 1' TERM\nwhile :; do sleep 0.05; done\n"


def test_systemctl_stop_is_a_stop(host: Host, events: Subscriber) -> None:
    host.start(host.config("backwash"))
    systemctl("stop", agent_unit("backwash"))
    wait_for(lambda: host.status("backwash")["intended_state"] == "stopped")
    assert host.status("backwash")["state"] == "stopped"
    events.wait_for("agent.stopped", agent_unit("backwash"))
    history = host.api.get("/api/agents/backwash/history").json()
    assert any("operator" in line["cause"] for line in history)


def test_systemctl_start_is_a_start(host: Host) -> None:
    host.start(host.config("backwash"))
    host.stop("backwash")
    systemctl("start", agent_unit("backwash"))
    wait_for(lambda: host.status("backwash")["intended_state"] == "running")
    host.wait_state("backwash", "running")
    assert host.corerl("backwash")["main_pid"] == int(show(agent_unit("backwash"), "MainPID"))


def test_systemctl_restart_keeps_the_intent(host: Host) -> None:
    host.start(host.config("backwash"))
    pid = host.corerl("backwash")["main_pid"]
    systemctl("restart", agent_unit("backwash"))
    wait_for(lambda: host.corerl("backwash")["main_pid"] not in {None, pid})
    host.wait_state("backwash", "running")
    history = host.api.get("/api/agents/backwash/history").json()
    assert not any("operator" in line["cause"] for line in history)


def test_a_process_that_ends_with_an_error_when_told_to_stop_is_stopped(host: Host) -> None:
    host.install("corerl", script=STOPS_WITH_ERROR)
    host.start(host.config("backwash"))
    systemctl("stop", agent_unit("backwash"))
    wait_for(lambda: host.status("backwash")["intended_state"] == "stopped")
    assert host.status("backwash")["state"] == "stopped"
    host.start(host.config("backwash"))
    host.wait_state("backwash", "running")
    host.stop("backwash")
    assert host.corerl("backwash")["state"] == "stopped"


def test_a_stop_between_two_tries_of_a_service_that_may_end_is_a_stop(idle_host: Host) -> None:
    idle_host.install("report", script=CRASHER)
    idle_host.settings(services={"report": {"restart": "on-failure"}})
    idle_host.launch()
    unit = service_unit("report")
    wait_for(lambda: show(unit, "SubState") == "auto-restart", what="a pause between two tries")
    systemctl("stop", unit)
    wait_for(lambda: idle_host.service("report")["intended_state"] == "stopped", what="the stop")
    assert idle_host.service("report")["state"] == "stopped"


def test_stopping_the_slice_stops_all(host: Host) -> None:
    host.start(host.config("backwash"))
    systemctl("stop", "coredinator.slice")
    wait_for(lambda: host.status("backwash")["intended_state"] == "stopped")
    assert host.coreio("backwash")["state"] == "stopped"


def test_systemctl_kill_is_a_crash(host: Host) -> None:
    host.start(host.config("backwash"))
    systemctl("kill", "--signal=SIGKILL", agent_unit("backwash"))
    wait_for(lambda: host.corerl("backwash")["restarts"] == 1)
    host.wait_state("backwash", "running")
    assert host.status("backwash")["intended_state"] == "running"


def test_a_drop_in_shows_in_the_status(host: Host, request: pytest.FixtureRequest) -> None:
    runtime = show("--", "UnitPath").split()
    folder = next(path for path in runtime if path.endswith("/user.control") or "/run/" in path)
    drop_in = host.folder.joinpath(folder, "coredinator-agent@.service.d", "50-limits.conf")
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    request.addfinalizer(lambda: systemctl("daemon-reload"))
    request.addfinalizer(drop_in.unlink)
    drop_in.write_text("[Service]\nNice=5\n")
    systemctl("daemon-reload")
    host.start(host.config("backwash"))
    wait_for(lambda: host.corerl("backwash")["drop_ins"] == [str(drop_in)])
    assert show(agent_unit("backwash"), "Nice") == "5"


def test_a_transient_unit_made_by_hand_is_adopted(host: Host) -> None:
    program = host.base_path / "releases" / "linux-coreio-v1.0.0"
    config = host.config("manual")
    unit = coreio_unit("manual")
    done = systemctl_run(unit, str(program), "--config-name", str(config))
    assert done == 0
    wait_for(lambda: host.api.get("/api/coreio/manual/status").is_success)
    status = host.api.get("/api/coreio/manual/status").json()["status"]
    assert status["state"] == "running"
    assert status["config_path"] == str(config)
    assert status["version"] == "1.0.0"
    assert status["intended_state"] == "running"


def systemctl_run(unit: str, *command: str) -> int:
    return subprocess.run(["systemd-run", "--user", "--unit", unit, "--", *command], check=False).returncode


def test_a_crash_while_the_manager_is_down_is_only_a_crash(host: Host) -> None:
    host.start(host.config("backwash"))
    pid = host.corerl("backwash")["main_pid"]
    host.kill()
    kill(pid)
    wait_for(lambda: show(agent_unit("backwash"), "NRestarts") == "1")
    host.launch()
    host.wait_state("backwash", "running")
    assert host.corerl("backwash")["restarts"] == 1
    assert host.status("backwash")["intended_state"] == "running"
