"""The manager as a unit: it tells systemd that it is ready and alive, and logs to the journal."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from coredinator.logs import MessageId
from tests.support.host import Host, agent_unit, show, systemctl, wait_for

UNIT = "coredinator-under-test.service"


def journal(*matches: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["journalctl", "--output=json", "--no-pager", *matches], check=True, capture_output=True, text=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def unit(idle_host: Host) -> Iterator[Host]:
    properties = ("Type=notify", "WatchdogSec=1", "Restart=always", "RestartSec=100ms")
    flags = [argument for value in properties for argument in ("-p", value)]
    subprocess.run(["systemd-run", "--user", "--unit", UNIT, *flags, "--", *idle_host.command()], check=True)
    yield idle_host
    systemctl("stop", UNIT)


def test_it_is_ready_when_it_answers_and_fed_while_it_lives(unit: Host) -> None:
    assert show(UNIT, "ActiveState") == "active"
    assert unit.health()["process_id"] == int(show(UNIT, "MainPID"))
    assert show(UNIT, "WatchdogTimestampMonotonic") != "0"


def test_a_manager_that_hangs_is_replaced_and_the_agents_run_on(unit: Host) -> None:
    unit.start(unit.config("backwash"))
    pids = unit.pids("backwash")
    os.kill(int(show(UNIT, "MainPID")), signal.SIGSTOP)
    wait_for(lambda: show(UNIT, "NRestarts") == "1" and show(UNIT, "ActiveState") == "active", timeout=20)
    wait_for(lambda: unit.status("backwash")["state"] == "running")
    assert unit.pids("backwash") == pids


def test_the_journal_has_fields_and_a_message_id_for_each_kind_of_event(unit: Host) -> None:
    unit.start(unit.config("backwash"))
    match = f"MESSAGE_ID={MessageId.SERVICE_STARTED}"
    entries = wait_for(lambda: journal(match, "COREDINATOR_SERVICE=backwash-corerl"))
    entry = entries[-1]
    assert entry["MESSAGE"] == "backwash-corerl started"
    assert entry["COREDINATOR_AGENT"] == "backwash"
    assert entry["COREDINATOR_UNIT"] == agent_unit("backwash")
    assert entry["COREDINATOR_STATE"] == "running"
    assert entry["PRIORITY"] == "6"
    assert entry["SYSLOG_IDENTIFIER"] == "coredinator"
    assert wait_for(lambda: journal(f"MESSAGE_ID={MessageId.MANAGER_READY}"))


def test_a_workloads_lines_are_found_by_its_identifier(unit: Host) -> None:
    """The extra fields of user units are a matter of the host's systemd, which a bed has not."""
    unit.start(unit.config("backwash"))
    lines = wait_for(lambda: journal("SYSLOG_IDENTIFIER=backwash-coreio"))
    assert any("started with --config-name" in line["MESSAGE"] for line in lines)
