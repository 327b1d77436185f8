"""Saying what is wrong before anything is started: through the API and with --check-config."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.host import Host, free_ports, workload_units


def config_text(corerl: int | None = None, coreio: int | None = None) -> str:
    return yaml.safe_dump(
        {
            "event_bus": {"cli_connection": f"tcp://localhost:{corerl}" if corerl else None},
            "coreio": {"coreio_origin": f"tcp://localhost:{coreio}" if coreio else None},
        }
    )


def validate(host: Host, config: Path | str, **more: Any) -> list[tuple[str, str]]:  # noqa: ANN401  # JSON
    answer = host.post("/api/agents/validate", {"config_path": str(config), **more})
    assert answer["valid"] == (not answer["findings"])
    return [(finding["subject"], finding["problem"]) for finding in answer["findings"]]


def test_a_start_that_would_succeed_has_no_findings_and_creates_nothing(host: Host) -> None:
    config = host.config("backwash", config_text(*free_ports(2)))
    answer = host.post("/api/agents/validate", {"config_path": str(config), "limits": {"memory_max": "1G"}})
    assert answer == {"valid": True, "agent_id": "backwash", "findings": []}
    assert host.api.get("/api/agents/").json() == []
    assert workload_units() == []


def test_all_findings_come_at_once(host: Host) -> None:
    config = host.config("x" * 250, config_text(host.pub_port, host.port))
    host.install("coreio").unlink()
    found = validate(host, config, version="9.9.9", limits={"memory_max": "plenty", "nice": 99})
    assert [subject for subject, _ in found] == [
        "id", "id", "executable", "executable", "limits", "limits", "port", "port",
    ]  # fmt: skip
    text = "\n".join(problem for _, problem in found)
    for words in ("255", "corerl 9.9.9", "linux-coreio-", "512M", "nice", "event bus for publishers", "REST API"):
        assert words in text
    assert workload_units() == []


@pytest.mark.parametrize(
    ("text", "words"), [("a: [broken", "line 2"), ("- a list\n", "mapping"), (None, "does not exist")]
)
def test_a_config_that_cannot_be_used_is_a_finding(host: Host, text: str | None, words: str) -> None:
    config = host.config("backwash", text) if text else host.configs / "nowhere.yaml"
    found = validate(host, config)
    assert [subject for subject, _ in found] == ["config"]
    assert words in found[0][1]


def test_the_ports_of_another_agent_are_named_with_the_agent(host: Host) -> None:
    first, second, third = free_ports(3)
    host.start(host.config("one", config_text(first, second)))
    host.stop("one")
    found = validate(host, host.config("two", config_text(first, third)))
    words = f"event_bus.cli_connection names port {first}, which agent 'one' names too; give another port"
    assert found == [("port", words)]


def test_agents_that_share_a_coreio_share_its_port(host: Host) -> None:
    first, second, shared = free_ports(3)
    host.start(host.config("one", config_text(first, shared)), coreio_id="plant")
    config = host.config("two", config_text(second, shared))
    assert validate(host, config, coreio_id="plant") == []
    assert [subject for subject, _ in validate(host, config)] == ["port"]


def test_a_port_that_a_stranger_listens_on_is_named_with_the_stranger(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        found = validate(host, host.config("backwash", config_text(port)))
    assert len(found) == 1
    assert f"port {port}, which is in use by" in found[0][1]


def test_an_agent_that_runs_may_listen_on_its_own_port(host: Host) -> None:
    port = free_ports(1)[0]
    script = f"import socket,time; held = socket.create_server(('127.0.0.1', {port})); time.sleep(3600)"
    host.install("corerl", script=f'#!/bin/sh\nexec {sys.executable} -c "{script}"\n')
    config = host.config("backwash", config_text(port))
    host.start(config)
    while socket.socket().connect_ex(("127.0.0.1", port)):
        assert host.status("backwash")["state"] == "running"
    assert validate(host, config) == []
    other = validate(host, host.config("other", config_text(None, port)))
    assert "agent 'backwash' names too" in other[0][1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x7fELF", "cut off"),
        (b"\x7fELF\x02\x01" + b"\0" * 12 + b"\xff\xff" + b"\0" * 40, "another kind of machine"),
        (b"#!/no/such/interpreter\n", "/no/such/interpreter"),
        (b"MZ", "neither a program"),
    ],
)
def test_an_executable_that_could_not_run_is_found(host: Host, content: bytes, words: str) -> None:
    path = host.install("corerl")
    path.write_bytes(content)
    found = validate(host, host.config("backwash"))
    assert [subject for subject, _ in found] == ["executable"]
    assert words in found[0][1]


def check(host: Host, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*host.command(), "--check-config", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_check_config_is_content_with_good_settings_and_configs(idle_host: Host) -> None:
    idle_host.install("gate")
    idle_host.settings(services={"gate": {"config": str(idle_host.config("gate"))}})
    done = check(idle_host, idle_host.config("one", config_text(*free_ports(2))), idle_host.config("two"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "coredinator: nothing is wrong\n", "")
    assert not idle_host.state_dir.exists()


def test_check_config_says_all_about_services_and_configs(idle_host: Host) -> None:
    shared = free_ports(1)[0]
    idle_host.settings(
        kinds={"tep": {"health": {"type": "tcp"}}},
        services={
            "gate": {"config": "/nowhere.yaml"},
            "tele": {"executable": "corerl", "health": {"type": "http"}},
        },
    )
    one, two = (idle_host.config(name, config_text(shared)) for name in ("one", "two"))
    done = check(idle_host, one, two)
    assert done.returncode == 78
    lines = done.stderr.splitlines()
    assert [words for words in (
        "service gate: no executable gate", "service gate: config /nowhere.yaml does not exist",
        "service tele has a health check", "kind tep has a health check",
        f"{one}: port: event_bus.cli_connection names port {shared}, which agent 'two' names too",
        f"{two}: port: event_bus.cli_connection names port {shared}, which agent 'one' names too",
    ) if not any(words in line for line in lines)] == []  # fmt: skip
    assert len(lines) == 6
    assert not idle_host.state_dir.exists()


def test_check_config_knows_the_managers_own_ports_and_those_in_use(idle_host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        done = check(idle_host, idle_host.config("one", config_text(idle_host.sub_port, port)))
    assert done.returncode == 78
    bus, taken = done.stderr.splitlines()
    assert f"names port {idle_host.sub_port}, which is that of the event bus for subscribers" in bus
    assert f"names port {port}, which is in use by" in taken


def test_check_config_says_all_about_bad_settings(idle_host: Host) -> None:
    idle_host.settings(
        **{"stable-period": -1, "no-such-key": 1},
        kinds={"corerl": {"limits": {"memory-max": "plenty"}}, "corelr": {}},
        services={"gate": {"health": {"type": "watchdog", "port": 5}, "arguments": ["$HOME"]}, "a/b": {}},
    )
    done = check(idle_host)
    assert done.returncode == 78
    lines = done.stderr.splitlines()
    assert [words for words in (
        "unknown keys: no-such-key", "--stable-period", "kinds.corerl.limits.memory-max: is no size", "kinds.corelr",
        "services.gate.health: a watchdog has no port", "services.gate.arguments.0: '$HOME'",
    ) if not any(words in line for line in lines)] == []  # fmt: skip


def test_a_service_name_that_is_no_unit_name_keeps_the_manager_from_starting(idle_host: Host) -> None:
    idle_host.settings(services={"a/b": {}})
    done = subprocess.run(idle_host.command(), check=False, capture_output=True, text=True)
    assert done.returncode == 78
    assert "services" in done.stderr
    assert "'a/b'" in done.stderr
