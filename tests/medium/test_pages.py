"""Answers that are kept between requests, over the API of a real manager."""

from tests.support.host import Host, coreio_unit, systemctl, wait_for

BUSY = "#!/bin/sh\nwhile :; do :; done\n"


def test_usage_is_looked_at_again(host: Host) -> None:
    host.install("corerl", script=BUSY)
    host.start(host.config("backwash"))
    wait_for(lambda: host.corerl("backwash")["cpu_seconds"] is not None, what="usage")
    first = host.corerl("backwash")["cpu_seconds"]
    wait_for(lambda: host.corerl("backwash")["cpu_seconds"] > first, what="more usage")


def test_the_list_follows_starts_deletions_and_managers(host: Host) -> None:
    def listed() -> list[str]:
        return host.api.get("/api/agents/").json()

    configs = {name: host.config(name) for name in ("two", "ö-ne", "three")}
    assert listed() == []
    for number, config in enumerate(configs.values(), 1):
        host.start(config)
        assert len(listed()) == number
    assert listed() == ["three", "two", "ö-ne"]
    host.stop("two")
    host.post("/api/coreio/two-coreio/stop")
    assert listed() == ["three", "two", "ö-ne"]
    assert host.api.delete("/api/agents/two").status_code == 200
    assert listed() == ["three", "ö-ne"]
    host.kill()
    host.launch()
    assert listed() == ["three", "ö-ne"]
    host.start(configs["two"])
    assert listed() == ["three", "two", "ö-ne"]


def test_an_agent_that_is_deleted_and_started_again_shows_as_it_is_each_time(host: Host) -> None:
    config = host.config("backwash")
    seen = set[int]()
    for _ in range(3):
        host.start(config)
        assert host.status("backwash")["state"] == "running"
        pid = host.corerl("backwash")["main_pid"]
        assert pid not in {None, *seen}
        seen.add(pid)
        host.stop("backwash")
        assert host.status("backwash")["state"] == "stopped"
        assert host.api.delete("/api/agents/backwash").status_code == 200
        assert host.status("backwash") == {
            "id": "backwash", "state": "stopped", "config_path": None, "service_statuses": {},
        }  # fmt: skip


def test_a_coreio_shows_as_it_is_each_time(host: Host) -> None:
    host.start(host.config("backwash"))
    assert host.coreio("backwash")["state"] == "running"
    host.post("/api/coreio/backwash-coreio/stop")
    assert (host.coreio("backwash")["state"], host.coreio("backwash")["main_pid"]) == ("stopped", None)
    host.post("/api/coreio/start", {"config_path": str(host.config("backwash"))})
    pid = host.coreio("backwash")["main_pid"]
    assert pid is not None
    systemctl("restart", coreio_unit("backwash-coreio"))
    wait_for(lambda: host.coreio("backwash")["main_pid"] not in {None, pid}, what="the new process")


def test_kept_answers_are_json_with_all_headers(host: Host) -> None:
    host.start(host.config("backwash"))
    version = host.api.get("/api/healthcheck").headers["X-CoreRL-Version"]
    for path in ("/api/agents/", "/api/agents/backwash/status", "/api/agents/nobody/status"):
        for _ in range(2):
            headers = host.api.get(path).headers
            assert (headers["Content-Type"], headers["X-CoreRL-Version"]) == ("application/json", version)
