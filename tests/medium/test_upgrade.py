"""Versions of CoreRL: which there are, going to another one, and back if it is no good."""

import contextlib
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.host import (
    CRASHER,
    SLEEPER,
    STUBBORN,
    Host,
    Subscriber,
    agent_unit,
    bus_away,
    free_port,
    show,
    systemctl,
    wait_for,
)

AGENT = agent_unit("backwash")
QUICK = {"grace": 0.5}
ENDS_LATER = "#!/bin/sh\nsleep 0.3\nexit 4\n"


def upgrade(host: Host, *, code: int = 200, **order: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    return host.post("/api/agents/backwash/upgrade", QUICK | order, code=code)


@pytest.fixture
def running(host: Host) -> Host:
    """A host whose agent runs version 1.0.0, while 1.1.0 is there."""
    host.start(host.config("backwash"))
    host.install("corerl", "v1.1.0")
    return host


def test_versions_tell_what_runs_and_what_is_there_newest_first(running: Host) -> None:
    running.install("corerl", "dev7-v2.0.0")
    versions = running.api.get("/api/agents/backwash/versions").json()
    assert (versions["running"], versions["pinned"]) == ("1.0.0", None)
    assert [line["version"] for line in versions["available"]] == ["1.1.0", "1.0.0", "dev7-v2.0.0"]
    assert versions["executable"] == versions["available"][1]["executable"]
    running.stop("backwash")
    assert running.api.get("/api/agents/backwash/versions").json()["running"] is None


def test_an_upgrade_runs_the_newest_version(running: Host) -> None:
    before = running.pids("backwash")
    assert upgrade(running) == {
        "agent_id": "backwash", "outcome": "upgraded", "version": "1.1.0", "previous_version": "1.0.0", "reason": None,
    }  # fmt: skip
    after = running.pids("backwash")
    assert after[0] != before[0]
    assert after[1] == before[1]
    assert running.corerl("backwash")["version"] == "1.1.0"
    assert running.api.get("/api/agents/backwash/versions").json()["pinned"] is None


def test_each_step_is_an_event_and_in_the_history(running: Host, events: Subscriber) -> None:
    upgrade(running, version="1.1.0")
    upgrading = events.wait_for("agent.upgrading", AGENT)
    assert (upgrading["version"], upgrading["previous_version"]) == ("1.1.0", "1.0.0")
    upgraded = events.wait_for("agent.upgraded", AGENT)
    assert (upgraded["version"], upgraded["state"], upgraded["reason"]) == ("1.1.0", "running", None)
    causes = [line["cause"] for line in running.api.get("/api/agents/backwash/history").json()]
    assert "upgrade to 1.1.0" in causes
    assert "operator" not in causes


@pytest.mark.parametrize(
    ("script", "words"), [(CRASHER, "exit status 3"), (ENDS_LATER, "exit status 4")], ids=["at once", "in its grace"]
)
def test_a_version_that_ends_is_rolled_back_and_the_old_one_pinned(running: Host, script: str, words: str) -> None:
    running.install("corerl", "v1.1.0", script)
    outcome = upgrade(running, grace=5)
    assert (outcome["outcome"], outcome["version"]) == ("rolled_back", "1.0.0")
    assert words in outcome["reason"]
    running.wait_state("backwash", "running")
    assert running.corerl("backwash")["version"] == "1.0.0"
    running.post("/api/agents/backwash/restart")
    assert running.corerl("backwash")["version"] == "1.0.0"
    assert "rolled back, version 1.1.0, before 1.0.0" in running.log.read_text()


def test_a_rollback_is_an_event_that_says_why(running: Host, events: Subscriber) -> None:
    running.install("corerl", "v1.1.0", CRASHER)
    outcome = upgrade(running)
    rolled_back = events.wait_for("agent.rolled_back", AGENT)
    assert (rolled_back["version"], rolled_back["previous_version"]) == ("1.1.0", "1.0.0")
    assert rolled_back["reason"] == outcome["reason"]
    assert {topic for topic, _ in events.seen}.isdisjoint({"agent.upgraded", "agent.upgrade_failed"})


def test_a_version_that_is_named_is_pinned_also_an_older_one(running: Host) -> None:
    upgrade(running)
    outcome = upgrade(running, version="v1.0.0")
    assert (outcome["outcome"], outcome["version"], outcome["previous_version"]) == ("upgraded", "1.0.0", "1.1.0")
    running.post("/api/agents/backwash/restart")
    assert running.corerl("backwash")["version"] == "1.0.0"
    assert upgrade(running)["version"] == "1.1.0"


def test_what_runs_already_is_left_alone(running: Host) -> None:
    pid = running.corerl("backwash")["main_pid"]
    assert upgrade(running, version="1.0.0")["outcome"] == "unchanged"
    assert running.corerl("backwash")["main_pid"] == pid
    assert running.api.get("/api/agents/backwash/versions").json()["pinned"] == "1.0.0"


def test_the_old_version_runs_on_when_the_new_one_cannot_be_put_in_place(running: Host) -> None:
    pid = running.corerl("backwash")["main_pid"]
    assert "9.9.9" in upgrade(running, version="9.9.9", code=409)["detail"]
    running.install("corerl", "v1.2.0").write_text("")
    assert "is empty" in upgrade(running, code=409)["detail"]
    running.install("corerl", "v1.2.0", "#!/no/such/interpreter\n")
    assert "/no/such/interpreter" in upgrade(running, code=409)["detail"]
    running.config("backwash", "[broken")
    assert "backwash.yaml" in upgrade(running, version="1.1.0", code=400)["detail"]
    assert running.corerl("backwash")["main_pid"] == pid
    assert running.status("backwash")["state"] == "running"


def test_a_rollback_without_the_old_version_is_said_to_have_failed(running: Host, events: Subscriber) -> None:
    running.install("corerl", "v1.1.0", CRASHER)
    Path(running.corerl("backwash")["executable"]).unlink()
    outcome = upgrade(running)
    assert outcome["outcome"] == "failed"
    assert "exit status 3" in outcome["reason"]
    assert "cannot be rolled back" in outcome["reason"]
    failed = events.wait_for("agent.upgrade_failed", AGENT)
    assert (failed["version"], failed["previous_version"]) == ("1.1.0", "1.0.0")
    assert failed["reason"] == outcome["reason"]


def test_an_upgrade_for_which_systemd_is_out_of_reach_has_failed_and_changes_nothing(
    running: Host, events: Subscriber
) -> None:
    pid = running.corerl("backwash")["main_pid"]
    with bus_away():
        wait_for(lambda: running.health()["systemd"]["status"] == "unreachable", what="the loss of systemd")
        detail = upgrade(running, code=503)["detail"]
    failed = events.wait_for("agent.upgrade_failed", AGENT)
    assert (failed["version"], failed["previous_version"], failed["reason"]) == ("1.0.0", "1.0.0", detail)
    wait_for(lambda: running.health()["systemd"]["status"] == "connected", timeout=20, what="systemd")
    assert (running.corerl("backwash")["main_pid"], running.corerl("backwash")["version"]) == (pid, "1.0.0")


def test_a_stopped_or_unknown_agent_is_not_upgraded(running: Host) -> None:
    running.stop("backwash")
    assert "stopped" in upgrade(running, code=409)["detail"]
    assert running.api.post("/api/agents/nobody/upgrade").status_code == 404
    assert running.api.get("/api/agents/nobody/versions").status_code == 404


def test_one_upgrade_at_a_time_and_a_stop_ends_it(running: Host) -> None:
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(upgrade, running, grace=3600)
        wait_for(lambda: running.corerl("backwash")["version"] == "1.1.0")
        assert "under way" in upgrade(running, code=409)["detail"]
        running.stop("backwash")
        assert first.result()["outcome"] == "stopped"
    assert running.status("backwash")["state"] == "stopped"
    assert running.corerl("backwash")["version"] == "1.1.0"


def test_of_many_upgrades_at_once_one_is_made(running: Host) -> None:
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(running.api.post, "/api/agents/backwash/upgrade", json={"grace": 1}) for _ in range(16)]
        answers = [call.result() for call in calls]
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 15
    history = running.api.get("/api/agents/backwash/history").json()
    assert [line["cause"] for line in history].count("upgrade to 1.1.0") == 1


