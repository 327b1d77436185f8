"""Each bad request gets its code and a message that names the thing, and nothing is created."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.host import Host, workload_units


def start(host: Host, body: object) -> tuple[int, str]:
    answer = host.api.post("/api/agents/start", json=body)
    return answer.status_code, str(answer.json()["detail"])


def missing(host: Host) -> Path:
    return host.configs / "missing.yaml"


def a_folder(host: Host) -> Path:
    path = host.configs / "folder.yaml"
    path.mkdir()
    return path


def empty(host: Host) -> Path:
    return host.config("empty", "")


def a_list(host: Host) -> Path:
    return host.config("list", "- a\n- b\n")


def binary(host: Host) -> Path:
    path = host.config("binary")
    path.write_bytes(b"\xff\xfe\x00key: \x80")
    return path


def nested(host: Host) -> Path:
    return host.config("nested", "[" * 20000)


def huge(host: Host) -> Path:
    return host.config("huge", "a: " + "x" * 5_000_000)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing, "does not exist"),
        (a_folder, "not a regular file"),
        (empty, "is empty"),
        (a_list, "must be a mapping"),
        (binary, "YAML"),
        (nested, "nested"),
        (huge, "larger"),
    ],
)
@pytest.mark.parametrize("url", ["/api/agents/start", "/api/coreio/start", "/api/agents/demo/tep/start"])
def test_an_unusable_config_is_400(
    shared_host: Host, make: Callable[[Host], Path], words: str, url: str, tmp_path: Path
) -> None:
    shared_host.configs = tmp_path
    path = make(shared_host)
    answer = shared_host.api.post(url, json={"config_path": str(path)})
    assert answer.status_code == 400
    assert str(path) in answer.json()["detail"]
    assert words in answer.json()["detail"]
    assert workload_units() == []
    assert shared_host.api.get("/api/agents/").json() == []


def test_broken_yaml_is_400_with_line_and_column(shared_host: Host) -> None:
    path = shared_host.config("broken", "a: 1\nb:\n  c: [1, 2\nd: }\n")
    code, detail = start(shared_host, {"config_path": str(path)})
    assert code == 400
    assert f"{path}, line 4, column 2" in detail


def test_a_relative_path_is_400(shared_host: Host) -> None:
    code, detail = start(shared_host, {"config_path": "configs/a.yaml"})
    assert (code, "absolute" in detail) == (400, True)


def test_a_path_that_systemd_would_expand_is_400(shared_host: Host) -> None:
    code, detail = start(shared_host, {"config_path": str(shared_host.config("$HOME"))})
    assert (code, "'$'" in detail) == (400, True)


def test_a_path_with_nul_is_400(shared_host: Host) -> None:
    code, _ = start(shared_host, {"config_path": "/etc/a\0b.yaml"})
    assert code == 400


@pytest.mark.parametrize("body", [{}, {"config_path": 5}, {"config_path": ""}, [], "x", {"config_path": None}])
def test_a_malformed_body_is_422(shared_host: Host, body: object) -> None:
    assert shared_host.api.post("/api/agents/start", json=body).status_code == 422


@pytest.mark.parametrize(
    "config_path",
    [
        r'"\ud800"', "NaN", "1e400", "9" * 4000, "[" * 900 + "]" * 900, '"/' + "x" * 5000 + '"',
        # Those that are no JSON at all:
        "9" * 5000, "[" * 100_000, "", "\xff",
    ],
)  # fmt: skip
def test_a_value_that_no_answer_can_repeat_is_refused(shared_host: Host, config_path: str) -> None:
    body = b'{"config_path": ' + config_path.encode("latin-1") + b"}"
    answer = shared_host.api.post("/api/agents/start", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}
    assert len(answer.text) < 300


@pytest.mark.parametrize("name", ["coreio_id", "version"])
def test_a_lone_surrogate_reaches_neither_systemd_nor_the_database(shared_host: Host, name: str) -> None:
    config = shared_host.config("fine")
    body = f'{{"config_path": "{config}", "{name}": "\\ud800"}}'
    answer = shared_host.api.post("/api/agents/start", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert workload_units() == []


@pytest.mark.parametrize("coreio_id", ["", "a/b", "a\nb", "x" * 250, "é" * 70])
def test_an_impossible_id_is_422_and_nothing_is_created(shared_host: Host, coreio_id: str) -> None:
    config = shared_host.config("fine")
    code, detail = start(shared_host, {"config_path": str(config), "coreio_id": coreio_id})
    assert code == 422
    assert "id" in detail
    assert workload_units() == []


def test_a_file_name_too_long_for_a_unit_is_422(shared_host: Host) -> None:
    config = shared_host.config("n" * 240)
    code, detail = start(shared_host, {"config_path": str(config)})
    assert (code, "255" in detail) == (422, True)
    assert workload_units() == []


def test_a_body_over_one_mebibyte_is_413(shared_host: Host) -> None:
    body = b'{"config_path": "' + b"x" * (1024 * 1024) + b'"}'
    answer = shared_host.api.post("/api/agents/start", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert "X-CoreRL-Version" in answer.headers


def test_a_chunked_body_over_one_mebibyte_is_413(shared_host: Host) -> None:
    chunks = (b"x" * 65536 for _ in range(32))
    answer = shared_host.api.post("/api/agents/start", content=chunks, headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_an_unknown_agent_is_a_stopped_one(shared_host: Host) -> None:
    assert shared_host.api.get("/api/agents/nobody/status").json() == {
        "id": "nobody",
        "state": "stopped",
        "config_path": None,
        "service_statuses": {},
    }
    assert shared_host.api.post("/api/agents/nobody/stop").status_code == 200
    assert shared_host.api.get("/api/agents/").json() == []


@pytest.mark.parametrize("prefix", ["/api/coreio", "/api/io"])
def test_an_unknown_coreio_is_404(shared_host: Host, prefix: str) -> None:
    for answer in (
        shared_host.api.get(f"{prefix}/nobody/status"),
        shared_host.api.post(f"{prefix}/nobody/stop"),
    ):
        assert answer.status_code == 404
        assert "nobody" in answer.json()["detail"]


@pytest.mark.parametrize("prefix", ["/api/agents/demo/tep", "/api/agents/demos/tep"])
def test_an_unknown_demo_agent_is_404(shared_host: Host, prefix: str) -> None:
    assert shared_host.api.get(f"{prefix}/nobody/status").status_code == 404
    assert shared_host.api.post(f"{prefix}/nobody/stop").status_code == 404


@pytest.mark.parametrize("path", ["/api/healthcheck", "/api/agents/", "/no/such/path", "/docs", "/openapi.json"])
def test_every_answer_carries_the_version(shared_host: Host, path: str) -> None:
    version = shared_host.health()["version"]
    assert shared_host.api.get(path).headers["X-CoreRL-Version"] == version
    assert shared_host.api.delete(path).headers["X-CoreRL-Version"] == version


def test_old_spellings_are_marked_deprecated(shared_host: Host) -> None:
    paths = shared_host.api.get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        old = path.startswith(("/api/io/", "/api/agents/demos/"))
        for operation in operations.values():
            assert operation.get("deprecated", False) is old, path
            new = path.replace("/api/io/", "/api/coreio/").replace("/demos/", "/demo/")
            assert new in paths


@pytest.mark.parametrize("origin", ["https://evil.example", "http://[", "null"])
def test_a_foreign_web_page_is_refused(shared_host: Host, origin: str) -> None:
    answer = shared_host.api.post("/api/agents/x/stop", headers={"Origin": origin})
    assert answer.status_code == 403
    assert "--cors-origin" in answer.json()["detail"]
    assert "access-control-allow-origin" not in answer.headers
    own = {"Origin": f"http://127.0.0.1:{shared_host.port}"}
    assert shared_host.api.post("/api/agents/x/stop", headers=own).status_code == 200


def test_a_web_page_whose_name_was_pointed_at_this_machine_is_refused(shared_host: Host) -> None:
    for name, code in (("evil.example", 403), ("localhost", 200)):
        rebound = {"Origin": f"http://{name}:{shared_host.port}", "Host": f"{name}:{shared_host.port}"}
        answer = shared_host.api.post("/api/agents/x/stop", headers=rebound)
        assert answer.status_code == code, name
        assert ("--cors-origin http://evil.example" in answer.text) == (code == 403)
