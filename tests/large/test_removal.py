"""Removing, installing again, and purging."""

from pathlib import Path

import pytest

from tests.large.debian_host import DebianHost, agent_unit, coreio_unit

pytestmark = pytest.mark.timeout(300)

INSTALL = "cd /root && DEBIAN_FRONTEND=noninteractive apt-get install --yes ./coredinator_*.deb"
# What any package's installation changes, and what dpkg and apt write about it.
ALL_FILES = """
find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /root -o -path /dev \
    -o -path /etc/plant -o -path /var/tmp \
    -o -path /var/log -o -path /var/cache -o -path /var/lib/dpkg -o -path /var/lib/apt \
    -o -path /var/lib/systemd/random-seed -o -path /var/lib/systemd/timers \\) -prune -o -print | sort
"""
OUR_PROCESSES = "find /proc -maxdepth 1 -user coredinator -o -maxdepth 1 -user coredinator-agent"
USERS = "getent passwd; getent group"


def test_remove_stops_all_and_keeps_state_and_reinstalling_brings_agents_back(host: DebianHost, package: Path) -> None:
    for agent in ("one", "two"):
        host.start_agent(agent)
    host.api("POST", "/api/agents/two/stop")

    host.run("apt-get", "remove", "--yes", "coredinator")

    assert host.units("coredinator*") == []
    assert host.sh(OUR_PROCESSES) == ""
    host.run("test", "-s", "/var/lib/coredinator/coredinator.db")

    host.write("/root/coredinator_0.1.0_all.deb", package.read_bytes())
    host.sh(INSTALL)
    host.await_manager()
    host.await_state("one", "running")
    assert set(host.pids()) == {agent_unit("one"), coreio_unit("one"), coreio_unit("two")}
    assert host.status("two")["intended_state"] == "stopped"


def test_purge_leaves_no_file_user_data_or_unit(minimal_host: DebianHost) -> None:
    host = minimal_host
    # The libraries stay installed: only the package's own traces count.
    host.sh(INSTALL)
    host.run("dpkg", "--purge", "coredinator")
    files, users = host.sh(ALL_FILES), host.sh(USERS)
    host.sh(INSTALL)
    host.await_manager()
    host.install_executables()
    host.start_agent("pump-1")
    host.await_state("pump-1", "running")
    host.run("rm", "-r", "/opt/coredinator/v1")

    host.run("apt-get", "purge", "--yes", "coredinator")

    assert sorted(set(host.sh(ALL_FILES).splitlines()) - set(files.splitlines())) == []
    assert [line for line in files.splitlines() if "coredinator" in line] == []
    assert host.sh(USERS) == users
    assert "coredinator" not in users
    assert host.units("coredinator*") == []
