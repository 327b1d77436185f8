"""One-off microservices: declared in the settings file, supervised like an agent's services."""

import pytest

from tests.support.host import CRASHER, Host, Subscriber, kill, service_unit, show, systemctl, wait_for, workload_units

TELEMETRY = service_unit("coretelemetry")
SAYS = '#!/bin/sh\necho "level $LEVEL, arguments $*"\nexec sleep infinity\n'
FINISHES = "#!/bin/sh\nexit 0\n"


@pytest.fixture
def declared(idle_host: Host) -> Host:
    """A host whose settings file declares two services, one of them started by hand only."""
    host = idle_host
    host.install("coretelemetry")
    host.install("coregateway")
    host.settings(
        services={
            "coretelemetry": {"config": str(host.config("telemetry")), "limits": {"memory-max": "256M"}},
            "coregateway": {"autostart": False},
        }
    )
    host.launch()
    host.wait_service("coretelemetry", "running")
    return host


def test_a_declared_service_starts_with_the_manager_as_a_unit(declared: Host) -> None:
    # What is set at the start of a unit is read a moment after it is seen to run.
    wait_for(lambda: declared.service("coretelemetry")["limits"], what="limits")
    status = declared.service("coretelemetry")
    assert status["unit"] == TELEMETRY
    assert status["main_pid"] == int(show(TELEMETRY, "MainPID"))
    assert (status["intended_state"], status["version"]) == ("running", "1.0.0")
    assert status["limits"]["memory_max"] == 256 * 1024**2
    assert show(TELEMETRY, "Slice") == "coredinator.slice"
    assert f"--config-name {declared.configs / 'telemetry.yaml'} ;" in show(TELEMETRY, "ExecStart")


def test_all_declared_services_are_listed_started_or_not(declared: Host) -> None:
    services = declared.api.get("/api/services/").json()["services"]
    found = [(line["name"], line["declared"], line["autostart"], line["status"]["state"]) for line in services]
    assert found == [("coregateway", True, False, "stopped"), ("coretelemetry", True, True, "running")]
    assert workload_units() == [TELEMETRY]


def test_start_stop_and_restart_through_the_api(declared: Host) -> None:
    started = declared.post("/api/services/coregateway/start")
    assert (started["name"], started["status"]["state"]) == ("coregateway", "running")
    assert declared.post("/api/services/coregateway/start")["status"]["main_pid"] == started["status"]["main_pid"]
    restarted = declared.post("/api/services/coregateway/restart")["status"]
    assert restarted["state"] == "running"
    assert restarted["main_pid"] != started["status"]["main_pid"]
    declared.post("/api/services/coregateway/stop")
    stopped = declared.service("coregateway")
    assert (stopped["state"], stopped["intended_state"]) == ("stopped", "stopped")


def test_a_restart_starts_what_was_never_started(declared: Host) -> None:
    assert declared.post("/api/services/coregateway/restart")["status"]["state"] == "running"


def test_services_run_on_without_the_manager_and_are_found_again(declared: Host) -> None:
    pid = declared.service("coretelemetry")["main_pid"]
    declared.kill()
    declared.launch()
    assert declared.service("coretelemetry")["main_pid"] == pid


def test_a_service_is_adopted_when_the_database_is_gone(declared: Host) -> None:
    pid = declared.service("coretelemetry")["main_pid"]
    declared.kill()
    (declared.state_dir / "coredinator.db").unlink()
    declared.launch()
    status = declared.wait_service("coretelemetry", "running")
    assert (status["main_pid"], status["intended_state"]) == (pid, "running")


@pytest.mark.parametrize("who", ["api", "operator"])
def test_a_stop_is_respected_by_the_next_manager_and_boot(declared: Host, who: str) -> None:
    if who == "api":
        declared.post("/api/services/coretelemetry/stop")
    else:
        systemctl("stop", TELEMETRY)
    wait_for(lambda: declared.service("coretelemetry")["intended_state"] == "stopped")
    declared.terminate()
    (declared.state_dir / "resume").touch()  # as after a boot
    declared.launch()
    wait_for(lambda: not (declared.state_dir / "resume").exists())
    assert declared.service("coretelemetry")["state"] == "stopped"


