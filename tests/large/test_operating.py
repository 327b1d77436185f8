"""One-off services, limits, the watchdog and upgrades on the installed package, where polkit has its say."""

from typing import Any

import pytest

from tests.large.debian_host import CRASHER, SLEEPER, DebianHost, agent_unit, await_true
from tests.support.figures import not_told

pytestmark = pytest.mark.timeout(300)

MIB = 1024 * 1024
TELEMETRY = "coredinator-service@coretelemetry.service"
# Sends what systemd waits for, and signs of life until the file `dead` is there.
WATCHED = """#!/usr/bin/python3
import os, pathlib, socket, time
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(text, os.environ["NOTIFY_SOCKET"])
say(b"READY=1")
while not pathlib.Path("/etc/plant/dead").exists():
    say(b"WATCHDOG=1")
    time.sleep(0.1)
time.sleep(3600)
"""


def service(host: DebianHost) -> dict[str, Any]:
    return host.api("GET", "/api/services/coretelemetry/status")["status"]


def run_telemetry(host: DebianHost) -> None:
    host.declare_telemetry("limits: {memory-max: 64M}")
    await_true(lambda: service(host)["state"] == "running", "coretelemetry runs")


def test_a_service_from_the_settings_file_runs_sandboxed_and_comes_back_after_a_reboot(host: DebianHost) -> None:
    run_telemetry(host)
    said = host.journal("-t", "coretelemetry", "-o", "cat")
    assert (
        "started as coredinator-agent in /var/lib/coredinator-service/coretelemetry "
        "with --config-name /etc/plant/telemetry.yaml" in said
    )
    assert host.show(TELEMETRY, "MemoryMax") == str(64 * MIB)
    host.reboot()
    host.await_manager()
    await_true(lambda: service(host)["state"] == "running", "coretelemetry runs again", timeout=20)

    host.run("systemctl", "stop", TELEMETRY)
    await_true(lambda: service(host)["intended_state"] == "stopped", "an operator's stop is taken")
    host.reboot()
    host.await_manager()
    assert service(host)["state"] == "stopped"


def test_a_service_is_restarted_stopped_and_started_through_the_api(host: DebianHost) -> None:
    run_telemetry(host)
    pid = service(host)["main_pid"]
    restarted = host.api("POST", "/api/services/coretelemetry/restart")["status"]
    assert restarted["main_pid"] not in {None, pid}
    host.api("POST", "/api/services/coretelemetry/stop")
    assert host.show(TELEMETRY, "ActiveState") == "inactive"
    assert host.api("POST", "/api/services/coretelemetry/start")["status"]["state"] == "running"


def test_limits_are_set_and_changed_without_privileges_and_survive_a_reboot(host: DebianHost) -> None:
    host.start_agent("backwash")
    unit = agent_unit("backwash")
    pid = host.corerl("backwash")["main_pid"]
    change = {"memory_max": "256M", "cpu_quota": "50%", "tasks_max": 64, "cpu_weight": 50, "io_weight": 60}
    host.api("PATCH", "/api/agents/backwash/limits", change)
    expected = {
        "MemoryMax": str(256 * MIB), "CPUQuotaPerSecUSec": "500ms", "TasksMax": "64",
        "CPUWeight": "50", "IOWeight": "60",
    }  # fmt: skip
    assert {name: host.show(unit, name) for name in expected} == expected
    assert host.corerl("backwash")["main_pid"] == pid

    host.run("systemctl", "daemon-reload")
    assert {name: host.show(unit, name) for name in expected} == expected
    host.reboot()
    host.await_manager()
    host.await_state("backwash", "running", timeout=20)
    assert {name: host.show(unit, name) for name in expected} == expected


