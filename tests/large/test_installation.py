"""The package on a minimal Debian 13, and what an operator sees of an agent there."""

import re
import time

import pytest

from coredinator.logs import MessageId
from tests.large.debian_host import DebianHost, agent_unit, coreio_unit

pytestmark = pytest.mark.timeout(300)

MAX_EXPOSURE = 2.5


def test_installs_on_a_minimal_host_and_serves_within_ten_seconds(minimal_host: DebianHost) -> None:
    minimal_host.sh("cd /root && DEBIAN_FRONTEND=noninteractive apt install --yes ./coredinator_*.deb")
    begin = time.monotonic()
    minimal_host.await_manager(timeout=10)
    assert time.monotonic() - begin < 10
    for unit in ("coredinator.service", "coredinator-eventbus.service"):
        assert minimal_host.show(unit, "ActiveState") == "active"
        assert minimal_host.show(unit, "NRestarts") == "0"


def test_systemd_watches_manager_and_event_bus(host: DebianHost) -> None:
    units = ("coredinator.service", "coredinator-eventbus.service")
    assert [host.show(unit, "WatchdogUSec") for unit in units] == ["1min", "20s"]
    assert all(host.show(unit, "WatchdogTimestampMonotonic") != "0" for unit in units)


def test_status_of_an_agent_shows_transient_unit_slice_and_drop_ins(host: DebianHost) -> None:
    host.start_agent("backwash")
    shown = host.run("systemctl", "status", "coredinator-agent@backwash")
    assert "Transient: yes" in shown
    assert "CGroup: /coredinator.slice/coredinator-agent@backwash.service" in shown
    assert re.search(r"Drop-In: .*/coredinator-agent@\.service\.d\s+└─10-ceiling\.conf", shown)


def test_every_process_has_the_user_meant_for_it(host: DebianHost) -> None:
    host.start_agent("backwash")
    owners = {
        unit: host.run("stat", "-c", "%U", f"/proc/{host.show(unit, 'MainPID')}").strip()
        for unit in (agent_unit("backwash"), coreio_unit("backwash"), "coredinator.service")
    }
    assert owners == {
        agent_unit("backwash"): "coredinator-agent",
        coreio_unit("backwash"): "coredinator-agent",
        "coredinator.service": "coredinator",
    }
    assert "in /var/lib/coredinator-agent/backwash with" in host.journal("-t", "backwash-corerl")


@pytest.mark.parametrize("agent_id", ["pump-1", "a b", "ä'ö", "50%"])
def test_ids_of_any_kind_run_inside_the_ceiling(host: DebianHost, agent_id: str) -> None:
    host.start_agent(agent_id)
    # Found by its unit: not every id can stand in a URL as it is.
    assert host.show(agent_unit(agent_id), "ActiveState") == "active"
    assert host.show(coreio_unit(agent_id), "ActiveState") == "active"
    assert host.run("ls", "/var/lib/coredinator-agent").strip() == agent_id


def test_exposure_is_low_and_units_verify_silently(host: DebianHost) -> None:
    host.start_agent("backwash")
    units = ("coredinator.service", "coredinator-eventbus.service", agent_unit("backwash"), coreio_unit("backwash"))
    for unit in units:
        verdict = host.run("systemd-analyze", "security", "--no-pager", unit)
        exposure = re.search(r"Overall exposure level for .*: ([\d.]+)", verdict)
        assert exposure is not None
        assert float(exposure[1]) <= MAX_EXPOSURE, unit
    own = ("coredinator.service", "coredinator-eventbus.service", "coredinator.slice")
    assert host.run("systemd-analyze", "verify", "--man=no", *own) == ""


def test_journal_of_a_unit_has_its_lines_and_that_of_an_agent_all_voices(host: DebianHost) -> None:
    host.start_agent("backwash")
    assert "started as coredinator-agent" in host.journal("-u", "coredinator-agent@backwash")
    voices = set(host.journal("COREDINATOR_AGENT=backwash", "-o", "cat", "--output-fields=SYSLOG_IDENTIFIER").split())
    assert {"backwash-corerl", "backwash-coreio", "systemd", "coredinator"} <= voices


def test_journal_explains_each_kind_of_message(host: DebianHost) -> None:
    known = host.journal("--list-catalog", *MessageId)
    assert [message for message in MessageId if message not in known] == []
    host.start_agent("backwash")
    host.run("systemctl", "stop", "coredinator-agent@backwash")
    host.await_state("backwash", "stopped")
    explained = host.journal("-x", "COREDINATOR_AGENT=backwash", "_SYSTEMD_UNIT=coredinator.service")
    assert "An operator stopped backwash-corerl" in explained
    assert "systemctl start 'coredinator-agent@backwash.service'" in explained


def test_the_manager_cannot_touch_other_units(host: DebianHost) -> None:
    refused = host.run(
        "setpriv", "--reuid=coredinator", "--regid=coredinator", "--clear-groups",
        "systemctl", "--no-ask-password", "stop", "dbus.socket",
        check=False,
    )  # fmt: skip
    assert "authentication required" in refused.lower()
    assert host.show("dbus.socket", "ActiveState") == "active"
