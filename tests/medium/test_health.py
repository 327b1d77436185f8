"""Health checks: over HTTP, over TCP, and by systemd's watchdog."""

import socket
import socketserver
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, override

import pytest

from tests.support.host import (
    Host,
    Subscriber,
    agent_unit,
    coreio_unit,
    free_port,
    free_ports,
    service_unit,
    show,
    systemctl,
    wait_for,
)

AGENT = agent_unit("backwash")
# Serves the port of its config; what it says is in the file `answer` beside it: a status code, or `hang`.
SERVER = f"""#!{sys.executable}
import http.server, pathlib, re, sys, time
config = pathlib.Path(sys.argv[2])
answer = config.with_name("answer")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = answer.read_text()
        with config.with_name("asked").open("a") as asked:
            asked.write(self.path + "\\n")
        if said == "hang":
            time.sleep(3600)
        self.send_response(int(said))
        self.end_headers()
port = int(re.search(r"cli_connection: tcp://localhost:(\\d+)", config.read_text())[1])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
# Sends what systemd waits for, and signs of life until the file `dead` is there.
WATCHED = f"""#!{sys.executable}
import os, pathlib, socket, sys, time
config = pathlib.Path(sys.argv[2])
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(text, os.environ["NOTIFY_SOCKET"])
if config.with_name("silent").exists():
    time.sleep(3600)
say(b"READY=1")
while not config.with_name("dead").exists():
    say(b"WATCHDOG=1")
    time.sleep(0.05)