def test_a_new_manager_goes_on_watching_over_an_upgrade(running: Host) -> None:
    # Ends only once it is told to, so that it does so under the second manager.
    signal = running.folder / "end"
    running.install("corerl", "v1.1.0", f"#!/bin/sh\nwhile ! [ -e '{signal}' ]; do sleep 0.05; done\nexit 3\n")
    old = running.corerl("backwash")["main_pid"]
    abandoned = threading.Thread(target=_try_upgrade, args=(running,))
    abandoned.start()
    wait_for(lambda: running.corerl("backwash")["main_pid"] not in {None, old})
    running.kill()
    abandoned.join()
    running.launch()
    signal.touch()
    wait_for(lambda: running.corerl("backwash")["version"] == "1.0.0", what="a rollback")
    running.wait_state("backwash", "running")


def test_an_upgrade_that_was_cut_short_while_the_old_version_stopped_is_seen_through(idle_host: Host) -> None:
    idle_host.install("corerl", "v1.0.0", STUBBORN)
    idle_host.launch()
    idle_host.start(idle_host.config("backwash"))
    idle_host.wait_stubborn("backwash")
    idle_host.install("corerl", "v1.1.0")
    abandoned = threading.Thread(target=_try_upgrade, args=(idle_host,))
    abandoned.start()
    wait_for(lambda: show(AGENT, "ActiveState") == "deactivating", what="the stop of the old version")
    idle_host.kill()
    abandoned.join()
    idle_host.launch()
    wait_for(lambda: idle_host.corerl("backwash")["state"] == "running", timeout=20, what="the new version")
    assert idle_host.corerl("backwash")["version"] == "1.1.0"
    assert idle_host.status("backwash")["intended_state"] == "running"
    history = idle_host.api.get("/api/agents/backwash/history").json()
    assert not any("operator" in line["cause"] for line in history)


