"""What the API answers when something stands in the way of a sensible request."""

import contextlib
import fcntl
import os
import signal
import socket
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.host import Host, agent_unit, coreio_unit, drop_in, show, systemctl, wait_for, workload_units


def test_another_config_for_a_running_id_is_409(host: Host) -> None:
    host.start(host.config("backwash"))
    before = host.pids("backwash")
    other = host.folder / "other"
    other.mkdir()
    twin = other / "backwash.yaml"
    twin.write_text("agent_name: twin\n")
    answer = host.api.post("/api/agents/start", json={"config_path": str(twin), "coreio_id": "another"})
    code, detail = answer.status_code, answer.json()["detail"]
    assert code == 409
    assert str(twin) in detail
    assert agent_unit("backwash") in detail
    assert host.pids("backwash") == before
    assert coreio_unit("another") not in workload_units()
    answer = host.api.post("/api/coreio/start", json={"config_path": str(twin)})
    assert answer.status_code == 409


@contextlib.contextmanager
def hung(path: Path) -> Generator[None]:
    """A file on a disk that does not answer: whoever opens it waits for the end of a lease (fcntl(2))."""
    # The kernel asks for the lease back by a signal that would end the tests.
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    holder = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(holder)
        signal.signal(signal.SIGIO, before)


def test_a_config_on_a_disk_that_hangs_is_503_and_others_are_read_meanwhile(host: Host) -> None:
    config = host.config("backwash")
    with hung(config), ThreadPoolExecutor(1) as pool:
        started = pool.submit(host.api.post, "/api/agents/start", json={"config_path": str(config)})
        host.start(host.config("other"))
        assert not started.done()
        answer = started.result()
    assert answer.status_code == 503
    assert "disk of configs and executables did not answer within 10 s" in answer.json()["detail"]
    assert "Retry-After" in answer.headers
    assert agent_unit("backwash") not in workload_units()
    assert host.start(config) == "backwash"


def test_a_link_to_the_same_config_is_no_conflict(host: Host) -> None:
    config = host.config("backwash")
    host.start(config)
    other = host.folder / "other"
    other.mkdir()
    (other / "backwash.yaml").symlink_to(config)
    assert host.start(other / "backwash.yaml") == "backwash"


def test_a_missing_executable_is_200_failed_with_an_error(host: Host) -> None:
    (host.base_path / "releases" / "linux-corerl-v1.0.0").unlink()
    host.start(host.config("backwash"))
    status = host.status("backwash")
    assert status["state"] == "failed"
    assert status["intended_state"] == "running"
    corerl = status["service_statuses"]["corerl"]
    assert "corerl" in corerl["error"]
    assert str(host.base_path) in corerl["error"]
    assert workload_units() == [coreio_unit("backwash-coreio")]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("ConditionPathExists=/no/such/path", "condition"),
        ("AssertPathExists=/no/such/path", "condition"),
        ("Requisite=smartcard.target\nAfter=smartcard.target", "requires"),
    ],
)
def test_a_start_that_systemd_takes_and_does_not_begin_has_failed_and_is_tried_again(
    idle_host: Host, setting: str, words: str
) -> None:
    idle_host.settings(**{"stable-period": 1})  # which makes the slow timer a fast one
    idle_host.launch()
    with drop_in("coredinator-agent@.service", f"[Unit]\n{setting}\n"):
        idle_host.start(idle_host.config("backwash"))
        status = idle_host.wait_state("backwash", "failed")
        assert words in status["service_statuses"]["corerl"]["error"]
        tries = idle_host.log.read_text().count("cannot be started")
        history = idle_host.api.get("/api/agents/backwash/history").json()
        assert 1 < len(times_written(idle_host, seconds=2)) < 40, "each try is written down, and none follows at once"
        status = idle_host.status("backwash")
        assert (status["state"], status["intended_state"]) == ("failed", "running")
        assert idle_host.log.read_text().count("cannot be started") == tries
        assert idle_host.api.get("/api/agents/backwash/history").json() == history
    assert idle_host.wait_state("backwash", "running")["service_statuses"]["corerl"]["error"] is None


def times_written(host: Host, seconds: float) -> set[int]:
    """When the database was written to, while these seconds passed."""
    log = host.state_dir / "coredinator.db-wal"
    end = time.monotonic() + seconds
    times: set[int] = set()
    while time.monotonic() < end:
        times.add(log.stat().st_mtime_ns)
        time.sleep(0.005)
    return times