time.sleep(3600)
"""
QUICK = {"interval": 0.1, "timeout": 0.5, "failures": 3, "grace": 0}


class Served:
    """A host whose CoreRL, or CoreIO, serves HTTP; at the port of the other one nobody does."""

    def __init__(self, host: Host, kind: str = "corerl", **health: Any) -> None:  # noqa: ANN401  # settings
        self.host = host
        self.kind = kind
        self.port, other = free_ports(2)
        corerl, coreio = (self.port, other) if kind == "corerl" else (other, self.port)
        self.say("200")
        self.config = host.config(
            "backwash",
            f"event_bus:\n  cli_connection: tcp://localhost:{corerl}\n"
            f"coreio:\n  coreio_origin: http://localhost:{coreio}\n",
        )
        served = SERVER if kind == "corerl" else SERVER.replace("cli_connection: tcp", "coreio_origin: http")
        host.install(kind, script=served)
        host.settings(kinds={kind: {"health": QUICK | {"type": "http"} | health}})
        host.launch()
        host.start(self.config)
        wait_for(lambda: self.verdict() is not None, what="a verdict")

    def say(self, answer: str) -> None:
        (self.host.configs / "answer").write_text(answer)

    def asked(self) -> list[str]:
        return (self.host.configs / "asked").read_text().split()

    def verdict(self) -> dict[str, Any] | None:
        return self.host.status("backwash")["service_statuses"][self.kind]["health"]

    def causes(self) -> list[tuple[str, str]]:
        lines = self.host.api.get("/api/agents/backwash/history").json()
        unit = AGENT if self.kind == "corerl" else coreio_unit("backwash-coreio")
        return [(line["state"], line["cause"]) for line in reversed(lines) if line["unit"] == unit]


def test_a_service_that_answers_is_healthy(idle_host: Host) -> None:
    served = Served(idle_host)
    assert served.verdict() == {"healthy": True, "detail": f"answers on port {served.port}"}
    assert idle_host.status("backwash")["state"] == "running"
    assert set(served.asked()) == {"/api/healthcheck"}


@pytest.mark.parametrize(
    ("answer", "words"), [("503", "/api/healthcheck answered 503"), ("hang", "no answer")], ids=["503", "hangs"]
)
def test_a_service_that_is_not_well_is_failed_then_restarted_by_systemd(
    idle_host: Host, answer: str, words: str
) -> None:
    served = Served(idle_host)
    events = Subscriber(idle_host.sub_port)
    try:
        pid = idle_host.corerl("backwash")["main_pid"]
        served.say(answer)
        wait_for(lambda: ("failed", "health") in served.causes(), what="failed")
        served.say("200")
        wait_for(lambda: idle_host.corerl("backwash")["main_pid"] not in {None, pid}, what="a new process")
        wait_for(lambda: (served.verdict() or {}).get("healthy"), what="healthy again")
        assert idle_host.status("backwash")["state"] == "running"
        assert idle_host.status("backwash")["intended_state"] == "running"
        failed = events.wait_for("agent.failed", AGENT)
        assert (failed["previous_state"], failed["main_pid"]) == ("running", pid)
    finally:
        events.close()
    after = served.causes()[served.causes().index(("failed", "health")) :]
    assert {cause for _, cause in after} == {"health"}
    assert [state for state, _ in after][:2] == ["failed", "stopping"]
    assert words in idle_host.log.read_text()


def test_a_service_has_failed_after_as_many_failures_in_a_row_as_set(idle_host: Host) -> None:
    idle_host.install("gate")
    answers = iter([503, 200, 503, 503])
    before: list[str] = []

    class Gate(BaseHTTPRequestHandler):
        """Notes the state that the probes before have led to."""

        def do_GET(self) -> None:
            before.append(idle_host.service("gate")["state"])
            self.send_response(next(answers, 503))
            self.end_headers()

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Gate) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever, 0.05)
        health = QUICK | {"type": "http", "port": server.server_address[1], "timeout": 30, "failures": 2}
        idle_host.settings(services={"gate": {"restart": "no", "health": health}})
        try:
            idle_host.launch()
            wait_for(lambda: len(before) > 4, what="five probes")
        finally:
            server.shutdown()
    assert before[:5] == ["running"] * 4 + ["failed"]


def test_fewer_failures_than_set_are_none(idle_host: Host) -> None:
    served = Served(idle_host, failures=1000)
    pid = idle_host.corerl("backwash")["main_pid"]
    served.say("503")
    count = len(served.asked())
    wait_for(lambda: len(served.asked()) > count + 5, what="more probes")
    assert idle_host.status("backwash")["state"] == "running"
    assert idle_host.corerl("backwash")["main_pid"] == pid


def test_nothing_counts_within_the_grace_period(idle_host: Host) -> None:
    served = Served(idle_host, grace=3600)
    served.say("503")
    count = len(served.asked())
    wait_for(lambda: len(served.asked()) > count + 5, what="more probes")
    assert idle_host.status("backwash")["state"] == "running"


def test_an_operators_stop_of_an_unhealthy_agent_is_a_stop(idle_host: Host) -> None:
    served = Served(idle_host)
    served.say("503")
    wait_for(lambda: ("failed", "health") in served.causes(), what="failed")
    idle_host.stop("backwash")
    assert idle_host.status("backwash")["state"] == "stopped"
    assert show(AGENT, "ActiveState") == "inactive"


@pytest.mark.parametrize("probe", ["http", "tcp"])
def test_a_coreio_is_asked_at_the_port_of_its_own(idle_host: Host, probe: str) -> None:
    served = Served(idle_host, "coreio", type=probe)
    assert served.verdict() == {"healthy": True, "detail": f"answers on port {served.port}"}
    assert idle_host.corerl("backwash")["health"] is None


def test_a_coreio_that_is_not_well_is_restarted_and_its_corerl_runs_on(idle_host: Host) -> None:
    served = Served(idle_host, "coreio")
    corerl, coreio = idle_host.pids("backwash")
    served.say("503")
    wait_for(lambda: ("failed", "health") in served.causes(), what="failed")
    served.say("200")
    wait_for(lambda: idle_host.coreio("backwash")["main_pid"] not in {None, coreio}, what="a new process")
    wait_for(lambda: (served.verdict() or {}).get("healthy"), what="healthy again")
    assert idle_host.coreio("backwash")["intended_state"] == "running"
    assert idle_host.corerl("backwash")["main_pid"] == corerl


def test_a_port_of_ones_own_and_another_path(idle_host: Host) -> None:
    port = free_port()
    config = idle_host.config("gate", f"event_bus:\n  cli_connection: tcp://localhost:{port}\n")
    (idle_host.configs / "answer").write_text("204")
    idle_host.install("gate", script=SERVER)
    health = QUICK | {"type": "http", "port": port, "path": "/ready?now"}
    idle_host.settings(services={"gate": {"config": str(config), "health": health}})
    idle_host.launch()
    wait_for(lambda: (idle_host.service("gate")["health"] or {}).get("healthy"), what="healthy")
    assert (idle_host.configs / "asked").read_text().split()[0] == "/ready?now"


def test_a_service_with_an_open_tcp_port_is_healthy(idle_host: Host) -> None:
    idle_host.install("gate")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]
        idle_host.settings(services={"gate": {"health": QUICK | {"type": "tcp", "port": port}}})
        idle_host.launch()
        pid = wait_for(lambda: idle_host.service("gate")["main_pid"], what="a process")
        for _ in range(QUICK["failures"] + 2):
            listener.accept()[0].close()
        status = idle_host.service("gate")
        assert status["health"] == {"healthy": True, "detail": f"answers on port {port}"}
        assert (status["state"], status["main_pid"], status["restarts"]) == ("running", pid, 0)
        assert "does not pass its health check" not in idle_host.log.read_text()


class Talker(socketserver.BaseRequestHandler):
    """Says something that is not HTTP."""

    @override
    def handle(self) -> None:
        self.request.sendall(b"220 gate ready\r\n")
        self.request.recv(4096)


def test_a_service_whose_answer_is_not_http_has_failed(idle_host: Host) -> None:
    idle_host.install("gate")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talker) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever, 0.05)
        port = server.server_address[1]
        idle_host.settings(services={"gate": {"restart": "no", "health": QUICK | {"type": "http", "port": port}}})
        try:
            idle_host.launch()
            health = idle_host.wait_service("gate", "failed")["health"]
        finally:
            server.shutdown()
    assert not health["healthy"]
    assert f"what 127.0.0.1 port {port} answers is not HTTP" in health["detail"]


def test_a_service_without_an_open_tcp_port_is_restarted(idle_host: Host) -> None:
    idle_host.install("gate")
    port = free_port()
    idle_host.settings(services={"gate": {"health": QUICK | {"type": "tcp", "port": port}}})
    idle_host.launch()
    unit = service_unit("gate")
    first = wait_for(lambda: idle_host.service("gate")["main_pid"], what="a process")
    wait_for(lambda: idle_host.service("gate")["main_pid"] not in {None, first}, what="a restart")
    assert f"no connection to 127.0.0.1 port {port}" in idle_host.log.read_text()
    assert show(unit, "NRestarts") == "0"


def test_a_service_that_systemd_never_restarts_stays_failed(idle_host: Host) -> None:
    idle_host.install("gate")
    health = QUICK | {"type": "tcp", "port": free_port()}
    idle_host.settings(services={"gate": {"restart": "no", "health": health}})
    idle_host.launch()
    status = idle_host.wait_service("gate", "failed")
    assert not status["health"]["healthy"]
    assert status["main_pid"] == int(show(service_unit("gate"), "MainPID"))


def test_a_config_without_a_port_is_said_and_harms_nobody(idle_host: Host) -> None:
    idle_host.settings(kinds={"corerl": {"health": QUICK | {"type": "http"}}})
    idle_host.launch()
    idle_host.start(idle_host.config("backwash"))
    wait_for(lambda: "names no port" in idle_host.log.read_text(), what="a warning")
    assert idle_host.status("backwash")["state"] == "running"
    assert idle_host.log.read_text().count("names no port") == 1


def test_a_verdict_outlives_the_manager(idle_host: Host) -> None:
    idle_host.install("gate")
    port = free_port()
    idle_host.settings(services={"gate": {"restart": "no", "health": QUICK | {"type": "tcp", "port": port}}})
    idle_host.launch()
    idle_host.wait_service("gate", "failed")
    idle_host.kill()
    idle_host.launch()
    assert idle_host.service("gate")["state"] == "failed"


def test_without_its_health_check_a_service_is_judged_by_systemd_again(idle_host: Host) -> None:
    idle_host.install("gate")
    idle_host.settings(services={"gate": {"restart": "no", "health": QUICK | {"type": "tcp", "port": free_port()}}})
    idle_host.launch()
    idle_host.wait_service("gate", "failed")
    idle_host.terminate()
    idle_host.settings(services={"gate": {"restart": "no"}})
    idle_host.launch()
    assert idle_host.service("gate")["health"] is None
    assert idle_host.service("gate")["state"] == "running"


def test_fifty_hung_services_delay_no_answer_and_take_no_thread(idle_host: Host) -> None:
    port = free_port()
    config = idle_host.config("server", f"event_bus:\n  cli_connection: tcp://localhost:{port}\n")
    (idle_host.configs / "answer").write_text("hang")
    idle_host.install("server", script=SERVER)
    idle_host.install("sleeper")
    health = {"type": "http", "port": port, "interval": 0.2, "timeout": 30, "failures": 3, "grace": 3600}
    sleepers = {f"sleeper{number}": {"executable": "sleeper", "health": health} for number in range(50)}
    idle_host.settings(services={"server": {"config": str(config)}} | sleepers)
    idle_host.launch()
    asked = idle_host.configs / "asked"
    wait_for(lambda: asked.exists() and len(asked.read_text().split()) == 50, what="fifty open probes", timeout=30)
    assert idle_host.process is not None
    threads = len(list(Path(f"/proc/{idle_host.process.pid}/task").iterdir()))
    assert threads < 25
    for _ in range(20):
        assert idle_host.api.get("/api/services/sleeper0/status", timeout=1).json()["status"]["state"] == "running"


def watched(host: Host) -> Path:
    config = host.config("backwash")
    host.install("corerl", script=WATCHED)
    host.settings(kinds={"corerl": {"health": {"type": "watchdog", "timeout": 0.5, "grace": 20}}})
    host.launch()
    return config


def test_a_watchdog_is_systemds(idle_host: Host) -> None:
    idle_host.start(watched(idle_host))
    properties = ("Type", "NotifyAccess", "WatchdogUSec", "TimeoutStartUSec")
    assert [show(AGENT, name) for name in properties] == ["notify", "all", "500ms", "20s"]
    pid = idle_host.wait_state("backwash", "running")["service_statuses"]["corerl"]["main_pid"]
    (idle_host.configs / "dead").touch()
    wait_for(lambda: idle_host.corerl("backwash")["restarts"] == 1, what="a restart by the watchdog")
    (idle_host.configs / "dead").unlink()
    idle_host.wait_state("backwash", "running")
    assert idle_host.corerl("backwash")["main_pid"] != pid
    lines = idle_host.api.get("/api/agents/backwash/history").json()
    assert "watchdog" in {line["result"] for line in lines if line["state"] == "failed"}


def test_a_service_that_never_says_that_it_is_ready_is_starting(idle_host: Host) -> None:
    config = watched(idle_host)
    (idle_host.configs / "silent").touch()
    started = idle_host.api.post("/api/agents/start", json={"config_path": str(config)}, timeout=30)
    assert started.status_code == 200
    assert idle_host.status("backwash")["state"] == "starting"
    systemctl("stop", AGENT)
    wait_for(lambda: idle_host.status("backwash")["intended_state"] == "stopped")
