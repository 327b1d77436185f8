"""The manager as a unit: it tells systemd that it is ready and alive, and logs to the journal."""

import json
import os
import re
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


LOUD = """#!/usr/bin/env python3
import os, time
for line in (
    b"invalid \\xff\\xfe", b"a NUL \\0 inside", b"\\x1b[31mred", b"x" * 1_000_000,
    b"COREDINATOR_STATE=failed", b"<0>most urgent", b"\\r\\x0bMESSAGE=forged", b"the last",
):
    os.write(1, line + b"\\n")
time.sleep(1000)
"""


def test_a_workload_may_print_what_it_likes(unit: Host) -> None:
    unit.install("corerl", script=LOUD)
    unit.start(unit.config("backwash"))
    match = "SYSLOG_IDENTIFIER=backwash-corerl"
    # journalctl leaves fields out that are longer than 4096 bytes, unless it is told not to.
    lines = wait_for(lambda: said if b"the last" in (said := messages(match, "--all")) else None)
    assert b"invalid \xff\xfe" in lines
    assert b"\x1b[31mred" in lines
    # journald cuts lines at 48 KiB (LineMax= in journald.conf(5)), and at a NUL.
    assert sum(line.count(b"x") for line in lines if line.strip(b"x") == b"") == 1_000_000
    assert b"COREDINATOR_STATE=failed" in lines
    assert all(entry.get("COREDINATOR_STATE") is None for entry in journal(match))
    assert unit.status("backwash")["state"] == "running"


HOSTILE = "1.0\nCOREDINATOR_STATE=running\n\x1b[31m2026-01-01 [error] forged\u2028"


def test_what_a_request_names_forges_neither_a_line_nor_a_field_of_the_journal(unit: Host) -> None:
    answer = unit.api.post("/api/agents/start", json={"config_path": str(unit.config("backwash")), "version": HOSTILE})
    assert answer.status_code == 200
    found = wait_for(lambda: journal(f"MESSAGE_ID={MessageId.START_IMPOSSIBLE}", "COREDINATOR_AGENT=backwash"))
    assert len(found) == 1
    assert escaped(HOSTILE) in found[0]["MESSAGE"]
    assert found[0]["COREDINATOR_STATE"] == "failed"


def test_what_a_request_names_forges_no_line_of_console_and_file(idle_host: Host) -> None:
    file = idle_host.folder / "log.jsonl"
    idle_host.extra_flags = ["--log-file", str(file)]
    idle_host.launch()
    idle_host.api.post("/api/agents/start", json={"config_path": str(idle_host.config("backwash")), "version": HOSTILE})
    for url in ("/api/coreio/%0A2026-01-01%20forged/status", "/api/coreio/%ff%00%1b%5b31m/status"):
        assert idle_host.api.get(url).status_code == 404
    text = idle_host.log.read_text()
    assert escaped(HOSTILE) in text
    assert all(re.match(r"20\d\d-\d\d-\d\dT[\d:.]+Z \[", line) for line in text.splitlines())
    assert all(line.isprintable() for line in text.splitlines())
    assert all("event" in json.loads(line) for line in file.read_text().splitlines())


def messages(*arguments: str) -> list[bytes]:
    """Messages as bytes; those that are no text come as lists of numbers (systemd.journal-fields(7), JSON format)."""
    found = [entry["MESSAGE"] for entry in journal(*arguments)]
    return [message.encode() if isinstance(message, str) else bytes(message) for message in found]


def escaped(text: str) -> str:
    return text.encode("unicode_escape").decode()
