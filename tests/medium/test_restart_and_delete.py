"""Restarting and forgetting agents and CoreIO services."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.host import (
    CRASHER,
    STUBBORN,
    Host,
    Subscriber,
    agent_unit,
    coreio_unit,
    show,
    systemctl,
    wait_for,
    workload_units,
)

AGENT = agent_unit("backwash")


def test_a_restart_replaces_corerl_and_leaves_coreio(host: Host) -> None:
    host.start(host.config("backwash"))
    corerl, coreio = host.pids("backwash")
    host.post("/api/agents/backwash/restart")
    after = host.pids("backwash")
    assert after[0] not in {None, corerl}
    assert after[1] == coreio
    assert host.status("backwash")["state"] == "running"


def test_a_restart_is_in_the_history_and_on_the_bus_and_no_operators(host: Host, events: Subscriber) -> None:
    host.start(host.config("backwash"))
    events.wait_for("agent.started", AGENT)
    host.post("/api/agents/backwash/restart")
    for topic in ("agent.stopping", "agent.stopped", "agent.starting", "agent.started"):
        events.wait_for(topic, AGENT)
    causes = {line["cause"] for line in host.api.get("/api/agents/backwash/history").json()}
    assert causes == {"request", "restart asked for"}


def test_a_restart_takes_the_newest_executable(host: Host) -> None:
    host.start(host.config("backwash"))
    host.install("corerl", "v1.1.0")
    host.post("/api/agents/backwash/restart")
    assert host.corerl("backwash")["version"] == "1.1.0"


def test_a_restart_keeps_a_pinned_version(host: Host) -> None:
    host.start(host.config("backwash"), version="1.0.0")
    host.install("corerl", "v1.1.0")
    host.post("/api/agents/backwash/restart")
    assert host.corerl("backwash")["version"] == "1.0.0"


def test_a_pin_is_kept_until_another_version_or_the_newest_is_asked_for(host: Host) -> None:
    host.install("corerl", "v1.1.0")
    config = host.config("backwash")
    host.start(config, version="1.0.0")
    host.stop("backwash")
    host.start(config)
    assert host.corerl("backwash")["version"] == "1.0.0"
    host.start(config, version="newest")
    assert host.corerl("backwash")["version"] == "1.0.0"  # it runs already
    host.stop("backwash")
    host.start(config)
    assert host.corerl("backwash")["version"] == "1.1.0"
    host.start(config, version="v1.0.0")
    assert host.api.get("/api/agents/backwash/versions").json()["pinned"] == "1.0.0"
    host.post("/api/agents/backwash/restart")
    assert host.corerl("backwash")["version"] == "1.0.0"


def test_a_restart_starts_a_stopped_agent_and_its_coreio(host: Host) -> None:
    host.start(host.config("backwash"))
    host.stop("backwash")
    host.post("/api/coreio/backwash-coreio/stop")
    host.post("/api/agents/backwash/restart")
    status = host.status("backwash")
    assert (status["state"], status["intended_state"]) == ("running", "running")


def test_a_restart_of_a_crashing_agent_takes_effect(host: Host) -> None:
    host.install("corerl", script=CRASHER)
    host.start(host.config("backwash"))
    host.wait_state("backwash", "failed")
    host.install("corerl", "v1.0.1")
    host.post("/api/agents/backwash/restart")
    host.wait_state("backwash", "running")


def test_what_runs_is_not_stopped_for_a_restart_that_cannot_succeed(host: Host) -> None:
    config = host.config("backwash")
    executable = host.install("corerl")
    host.start(config)
    pids = host.pids("backwash")
    config.write_text("[broken\n")
    assert str(config) in host.post("/api/agents/backwash/restart", code=400)["detail"]
    config.write_text("agent_name: test\n")
    newer = host.install("corerl", "v1.1.0", "")
    assert f"{newer} is empty" in host.post("/api/agents/backwash/restart", code=409)["detail"]
    newer.unlink()
    executable.unlink()
    assert "corerl" in host.post("/api/agents/backwash/restart", code=409)["detail"]
    assert host.pids("backwash") == pids
    assert host.status("backwash")["state"] == "running"


def test_a_restart_that_was_cut_short_while_it_stopped_is_seen_through(host: Host) -> None:
    host.install("corerl", script=STUBBORN)
    host.start(host.config("backwash"))
    host.wait_stubborn("backwash")
    pid = host.corerl("backwash")["main_pid"]
    with ThreadPoolExecutor(1) as pool, host.another_client() as client:
        pool.submit(client.post, "/api/agents/backwash/restart")
        wait_for(lambda: show(AGENT, "ActiveState") == "deactivating", what="the stop")
        host.kill()
    host.launch()
    wait_for(lambda: host.corerl("backwash")["main_pid"] not in {None, pid}, timeout=20, what="a new process")
    assert host.status("backwash")["intended_state"] == "running"
    causes = {line["cause"] for line in host.api.get("/api/agents/backwash/history").json()}
    assert "operator" not in " ".join(causes)


def test_a_stopped_agent_is_deleted_with_its_unit(host: Host) -> None:
    host.start(host.config("backwash"))
    host.stop("backwash")
    assert host.api.delete("/api/agents/backwash").status_code == 200
    assert host.api.get("/api/agents/").json() == []
    assert host.status("backwash")["service_statuses"] == {}
    wait_for(lambda: workload_units() == [coreio_unit("backwash-coreio")])
    host.kill()
    host.launch()
    assert host.api.get("/api/agents/").json() == []


def test_an_agent_that_runs_is_not_deleted(host: Host) -> None:
    host.start(host.config("backwash"))
    answer = host.api.delete("/api/agents/backwash")
    assert answer.status_code == 409
    assert AGENT in answer.json()["detail"]
    assert host.status("backwash")["state"] == "running"


def test_an_agent_that_could_not_be_started_is_deleted(host: Host) -> None:
    host.install("corerl").unlink()
    host.start(host.config("backwash"))
    host.wait_state("backwash", "failed")
    assert host.api.delete("/api/agents/backwash").status_code == 200
    assert host.api.get("/api/agents/").json() == []


def test_a_deleted_agent_can_be_started_anew(host: Host) -> None:
    config = host.config("backwash")
    host.start(config)
    host.stop("backwash")
    host.api.delete("/api/agents/backwash")
    host.start(config)
    host.wait_state("backwash", "running")


@pytest.mark.parametrize("prefix", ["/api/coreio", "/api/io"])
def test_coreio_is_restarted_and_refuses_deletion_while_it_runs(host: Host, prefix: str) -> None:
    host.start(host.config("backwash"))
    corerl, coreio = host.pids("backwash")
    host.post(f"{prefix}/backwash-coreio/restart")
    after = host.pids("backwash")
    assert after[0] == corerl
    assert after[1] not in {None, coreio}
    assert host.api.delete(f"{prefix}/backwash-coreio").status_code == 409


def test_a_coreio_that_an_operator_stopped_is_deleted(host: Host) -> None:
    host.post("/api/coreio/start", {"config_path": str(host.config("alone"))})
    unit = coreio_unit("alone-coreio")
    systemctl("stop", unit)
    coreio = "/api/coreio/alone-coreio"
    wait_for(lambda: host.api.get(f"{coreio}/status").json()["status"]["intended_state"] == "stopped")
    assert host.api.get(f"{coreio}/status").json()["status"]["state"] == "stopped"
    assert workload_units() == [unit]
    assert host.api.delete(coreio).status_code == 200
    assert host.api.get("/api/coreio/").json() == {"coreio_services": []}
    wait_for(lambda: workload_units() == [])


def test_a_coreio_that_could_not_be_started_is_deleted(host: Host) -> None:
    host.start(host.config("backwash"))
    host.install("coreio").unlink()
    host.post("/api/coreio/start", {"config_path": str(host.config("other"))})
    assert host.api.delete("/api/coreio/other-coreio").status_code == 200
    ids = [line["service_id"] for line in host.api.get("/api/coreio/").json()["coreio_services"]]
    assert ids == ["backwash-coreio"]


def test_nothing_is_done_about_what_is_stopped_or_forgotten(host: Host) -> None:
    config = host.config("backwash")
    host.start(config)
    host.stop("backwash")
    host.wait_idle()
    host.api.delete("/api/agents/backwash").raise_for_status()
    host.wait_idle()
    host.post("/api/coreio/start", {"config_path": str(config), "coreio_id": "alone"})
    host.post("/api/coreio/alone/stop")  # which forgets it
    host.wait_idle()


@pytest.mark.parametrize("kind", ["agents", "coreio"])
def test_unknown_ids_are_404_and_named(host: Host, kind: str) -> None:
    for answer in (host.api.post(f"/api/{kind}/nobody/restart"), host.api.delete(f"/api/{kind}/nobody")):
        assert answer.status_code == 404
        assert "nobody" in answer.json()["detail"]


def test_a_stopped_demo_is_deleted_with_its_plant(host: Host) -> None:
    host.install("opc_tep")
    host.install("opc_server")
    demo = host.post("/api/agents/demo/tep/start", {"config_path": str(host.config("tep"))})["agent_id"]
    assert host.api.delete(f"/api/agents/{demo}").status_code == 409
    host.stop(demo)
    assert host.api.delete(f"/api/agents/{demo}").status_code == 409
    assert demo in host.api.get("/api/agents/").json()
    host.post(f"/api/agents/demo/tep/{demo}/stop")
    assert host.api.delete(f"/api/agents/{demo}").status_code == 200
    assert host.api.get(f"/api/agents/demo/tep/{demo}/status").status_code == 404
