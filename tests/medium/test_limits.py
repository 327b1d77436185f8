"""Limits and accounting. Here systemd takes limits as properties; that they are enforced is tested on a real kernel."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.figures import FIGURES, not_told
from tests.support.host import (
    Host,
    agent_unit,
    coreio_unit,
    drop_in,
    service_unit,
    show,
    systemctl,
    wait_for,
    workload_units,
)

AGENT = agent_unit("backwash")
MIB = 1024**2
ALL = {
    "memory_max": "512M", "memory_high": 400 * MIB, "cpu_quota": "150%", "cpu_weight": 50,
    "tasks_max": 100, "io_weight": 20, "nice": 5,
}  # fmt: skip
SHOWN = {
    "memory_max": 512 * MIB, "memory_high": 400 * MIB, "cpu_quota": "150%", "cpu_weight": 50,
    "tasks_max": 100, "io_weight": 20, "nice": 5,
}  # fmt: skip
PROPERTIES = {
    "MemoryMax": str(512 * MIB), "MemoryHigh": str(400 * MIB), "CPUQuotaPerSecUSec": "1.500000s",
    "CPUWeight": "50", "TasksMax": "100", "IOWeight": "20", "Nice": "5",
}  # fmt: skip


def patch(host: Host, path: str, body: dict[str, Any], *, code: int = 200) -> dict[str, Any]:
    answer = host.api.patch(path, json=body)
    assert answer.status_code == code, answer.text
    return answer.json()


def test_limits_of_a_start_become_properties_and_show(host: Host) -> None:
    host.start(host.config("backwash"), limits=ALL)
    assert {name: show(AGENT, name) for name in PROPERTIES} == PROPERTIES
    wait_for(lambda: host.corerl("backwash")["limits"] == SHOWN)
    assert show(coreio_unit("backwash-coreio"), "MemoryMax") == "infinity"


def test_without_limits_only_a_fork_bomb_is_limited(host: Host) -> None:
    host.start(host.config("backwash"))
    wait_for(lambda: host.corerl("backwash")["limits"] == {"tasks_max": 4096})


def test_a_patch_changes_the_running_unit_and_no_process(host: Host) -> None:
    host.start(host.config("backwash"), limits={"memory_max": "512M", "cpu_quota": "50%"})
    pids = host.pids("backwash")
    changed = patch(host, "/api/agents/backwash/limits", {"memory_max": "1G", "tasks_max": 64})
    assert changed == {
        "limits": {"memory_max": 1024 * MIB, "cpu_quota": "50%", "tasks_max": 64}, "at_next_start": [],
    }  # fmt: skip
    assert (show(AGENT, "MemoryMax"), show(AGENT, "TasksMax")) == (str(1024 * MIB), "64")
    assert show(AGENT, "CPUQuotaPerSecUSec") == "500ms"
    assert host.corerl("backwash")["limits"]["memory_max"] == 1024 * MIB
    assert host.pids("backwash") == pids


def test_null_takes_a_limit_away(host: Host) -> None:
    host.start(host.config("backwash"), limits=ALL)
    patch(host, "/api/agents/backwash/limits", dict.fromkeys(ALL))
    names = ("MemoryMax", "MemoryHigh", "CPUQuotaPerSecUSec", "CPUWeight", "IOWeight", "TasksMax")
    unset = ["infinity", "infinity", "infinity", "[not set]", "[not set]", "4096"]
    assert [show(AGENT, name) for name in names] == unset


def test_changed_limits_survive_crashes_restarts_stops_and_managers(host: Host) -> None:
    config = host.config("backwash")
    host.start(config)
    patch(host, "/api/agents/backwash/limits", {"memory_max": "300M"})
    systemctl("restart", AGENT)
    assert show(AGENT, "MemoryMax") == str(300 * MIB)
    host.post("/api/agents/backwash/restart")
    assert show(AGENT, "MemoryMax") == str(300 * MIB)
    host.kill()
    host.launch()
    assert host.corerl("backwash")["limits"]["memory_max"] == 300 * MIB
    host.stop("backwash")
    host.start(config)
    assert show(AGENT, "MemoryMax") == str(300 * MIB)


def test_limits_are_found_again_when_the_database_is_lost(host: Host) -> None:
    host.start(host.config("backwash"), limits={"cpu_quota": "50%"})
    patch(host, "/api/agents/backwash/limits", {"memory_max": "300M"})
    host.kill()
    shutil.rmtree(host.state_dir)
    host.launch()
    host.wait_state("backwash", "running")
    host.post("/api/agents/backwash/restart")
    assert (show(AGENT, "MemoryMax"), show(AGENT, "CPUQuotaPerSecUSec")) == (str(300 * MIB), "500ms")


def test_limits_of_a_stopped_agent_hold_from_its_next_start(host: Host) -> None:
    config = host.config("backwash")
    host.start(config)
    host.stop("backwash")
    patch(host, "/api/agents/backwash/limits", {"memory_max": "300M"})
    host.start(config)
    assert show(AGENT, "MemoryMax") == str(300 * MIB)


def test_limits_in_a_start_of_what_runs_are_taken_on(host: Host) -> None:
    config = host.config("backwash")
    host.start(config, limits={"memory_max": "300M"})
    pids = host.pids("backwash")
    host.start(config, limits={"memory_max": "200M"})
    assert show(AGENT, "MemoryMax") == str(200 * MIB)
    assert host.pids("backwash") == pids


def test_a_later_start_replaces_what_a_patch_set(host: Host) -> None:
    config = host.config("backwash")
    host.start(config)
    patch(host, "/api/agents/backwash/limits", {"memory_max": "300M", "tasks_max": 50})
    host.stop("backwash")
    host.start(config, limits={"memory_max": "200M"})
    assert (show(AGENT, "MemoryMax"), show(AGENT, "TasksMax")) == (str(200 * MIB), "4096")


def test_nice_waits_for_the_next_start_and_that_is_said(host: Host) -> None:
    host.start(host.config("backwash"))
    assert patch(host, "/api/agents/backwash/limits", {"nice": 7})["at_next_start"] == ["nice"]
    assert show(AGENT, "Nice") == "0"
    host.post("/api/agents/backwash/restart")
    assert show(AGENT, "Nice") == "7"


def test_limits_of_the_settings_file_are_those_of_all_and_an_agents_own_win(idle_host: Host) -> None:
    idle_host.settings(kinds={"corerl": {"limits": {"memory-max": "2G", "cpu_weight": 30}}})
    idle_host.launch()
    idle_host.start(idle_host.config("backwash"), limits={"memory_max": "512M"})
    assert (show(AGENT, "MemoryMax"), show(AGENT, "CPUWeight")) == (str(512 * MIB), "30")
    patch(idle_host, "/api/agents/backwash/limits", {"memory_max": None})
    assert show(AGENT, "MemoryMax") == str(2048 * MIB)
    assert show(coreio_unit("backwash-coreio"), "MemoryMax") == "infinity"


@pytest.mark.parametrize("prefix", ["/api/coreio", "/api/io"])
def test_a_coreio_has_limits_of_its_own(host: Host, prefix: str) -> None:
    host.post(
        f"{prefix}/start", {"config_path": str(host.config("backwash")), "limits": {"memory_max": "100M"}}
    )  # fmt: skip
    unit = coreio_unit("backwash-coreio")
    assert show(unit, "MemoryMax") == str(100 * MIB)
    patch(host, f"{prefix}/backwash-coreio/limits", {"memory_max": "200M"})
    assert show(unit, "MemoryMax") == str(200 * MIB)


def test_a_service_has_limits_of_its_own(idle_host: Host) -> None:
    idle_host.install("gate")
    idle_host.settings(services={"gate": {"limits": {"tasks-max": 30}}})
    idle_host.launch()
    idle_host.wait_service("gate", "running")
    unit = service_unit("gate")
    patch(idle_host, "/api/services/gate/limits", {"memory_max": "200M"})
    assert (show(unit, "TasksMax"), show(unit, "MemoryMax")) == ("30", str(200 * MIB))
    idle_host.post("/api/services/gate/restart")
    assert show(unit, "MemoryMax") == str(200 * MIB)


def test_limits_that_make_no_sense_are_422_and_start_nothing(host: Host) -> None:
    body = {"config_path": str(host.config("backwash")), "limits": {"memory_max": "plenty", "cpu_quota": 150}}
    problems = host.post("/api/agents/start", body, code=422)["detail"]
    assert [problem["loc"][-1] for problem in problems] == ["memory_max", "cpu_quota"]
    assert "512M" in problems[0]["msg"]
    assert host.api.get("/api/agents/").json() == []
    assert workload_units() == []


def test_limits_that_contradict_those_in_force_are_refused(host: Host) -> None:
    host.start(host.config("backwash"), limits={"memory_max": "100M"})
    detail = patch(host, "/api/agents/backwash/limits", {"memory_high": "200M"}, code=422)["detail"]
    assert "memory_high" in detail
    assert show(AGENT, "MemoryHigh") == "infinity"


def test_limits_that_contradict_those_of_the_settings_file_start_nothing(idle_host: Host) -> None:
    idle_host.settings(kinds={"corerl": {"limits": {"memory-max": "100M"}}})
    idle_host.launch()
    order = {"config_path": str(idle_host.config("backwash")), "limits": {"memory_high": "200M"}}
    assert "memory_high" in idle_host.post("/api/agents/start", order, code=422)["detail"]
    findings = idle_host.post("/api/agents/validate", order)["findings"]
    assert [finding["subject"] for finding in findings] == ["limits"]
    assert idle_host.api.get("/api/agents/").json() == []
    assert workload_units() == []


def test_a_limit_that_an_administrators_drop_in_sets_is_left_to_him(host: Host) -> None:
    with drop_in("coredinator-agent@.service", "[Service]\nMemoryMax=64M\n") as path:
        host.start(host.config("backwash"), limits={"memory_max": "1G"})
        wait_for(lambda: host.corerl("backwash")["limits"]["memory_max"] == 64 * MIB, what="the drop-in's limit shown")
        detail = patch(host, "/api/agents/backwash/limits", {"memory_max": "2G"}, code=409)["detail"]
        assert str(path) in detail
        assert show(AGENT, "MemoryMax") == str(64 * MIB)
        patch(host, "/api/agents/backwash/limits", {"tasks_max": 77})
        assert show(AGENT, "TasksMax") == "77"


def test_figures_that_the_kernel_does_not_give_are_named(host: Host) -> None:
    host.start(host.config("backwash"))
    corerl = host.corerl("backwash")
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    group = Path(f"/sys/fs/cgroup{show(AGENT, 'ControlGroup')}")
    files = [path.name for path in group.iterdir()] if unified else []
    assert corerl["unavailable"] == not_told(files)
    assert [name for name in FIGURES if corerl[name] is None] == [
        name for name in not_told(files) if name not in {"memory_bytes", "cpu_seconds"}
    ]
    assert corerl["memory_bytes"] > 0
    host.stop("backwash")
    stopped = host.corerl("backwash")
    assert [stopped[name] for name in FIGURES] == [None] * 6
    assert stopped["unavailable"] == []
