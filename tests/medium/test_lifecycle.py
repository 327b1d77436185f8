"""An agent's life through the API, on a real systemd."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.host import (
    CRASHER,
    STUBBORN,
    Host,
    Subscriber,
    agent_unit,
    children_of,
    coreio_unit,
    kill,
    show,
    systemctl,
    wait_for,
    workload_units,
)


def test_start_runs_coreio_then_corerl_as_units(host: Host) -> None:
    config = host.config("backwash")
    assert host.start(config) == "backwash"
    status = host.status("backwash")
    assert (status["id"], status["state"], status["intended_state"]) == ("backwash", "running", "running")
    assert status["config_path"] == str(config)
    corerl, coreio = status["service_statuses"]["corerl"], status["service_statuses"]["coreio"]
    assert (corerl["id"], coreio["id"]) == ("backwash-corerl", "backwash-coreio")
    for service, unit in ((corerl, agent_unit("backwash")), (coreio, coreio_unit("backwash-coreio"))):
        assert service["unit"] == unit
        assert service["main_pid"] == int(show(unit, "MainPID"))
        assert service["version"] == "1.0.0"
        assert service["restarts"] == 0
        assert service["error"] is None
        assert service["memory_bytes"] > 0
        assert service["cpu_seconds"] >= 0
    assert coreio["since"] < corerl["since"]


def test_the_unit_is_what_the_contract_says(host: Host) -> None:
    config = host.config("backwash")
    host.start(config)
    unit = agent_unit("backwash")
    expected = {
        "Slice": "coredinator.slice",
        "Type": "exec",
        "Restart": "always",
        "StartLimitIntervalUSec": "0",
        "TimeoutStopUSec": "5s",
        "Transient": "yes",
        "SyslogIdentifier": "backwash-corerl",
        "Description": "CoreRL of agent backwash",
    }
    assert {name: show(unit, name) for name in expected} == expected
    assert "COREDINATOR_AGENT=backwash" in show(unit, "LogExtraFields")
    assert "coredinator.service" in show(unit, "Before").split()
    executable = host.base_path / "releases" / "linux-corerl-v1.0.0"
    assert f"argv[]={executable} --config-name {config} ;" in show(unit, "ExecStart")


def test_systemctl_status_shows_the_tree(host: Host) -> None:
    host.start(host.config("backwash"))
    tree = systemctl("status", "--no-pager", "--full", "coredinator.slice")
    for unit in (agent_unit("backwash"), coreio_unit("backwash-coreio"), "coredinator-eventbus.service"):
        assert unit in tree
    assert "CoreRL of agent backwash" in systemctl("status", "--no-pager", agent_unit("backwash"))


def test_the_manager_has_no_child(host: Host) -> None:
    host.start(host.config("backwash"))
    assert host.process is not None
    assert children_of(host.process.pid) == []


def test_a_second_start_changes_nothing(host: Host) -> None:
    config = host.config("backwash")
    host.start(config)
    before = host.pids("backwash")
    host.start(config)
    assert host.pids("backwash") == before


def test_stop_ends_corerl_and_leaves_coreio(host: Host) -> None:
    host.start(host.config("backwash"))
    _, coreio_pid = host.pids("backwash")
    host.stop("backwash")
    status = host.status("backwash")
    assert (status["state"], status["intended_state"]) == ("stopped", "stopped")
    assert status["service_statuses"]["corerl"]["state"] == "stopped"
    assert status["service_statuses"]["coreio"]["main_pid"] == coreio_pid
    assert show(agent_unit("backwash"), "ActiveState") == "inactive"


def test_stopped_agents_stay_in_the_list(host: Host) -> None:
    host.start(host.config("one"))
    host.start(host.config("two"))
    host.stop("one")
    assert host.api.get("/api/agents/").json() == ["one", "two"]


def test_a_stopped_agent_starts_again(host: Host) -> None:
    config = host.config("backwash")
    host.start(config)
    first, _ = host.pids("backwash")
    host.stop("backwash")
    host.start(config)
    second, _ = host.pids("backwash")
    assert second not in {None, first}
    assert host.status("backwash")["state"] == "running"


def test_a_restart_takes_the_newest_executable(host: Host) -> None:
    config = host.config("backwash")
    host.start(config)
    host.stop("backwash")
    newer = host.install("corerl", "v1.10.0")
    host.start(config)
    assert host.corerl("backwash")["version"] == "1.10.0"
    assert host.corerl("backwash")["executable"] == str(newer)
    assert str(newer) in show(agent_unit("backwash"), "ExecStart")


def test_a_pinned_version_is_run(host: Host) -> None:
    host.install("corerl", "v2.0.0")
    host.start(host.config("backwash"), version="1.0.0")
    assert host.corerl("backwash")["version"] == "1.0.0"


def test_a_version_that_is_not_there_is_refused_while_another_one_runs(host: Host) -> None:
    config = host.config("backwash")
    host.start(config, version="1.0.0")
    answer = host.api.post("/api/agents/start", json={"config_path": str(config), "version": "9.9.9"})
    assert answer.status_code == 409
    assert "corerl 9.9.9" in answer.json()["detail"]
    host.stop("backwash")
    host.start(config)
    assert host.corerl("backwash")["version"] == "1.0.0"


def test_64_concurrent_starts_make_one_process_each(host: Host) -> None:
    config = host.config("backwash")
    with ThreadPoolExecutor(64) as pool:
        assert list(pool.map(lambda _: host.start(config), range(64))) == ["backwash"] * 64
    assert workload_units() == [agent_unit("backwash"), coreio_unit("backwash-coreio")]
    pids = {host.pids("backwash")}
    assert len(pids) == 1
    processes = systemctl("show", "--property", "NRestarts", "--value", agent_unit("backwash"))
    assert processes.strip() == "0"


def test_concurrent_starts_and_stops_end_as_the_last_one_says(host: Host) -> None:
    config = host.config("backwash")
    with ThreadPoolExecutor(16) as pool:
        futures = [
            pool.submit(host.start, config) if turn % 2 else pool.submit(host.stop, "backwash") for turn in range(32)
        ]
        for future in futures:
            future.result()
    host.start(config)
    assert host.status("backwash")["state"] == "running"
    host.stop("backwash")
    assert show(agent_unit("backwash"), "ActiveState") == "inactive"


def test_agents_share_a_coreio(host: Host) -> None:
    host.start(host.config("one"), coreio_id="shared")
    host.start(host.config("two"), coreio_id="shared")
    assert host.coreio("one")["main_pid"] == host.coreio("two")["main_pid"]
    services = host.api.get("/api/coreio/").json()["coreio_services"]
    assert [service["service_id"] for service in services] == ["shared"]
    host.stop("one")
    assert host.status("two")["state"] == "running"


def test_a_shared_coreio_keeps_its_config_while_it_waits_for_its_next_try(host: Host) -> None:
    host.install("coreio", script=CRASHER)
    first = host.config("one")
    host.start(first, coreio_id="shared")
    wait_for(lambda: host.coreio("one")["state"] == "failed", what="a crash")
    host.start(host.config("two"), coreio_id="shared")
    assert host.coreio("two")["config_path"] == str(first)
    assert str(first) in show(coreio_unit("shared"), "ExecStart")


def test_why_a_crashed_agent_could_not_be_started_is_said_until_it_runs(host: Host) -> None:
    config = host.config("backwash")
    host.start(config)
    host.install("corerl").unlink()
    kill(host.corerl("backwash")["main_pid"])
    host.wait_state("backwash", "failed")
    host.start(config)

    def tried_again() -> bool:  # by systemd, in vain, and each time the manager looks at it
        corerl = host.corerl("backwash")
        assert "no executable corerl" in corerl["error"]
        return corerl["restarts"] >= 4

    wait_for(tried_again, what="four automatic restarts")
    host.install("corerl")
    host.wait_state("backwash", "running")
    assert host.corerl("backwash")["error"] is None


def test_a_killed_corerl_runs_again_and_says_so(host: Host, events: Subscriber) -> None:
    unit = agent_unit("backwash")
    host.start(host.config("backwash"))
    events.wait_for("agent.started", unit)
    pid, coreio_pid = host.pids("backwash")
    kill(pid)
    failed = events.wait_for("agent.failed", unit, timeout=1)
    started = events.wait_for("agent.started", unit, timeout=1)
    assert (failed["result"], failed["exit_status"], failed["previous_state"]) == ("signal", 9, "running")
    assert started["main_pid"] not in {None, pid}
    corerl = host.corerl("backwash")
    assert (corerl["state"], corerl["restarts"], corerl["main_pid"]) == ("running", 1, started["main_pid"])
    assert host.coreio("backwash")["main_pid"] == coreio_pid
    assert host.status("backwash")["intended_state"] == "running"


@pytest.mark.parametrize("crash", [2, 3])
def test_later_crashes_are_handled_like_the_first(host: Host, crash: int) -> None:
    host.start(host.config("backwash"))
    for number in range(1, crash + 1):
        kill(host.corerl("backwash")["main_pid"])
        wait_for(
            lambda number=number: (
                host.corerl("backwash")["restarts"] == number and host.corerl("backwash")["state"] == "running"
            )
        )


def test_a_process_that_dies_at_once_is_failed_and_never_given_up(host: Host) -> None:
    host.install("corerl", script=CRASHER)
    host.start(host.config("backwash"))
    status = host.wait_state("backwash", "failed")
    corerl = status["service_statuses"]["corerl"]
    assert (corerl["result"], corerl["exit_status"]) == ("exit-code", 3)
    wait_for(lambda: host.corerl("backwash")["restarts"] >= 3)
    assert host.status("backwash")["intended_state"] == "running"


def test_a_start_replaces_a_crashing_executable_by_a_newer_one(host: Host) -> None:
    host.install("corerl", script=CRASHER)
    config = host.config("backwash")
    host.start(config)
    host.wait_state("backwash", "failed")
    host.install("corerl", "v1.0.1")
    host.start(config)
    host.wait_state("backwash", "running")
    assert host.corerl("backwash")["version"] == "1.0.1"


def test_a_process_that_ignores_sigterm_is_killed_after_five_seconds(host: Host) -> None:
    host.install("corerl", script=STUBBORN)
    host.start(host.config("backwash"))
    host.wait_stubborn("backwash")
    host.stop("backwash")
    assert host.status("backwash")["state"] == "stopped"
    assert host.corerl("backwash")["state"] == "stopped"


def test_slow_stops_do_not_delay_answers(host: Host) -> None:
    host.install("corerl", script=STUBBORN)
    names = [f"slow{number}" for number in range(8)]
    for name in names:
        host.start(host.config(name))
        host.wait_stubborn(name)
    with ThreadPoolExecutor(len(names)) as pool:
        stops = [pool.submit(host.stop, name) for name in names]
        wait_for(lambda: host.corerl("slow0")["state"] == "stopping")
        answers = 0
        while not any(stop.done() for stop in stops):
            host.status("slow0")
            answers += 1
        for stop in stops:
            stop.result()
    # The stops take five seconds; a blocked manager would answer a handful of times at most.
    assert answers > 100


def test_events_tell_the_whole_life(host: Host, events: Subscriber) -> None:
    config = host.config("backwash")
    host.start(config)
    for topic, unit in (
        ("coreio.starting", coreio_unit("backwash-coreio")),
        ("coreio.started", coreio_unit("backwash-coreio")),
        ("agent.starting", agent_unit("backwash")),
        ("agent.started", agent_unit("backwash")),
    ):
        event = events.wait_for(topic, unit)
        assert event["agent_id"] == "backwash"
    host.stop("backwash")
    events.wait_for("agent.stopping", agent_unit("backwash"))
    stopped = events.wait_for("agent.stopped", agent_unit("backwash"))
    assert set(stopped) == {
        "agent_id", "unit", "state", "previous_state", "at", "main_pid", "result", "exit_status", "restarts",
    }  # fmt: skip


def test_history_tells_what_happened_and_why(host: Host) -> None:
    host.start(host.config("backwash"))
    kill(host.corerl("backwash")["main_pid"])
    wait_for(lambda: host.corerl("backwash")["restarts"] == 1)
    host.stop("backwash")

    def states() -> list[tuple[str, str]]:
        lines = host.api.get("/api/agents/backwash/history").json()
        return [(line["state"], line["cause"]) for line in reversed(lines) if line["unit"] == agent_unit("backwash")]

    wait_for(lambda: ("stopped", "request") in states())
    assert ("failed", "systemd") in states()
    assert states()[:2] == [("starting", "request"), ("running", "request")]


def test_the_backoff_begins_anew_after_a_stable_period(idle_host: Host) -> None:
    settings = idle_host.folder / "coredinator.yaml"
    settings.write_text("stable-period: 1\n")
    idle_host.extra_flags = ["--config", str(settings)]
    idle_host.launch()
    idle_host.start(idle_host.config("backwash"))
    kill(idle_host.corerl("backwash")["main_pid"])
    wait_for(lambda: idle_host.corerl("backwash")["restarts"] == 1)
    wait_for(lambda: idle_host.corerl("backwash")["restarts"] == 0)
    assert show(agent_unit("backwash"), "NRestarts") == "0"
    assert idle_host.corerl("backwash")["state"] == "running"


@pytest.mark.parametrize("name", ["with space", "ünïcode-é", "a.b.c", "-dash", "x@y", "100%n", "a\\b", "br[1]*"])
def test_odd_ids_work_end_to_end(host: Host, name: str) -> None:
    assert host.start(host.config(name)) == name
    assert host.corerl(name)["unit"] == agent_unit(name)
    assert show(agent_unit(name), "MainPID") == str(host.corerl(name)["main_pid"])
    assert host.api.get("/api/agents/").json() == [name]
    host.stop(name)
    assert host.status(name)["state"] == "stopped"