def test_an_upgrade_that_was_cut_short_before_the_old_version_stopped_has_failed_and_nothing_else(
    running: Host,
) -> None:
    before = running.corerl("backwash")
    running.terminate()
    newer = before["executable"].replace("1.0.0", "1.1.0")
    with contextlib.closing(sqlite3.connect(running.state_dir / "coredinator.db")) as database:
        database.execute(
            "UPDATE services SET executable = ?, version = '1.1.0', previous_version = '1.0.0', pending = 'start' "
            "WHERE kind = 'corerl'", (newer,),
        )  # fmt: skip
        database.commit()
    running.launch()
    wait_for(lambda: "upgrade failed" in running.log.read_text(), what="the end of the upgrade")
    after = running.corerl("backwash")
    assert [after[key] for key in ("main_pid", "executable", "version")] == [
        before[key] for key in ("main_pid", "executable", "version")
    ]
    assert running.api.get("/api/agents/backwash/versions").json()["pinned"] == "1.0.0"


def _try_upgrade(host: Host) -> None:
    """Ask in a way that survives the manager's end."""
    with host.another_client() as client:
        client.post("/api/agents/backwash/upgrade", json={"grace": 3600})


# Serves its port once it is told to by the file `well` beside its config.
SERVER = f"""#!{sys.executable}
import http.server, pathlib, re, sys, time
config = pathlib.Path(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if VERSION in config.with_name("well").read_text().split() else 503)
        self.end_headers()
port = int(re.search(r"cli_connection: tcp://localhost:(\\d+)", config.read_text())[1])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.mark.parametrize(("well", "outcome"), [("1.0.0 1.1.0", "upgraded"), ("1.0.0", "rolled_back")])
def test_with_a_health_check_a_version_has_to_become_healthy(idle_host: Host, well: str, outcome: str) -> None:
    for version in ("1.0.0", "1.1.0"):
        idle_host.install("corerl", f"v{version}", SERVER.replace("VERSION", repr(version)))
    (idle_host.configs / "well").write_text(well)
    health = {"type": "http", "interval": 0.1, "timeout": 2, "failures": 100, "grace": 30}
    idle_host.settings(kinds={"corerl": {"health": health}})
    idle_host.launch()
    config = idle_host.config("backwash", f"event_bus:\n  cli_connection: tcp://localhost:{free_port()}\n")
    idle_host.start(config, version="1.0.0")
    # A version that becomes healthy need not sit out its grace period; one that does not has to.
    answer = upgrade(idle_host, grace=20 if outcome == "upgraded" else 2)
    assert answer["outcome"] == outcome
    if outcome == "rolled_back":
        assert answer["reason"] == "it was not healthy within 2 s"
    idle_host.wait_state("backwash", "running")
    assert idle_host.corerl("backwash")["version"] == answer["version"]


def test_an_operators_restart_during_the_trial_is_no_failure(running: Host) -> None:
    running.install("corerl", "v1.1.0", SLEEPER)
    old = running.corerl("backwash")["main_pid"]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(upgrade, running, grace=2)
        wait_for(lambda: running.corerl("backwash")["main_pid"] not in {None, old}, what="the new version")
        running.wait_state("backwash", "running")
        systemctl("restart", AGENT)
        assert first.result()["outcome"] == "upgraded"
    assert show(AGENT, "ActiveState") == "active"