def test_a_declared_service_that_is_deleted_is_as_new_and_starts_with_the_next_manager(declared: Host) -> None:
    declared.post("/api/services/coretelemetry/stop")
    assert declared.api.delete("/api/services/coretelemetry").status_code == 200
    assert declared.api.get("/api/services/coretelemetry/status").json()["autostart"]
    assert declared.service("coretelemetry")["state"] == "stopped"
    wait_for(lambda: workload_units() == [])
    declared.terminate()
    declared.launch()
    assert declared.wait_service("coretelemetry", "running")["intended_state"] == "running"
    assert workload_units() == [TELEMETRY]


def test_after_a_boot_a_wanted_service_runs_again(declared: Host) -> None:
    declared.post("/api/services/coregateway/start")
    declared.terminate()
    systemctl("stop", service_unit("coregateway"), TELEMETRY)
    (declared.state_dir / "resume").touch()
    declared.launch()
    declared.wait_service("coretelemetry", "running")
    declared.wait_service("coregateway", "running")


def test_a_crash_is_mended_and_told(declared: Host) -> None:
    events = Subscriber(declared.sub_port)
    try:
        pid = declared.service("coretelemetry")["main_pid"]
        kill(pid)
        wait_for(lambda: declared.service("coretelemetry")["restarts"] == 1)
        declared.wait_service("coretelemetry", "running")
        declared.post("/api/services/coretelemetry/stop")
        assert events.wait_for("service.stopped", TELEMETRY)["agent_id"] == "coretelemetry"
    finally:
        events.close()
    history = declared.api.get("/api/services/coretelemetry/history").json()
    assert [(line["state"], line["cause"]) for line in history][::-1][:3] == [
        ("starting", "request"), ("running", "request"), ("failed", "systemd"),
    ]  # fmt: skip


def test_arguments_environment_and_pattern_are_taken_from_the_declaration(idle_host: Host) -> None:
    program = idle_host.install("odd-name", "v2.3.4", SAYS)
    idle_host.install("odd-name", "v2.3.3", SAYS)
    idle_host.settings(
        services={
            "gate": {
                "executable": "linux-odd-*", "arguments": ["--level", "a b", "50%"], "environment": {"LEVEL": "x y %n"},
            }
        }
    )  # fmt: skip
    idle_host.launch()
    status = idle_host.wait_service("gate", "running")
    assert (status["executable"], status["version"]) == (str(program), "2.3.4")
    pid = status["main_pid"]
    wait_for(lambda: _file(pid, "comm") == ["sleep\n"])
    assert "LEVEL=x y %n" in _file(pid, "environ")
    assert f"argv[]={program} --level a b 50% ;" in show(service_unit("gate"), "ExecStart")


def _file(pid: int, name: str) -> list[str]:
    with open(f"/proc/{pid}/{name}") as file:  # noqa: PTH123  # procfs
        return file.read().split("\0")


@pytest.mark.parametrize(("policy", "state"), [("no", "stopped"), ("on-failure", "stopped"), ("always", "failed")])
def test_a_service_that_ends_by_itself_is_treated_as_its_policy_says(idle_host: Host, policy: str, state: str) -> None:
    idle_host.install("once", script=FINISHES)
    idle_host.settings(services={"once": {"restart": policy}})
    idle_host.launch()

    def ended() -> bool:
        lines = idle_host.api.get("/api/services/once/history").json()
        return any(line["state"] == state for line in lines)

    wait_for(ended, what=f"{state} at the end")
    status = idle_host.service("once")
    assert (status["result"], status["intended_state"]) == ("success", "running")
    assert show(service_unit("once"), "Restart") == policy