def test_an_agent_starts_by_itself_once_its_executable_is_there(idle_host: Host) -> None:
    settings = idle_host.folder / "coredinator.yaml"
    settings.write_text("stable-period: 1\n")  # which makes the slow timer a fast one
    idle_host.extra_flags = ["--config", str(settings)]
    (idle_host.base_path / "releases" / "linux-corerl-v1.0.0").unlink()
    idle_host.launch()
    idle_host.start(idle_host.config("backwash"))
    assert idle_host.status("backwash")["state"] == "failed"
    idle_host.install("corerl")
    status = idle_host.wait_state("backwash", "running")
    assert status["service_statuses"]["corerl"]["error"] is None


def test_a_file_that_cannot_be_executed_is_failed(host: Host) -> None:
    host.install("corerl", script="#!/no/such/interpreter\n")
    host.start(host.config("backwash"))
    status = host.wait_state("backwash", "failed")
    assert status["service_statuses"]["corerl"]["result"] == "exit-code"
    assert status["service_statuses"]["corerl"]["exit_status"] == 203


@pytest.mark.parametrize("prefix", ["/api/coreio", "/api/io"])
def test_a_coreio_lives_by_itself(host: Host, prefix: str) -> None:
    config = host.config("backwash")
    started = host.api.post(f"{prefix}/start", json={"config_path": str(config)}).json()
    assert (started["service_id"], started["config_path"]) == ("backwash-coreio", str(config))
    assert started["status"]["state"] == "running"
    assert started["message"]
    answer = host.api.get(f"{prefix}/backwash-coreio/status").json()
    assert answer["service_id"] == "backwash-coreio"
    assert answer["status"]["main_pid"] == int(show(coreio_unit("backwash-coreio"), "MainPID"))
    again = host.api.post(f"{prefix}/start", json={"config_path": str(config)}).json()
    usage = dict.fromkeys(("memory_bytes", "cpu_seconds"))
    assert again["status"] | usage == answer["status"] | usage
    assert "message" in host.api.post(f"{prefix}/backwash-coreio/stop").json()
    assert host.api.get(f"{prefix}/").json() == {"coreio_services": []}
    assert host.api.get(f"{prefix}/backwash-coreio/status").status_code == 404
    assert workload_units() == []


def test_a_coreio_that_was_forgotten_starts_again(host: Host) -> None:
    config = host.config("backwash")
    host.start(config)
    host.api.post("/api/coreio/backwash-coreio/stop")
    assert host.coreio("backwash")["state"] == "stopped"
    host.start(config)
    assert host.status("backwash")["state"] == "running"


def test_an_event_bus_that_is_killed_is_told_of_until_it_runs_again(host: Host) -> None:
    wait_for(lambda: host.health()["status"] == "healthy")
    systemctl("kill", "--signal=KILL", "coredinator-eventbus.service")
    wait_for(lambda: host.health()["status"] == "degraded", what="word of it")
    wait_for(lambda: host.health()["status"] == "healthy", what="a new one")


def test_healthcheck_tells_of_the_bus(host: Host) -> None:
    wait_for(lambda: host.health()["status"] == "healthy")
    health = host.health()
    assert health["service"] == "coredinator"
    assert host.process is not None
    assert health["process_id"] == host.process.pid
    assert health["event_bus"] == {
        "status": "running",
        "config": {
            "xsub_addr": f"tcp://127.0.0.1:{host.pub_port}",
            "xpub_addr": f"tcp://127.0.0.1:{host.sub_port}",
            "publisher_endpoint": f"tcp://127.0.0.1:{host.pub_port}",
            "subscriber_endpoint": f"tcp://127.0.0.1:{host.sub_port}",
        },
    }


def test_an_allowed_web_page_may(idle_host: Host) -> None:
    idle_host.extra_flags = ["--cors-origin", "https://ui.example"]
    idle_host.launch()
    answer = idle_host.api.get("/api/agents/", headers={"Origin": "https://ui.example"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://ui.example"
    preflight = {"Origin": "https://ui.example", "Access-Control-Request-Method": "POST"}
    assert idle_host.api.options("/api/agents/start", headers=preflight).status_code == 200


def test_a_bus_port_taken_by_another_program_is_degraded_until_it_is_free(idle_host: Host) -> None:
    with socket.create_server(("127.0.0.1", idle_host.pub_port)):
        idle_host.launch()
        reason = wait_for(lambda: next((r for r in idle_host.health()["reasons"] if str(idle_host.pub_port) in r), ""))
        assert "in use" in reason
        assert idle_host.health()["status"] == "degraded"
        assert idle_host.health()["event_bus"]["status"] == "stopped"
        idle_host.start(idle_host.config("backwash"))
        assert idle_host.status("backwash")["state"] == "running"
    wait_for(lambda: idle_host.health()["status"] == "healthy", timeout=15)