def test_an_administrators_drop_in_is_not_overruled(host: DebianHost) -> None:
    drop_in = "/etc/systemd/system/coredinator-agent@.service.d/limit.conf"
    host.write(drop_in, "[Service]\nMemoryMax=64M\n")
    host.run("systemctl", "daemon-reload")
    host.start_agent("backwash")
    await_true(lambda: drop_in in host.corerl("backwash")["drop_ins"], "the drop-in is seen")
    answer = host.run(
        "curl", "-s", "-X", "PATCH", "-H", "Content-Type: application/json", "-d", '{"memory_max": "1G"}',
        "http://localhost:7000/api/agents/backwash/limits",
    )  # fmt: skip
    assert drop_in in answer
    assert host.show(agent_unit("backwash"), "MemoryMax") == str(64 * MIB)


def test_accounting_gives_cpu_time_and_names_what_this_kernel_does_not_tell(host: DebianHost) -> None:
    host.start_agent("backwash")
    corerl = host.corerl("backwash")
    assert corerl["cpu_seconds"] > 0
    group = host.show(agent_unit("backwash"), "ControlGroup")
    is_unified = "cgroup.controllers" in host.run("ls", "/sys/fs/cgroup").split()
    files = host.run("ls", f"/sys/fs/cgroup{group}").split() if is_unified else []
    assert corerl["unavailable"] == not_told(files)


def test_a_service_that_is_never_ready_holds_up_no_manager(host: DebianHost) -> None:
    host.configure("kinds:\n  corerl: {health: {type: watchdog, timeout: 60, grace: 0}}\n")
    host.write("/opt/coredinator/v1/linux-corerl-v1.0.0", SLEEPER, 0o755)
    host.start_agent("backwash")
    assert host.status("backwash")["state"] == "starting"
    pid = host.corerl("backwash")["main_pid"]
    host.run("timeout", "30", "systemctl", "restart", "coredinator")
    host.await_manager()
    corerl = host.corerl("backwash")
    assert (corerl["state"], corerl["main_pid"]) == ("starting", pid)


def test_the_watchdog_ends_a_service_that_gives_no_sign_of_life(host: DebianHost) -> None:
    host.configure("kinds:\n  corerl: {health: {type: watchdog, timeout: 1, grace: 60}}\n")
    host.write("/opt/coredinator/v1/linux-corerl-v1.0.0", WATCHED, 0o755)
    host.start_agent("backwash")
    host.await_state("backwash", "running")
    host.write("/etc/plant/dead", "")
    await_true(lambda: host.corerl("backwash")["restarts"] >= 1, "a restart by the watchdog", timeout=30)
    host.run("rm", "/etc/plant/dead")
    host.await_state("backwash", "running", timeout=30)
    history = host.api("GET", "/api/agents/backwash/history")
    assert "watchdog" in {line["result"] for line in history if line["state"] == "failed"}
    assert "Watchdog timeout" in host.journal("-u", agent_unit("backwash"))


def test_an_upgrade_to_a_bad_version_is_rolled_back(host: DebianHost) -> None:
    host.start_agent("backwash")
    host.write("/opt/coredinator/v2/linux-corerl-v2.0.0", CRASHER, 0o755)
    outcome = host.api("POST", "/api/agents/backwash/upgrade", {"grace": 5})
    assert (outcome["outcome"], outcome["version"]) == ("rolled_back", "1.0.0")
    host.await_state("backwash", "running")
    assert host.corerl("backwash")["version"] == "1.0.0"
    explained = host.journal("-x", "COREDINATOR_AGENT=backwash", "_SYSTEMD_UNIT=coredinator.service")
    assert "The upgrade of backwash-corerl was rolled back" in explained


def test_a_deleted_agent_leaves_no_unit(host: DebianHost) -> None:
    host.start_agent("backwash")
    host.api("POST", "/api/agents/backwash/stop")
    host.api("DELETE", "/api/agents/backwash")
    await_true(lambda: agent_unit("backwash") not in {unit["unit"] for unit in host.units()}, "the unit is unloaded")
    assert host.api("GET", "/api/agents/") == []