@pytest.mark.parametrize("script", [FINISHES, CRASHER], ids=["done", "failed"])
def test_a_service_that_has_ended_for_good_is_neither_stopped_nor_started_by_a_new_manager(
    idle_host: Host, script: str
) -> None:
    idle_host.install("once", script=script)
    idle_host.settings(services={"once": {"restart": "no"}})
    idle_host.launch()
    wait_for(lambda: idle_host.service("once")["exit_status"] is not None, what="its end")
    before = idle_host.service("once")
    idle_host.kill()
    idle_host.launch()
    after = idle_host.service("once")
    assert (after["state"], after["intended_state"], after["main_pid"]) == (before["state"], "running", None)
    assert len(idle_host.api.get("/api/services/once/history?limit=1000").json()) <= 4


def test_a_stop_of_a_service_that_may_end_is_still_a_stop(idle_host: Host) -> None:
    idle_host.install("worker")
    idle_host.settings(services={"worker": {"restart": "on-failure"}})
    idle_host.launch()
    idle_host.wait_service("worker", "running")
    systemctl("stop", service_unit("worker"))
    wait_for(lambda: idle_host.service("worker")["intended_state"] == "stopped")


def test_a_service_without_executable_is_failed_and_started_once_there_is_one(idle_host: Host) -> None:
    idle_host.settings(services={"late": {}})
    idle_host.extra_flags += ["--stable-period", "0.4"]
    idle_host.launch()
    status = idle_host.wait_service("late", "failed")
    assert "linux-late-v*.*.*" in status["error"]
    idle_host.install("late")
    idle_host.wait_service("late", "running")


def test_a_service_whose_config_is_missing_is_named_and_harms_nobody(idle_host: Host) -> None:
    idle_host.install("coretelemetry")
    missing = idle_host.configs / "nowhere.yaml"
    idle_host.settings(services={"coretelemetry": {"config": str(missing)}})
    idle_host.launch()
    assert str(missing) in idle_host.wait_service("coretelemetry", "failed")["error"]
    assert str(missing) in idle_host.post("/api/services/coretelemetry/start", code=400)["detail"]
    idle_host.start(idle_host.config("backwash"))


def test_a_new_declaration_holds_from_the_next_restart(declared: Host) -> None:
    pid = declared.service("coretelemetry")["main_pid"]
    declared.terminate()
    other = declared.config("other")
    declared.settings(services={"coretelemetry": {"config": str(other), "environment": {"A": 1}}})
    declared.launch()
    assert declared.service("coretelemetry")["main_pid"] == pid
    status = declared.post("/api/services/coretelemetry/restart")["status"]
    assert status["config_path"] == str(other)
    assert show(TELEMETRY, "Environment") == "A=1"


def test_a_service_that_is_declared_no_more_runs_on_and_can_be_stopped_and_forgotten(declared: Host) -> None:
    pid = declared.service("coretelemetry")["main_pid"]
    declared.terminate()
    declared.settings()
    declared.launch()
    services = declared.api.get("/api/services/").json()["services"]
    assert [(line["name"], line["declared"]) for line in services] == [("coretelemetry", False)]
    assert declared.service("coretelemetry")["main_pid"] == pid
    assert declared.api.delete("/api/services/coretelemetry").status_code == 409
    declared.post("/api/services/coretelemetry/stop")
    assert "services:" in declared.post("/api/services/coretelemetry/start", code=404)["detail"]
    assert declared.api.delete("/api/services/coretelemetry").status_code == 200
    assert declared.api.get("/api/services/").json() == {"services": []}
    wait_for(lambda: workload_units() == [])


@pytest.mark.parametrize("call", ["start", "stop", "restart", "status", "history", "delete", "limits"])
def test_an_unknown_service_is_404_that_names_it(declared: Host, call: str) -> None:
    method, path = {
        "status": ("GET", "/status"), "history": ("GET", "/history"), "delete": ("DELETE", ""),
        "limits": ("PATCH", "/limits"),
    }.get(call, ("POST", f"/{call}"))  # fmt: skip
    answer = declared.api.request(method, f"/api/services/nobody{path}", json={})
    assert answer.status_code == 404
    assert "nobody" in answer.json()["detail"]
