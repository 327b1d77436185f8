"""Limits set with drop-ins, and agents that crash without end."""

import pytest

from tests.large.debian_host import CRASHER, SETTINGS, DebianHost, agent_unit, await_true

pytestmark = pytest.mark.timeout(300)

MIB = 1024 * 1024
DROP_IN = "/etc/systemd/system/coredinator-agent@one.service.d/limit.conf"


def test_memory_limit_of_one_agent_applies_at_its_next_start_and_shows_in_the_status(host: DebianHost) -> None:
    for agent in ("one", "two"):
        host.start_agent(agent)
    host.write(DROP_IN, "[Service]\nMemoryMax=64M\n")
    host.run("systemctl", "daemon-reload")

    host.api("POST", "/api/agents/one/stop")
    host.start_agent("one")

    assert host.show(agent_unit("one"), "MemoryMax") == str(64 * MIB)
    assert host.show(agent_unit("two"), "MemoryMax") == "infinity"
    await_true(lambda: DROP_IN in host.corerl("one")["drop_ins"], "the drop-in in the status")
    assert DROP_IN in host.run("systemctl", "cat", agent_unit("one"))


def test_a_drop_in_for_all_agents_is_made_as_the_ceiling_says(host: DebianHost) -> None:
    ceiling = host.run("cat", "/usr/lib/systemd/system/coredinator-agent@.service.d/10-ceiling.conf")
    assert "systemctl edit --force coredinator-agent@.service" in ceiling
    host.sh(r"printf '[Service]\nMemoryMax=64M\n' | systemctl edit --force --stdin coredinator-agent@.service")
    host.start_agent("one")
    assert host.show(agent_unit("one"), "MemoryMax") == str(64 * MIB)


def test_the_administrator_decides_who_may_read_the_settings_and_write_releases(host: DebianHost) -> None:
    host.sh(f"chown root:coredinator {SETTINGS}; chmod 640 {SETTINGS}; chown daemon:daemon /opt/coredinator")
    host.run("systemd-tmpfiles", "--create", "--boot")
    assert host.run("stat", "-c", "%U", "/opt/coredinator").strip() == "daemon"
    host.run("systemctl", "restart", "coredinator-eventbus", "coredinator")
    host.await_manager()
    assert host.show("coredinator-eventbus.service", "NRestarts") == "0"


def test_a_bad_drop_in_is_reported_and_not_fatal(host: DebianHost) -> None:
    host.write(DROP_IN, "[Service]\nMemoryMax=plenty\n")
    host.run("systemctl", "daemon-reload")
    host.start_agent("one")
    host.await_state("one", "running")
    await_true(lambda: DROP_IN in host.corerl("one")["drop_ins"], "the drop-in in the status")
    assert "plenty" in host.journal("_PID=1")


def test_a_drop_in_that_prevents_the_start_is_a_failure_of_that_agent_only(host: DebianHost) -> None:
    host.write(DROP_IN, "[Service]\nUser=nobody-of-that-name\n")
    host.run("systemctl", "daemon-reload")
    for agent in ("one", "two"):
        host.start_agent(agent)
    host.await_state("two", "running")

    def failed_for_its_user() -> bool:
        corerl = host.corerl("one")  # in one answer: it is started again and again, and shows no status while it starts
        return (corerl["state"], corerl["exit_status"]) == ("failed", 217)  # EXIT_USER in systemd.exec(5)

    await_true(failed_for_its_user, "the failure of the agent with the drop-in")


def test_crashing_agents_back_off_to_thirty_seconds_and_begin_anew_once_stable(host: DebianHost) -> None:
    host.sh("echo 'stable-period: 2' >> /etc/coredinator/coredinator.yaml; systemctl restart coredinator")
    host.await_manager()
    host.write("/opt/coredinator/v2/linux-corerl-v2.0.0", f"{CRASHER[:10]}[ -e /var/lib/coredinator-agent/calm ] "
               "&& exec sleep infinity\necho about to crash\nexit 3\n", 0o755)  # fmt: skip
    for agent in ("one", "two"):
        host.start_agent(agent)

    await_true(lambda: host.show(agent_unit("one"), "RestartUSecNext") == "30s", "delay of 30 s", timeout=60)
    said = host.journal("COREDINATOR_AGENT=one", "-o", "cat").splitlines()
    restarts = int(host.show(agent_unit("one"), "NRestarts"))
    assert restarts >= 8
    assert len(said) <= 12 * (restarts + 1)

    host.run("touch", "/var/lib/coredinator-agent/calm")
    await_true(lambda: host.show(agent_unit("one"), "ActiveState") == "active", "the next try", timeout=60)
    await_true(lambda: host.show(agent_unit("one"), "NRestarts") == "0", "restarts counted anew", timeout=20)
    assert host.show(agent_unit("one"), "RestartUSecNext") == "100ms"
    assert host.status("one")["state"] == "running"
