"""What an administrator does to a host while agents run: every process keeps its PID."""

from pathlib import Path

import pytest

from tests.large import images
from tests.large.debian_host import DebianHost, agent_unit, await_true

pytestmark = pytest.mark.timeout(300)

INTERRUPTIONS = {
    "restart": "systemctl restart coredinator",
    "kill": "systemctl kill --signal KILL --kill-whom main coredinator",
    "upgrade": "apt-get install --yes /root/newer.deb",
    "reconfigure": "dpkg-reconfigure coredinator",
    "daemon-reload": "systemctl daemon-reload",
    "daemon-reexec": "systemctl daemon-reexec",
    "bus": "systemctl reload-or-restart dbus",
    "polkit": "systemctl restart polkit",
}
NOTICE = """
systemctl stop coredinator-agent@one
for attempt in $(seq 20); do
    curl -s localhost:7000/api/agents/one/status | grep -q '"state":"stopped"' && exit
    sleep 0.05
done
echo not noticed within a second
exit 1
"""


@pytest.fixture
def newer(package: Path, tmp_path: Path) -> Path:
    return images.newer_package(package, tmp_path)


@pytest.mark.parametrize("command", INTERRUPTIONS.values(), ids=INTERRUPTIONS)
def test_workloads_and_bus_keep_their_pids_and_the_manager_goes_on_seeing(
    host: DebianHost, newer: Path, command: str
) -> None:
    host.write("/root/newer.deb", newer.read_bytes())
    for agent in ("one", "two"):
        host.start_agent(agent)
    before = host.pids() | host.pids("coredinator-eventbus.service")

    host.sh(command)

    host.await_manager()
    assert host.pids() | host.pids("coredinator-eventbus.service") == before
    assert host.corerl("two")["main_pid"] == before[agent_unit("two")]
    host.sh(NOTICE)


def test_upgrade_runs_the_new_manager(host: DebianHost, newer: Path) -> None:
    old = host.show("coredinator.service", "MainPID")
    host.write("/root/newer.deb", newer.read_bytes())
    host.run("apt-get", "install", "--yes", "/root/newer.deb")
    host.await_manager()
    assert host.show("coredinator.service", "MainPID") != old
    assert host.run("dpkg-query", "--showformat=${Version}", "--show", "coredinator").startswith("1:")


def test_changed_settings_survive_an_upgrade(host: DebianHost, newer: Path) -> None:
    host.sh("echo 'stable-period: 60' >> /etc/coredinator/coredinator.yaml")
    host.write("/root/newer.deb", newer.read_bytes())
    host.run("apt-get", "install", "--yes", "/root/newer.deb")
    await_true(host.answers, "manager")
    assert "stable-period: 60" in host.run("cat", "/etc/coredinator/coredinator.yaml")
