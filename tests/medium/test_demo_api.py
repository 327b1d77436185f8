"""The demo agent's routes, with stand-ins for its four programs."""

import pytest

from tests.support.host import SLEEPER, Host, systemd_escape, wait_for, workload_units

CONFIG = """\
agent_name: tep
coreio:
  coreio_origin: tcp://127.0.0.1:18601
event_bus:
  cli_connection: tcp://127.0.0.1:18602
"""


@pytest.fixture
def demo(host: Host) -> Host:
    for name in ("opc_tep", "opc_server-v1.2.3"):
        path = host.base_path / name
        path.write_text(SLEEPER)
        path.chmod(0o755)
    host.config("tep", CONFIG)
    return host


def start(host: Host, prefix: str = "/api/agents/demo/tep") -> dict[str, object]:
    answer = host.api.post(f"{prefix}/start", json={"config_path": str(host.configs / "tep.yaml")})
    assert answer.status_code == 200, answer.text
    return answer.json()


def units(agent_id: str) -> list[str]:
    return sorted(
        systemd_escape(f"coredinator-{kind}@.service", name)
        for kind, name in (("agent", agent_id), ("tep", agent_id), ("uaserver", agent_id), ("coreio", "tep-coreio"))
    )


@pytest.mark.parametrize("prefix", ["/api/agents/demo/tep", "/api/agents/demos/tep"])
def test_a_demo_is_four_units(demo: Host, prefix: str) -> None:
    answer = start(demo, prefix)
    agent_id = str(answer["agent_id"])
    assert agent_id.startswith("tep-demo-")
    assert agent_id.endswith("-001")
    assert answer["ports"] == {"coreio": 18601, "corerl": 18602}
    assert answer["status"] in {"starting", "running"}
    wait_for(lambda: demo.api.get(f"{prefix}/{agent_id}/status").json()["status"] == "running")
    status = demo.api.get(f"{prefix}/{agent_id}/status").json()
    assert status["agent_id"] == agent_id
    assert status["uptime_seconds"] > 0
    assert workload_units() == units(agent_id)
    services = demo.status(agent_id)["service_statuses"]
    assert set(services) == {"corerl", "coreio", "tep", "uaserver"}
    assert services["uaserver"]["version"] == "1.2.3"
    assert services["tep"]["version"] is None


def test_the_same_config_is_the_same_demo(demo: Host) -> None:
    first = start(demo)
    before = demo.status(str(first["agent_id"]))["service_statuses"]["tep"]["main_pid"]
    assert start(demo)["agent_id"] == first["agent_id"]
    assert demo.status(str(first["agent_id"]))["service_statuses"]["tep"]["main_pid"] == before


def test_stopping_a_demo_leaves_its_coreio(demo: Host) -> None:
    agent_id = str(start(demo)["agent_id"])
    assert demo.api.post(f"/api/agents/demo/tep/{agent_id}/stop").status_code == 200
    services = demo.status(agent_id)["service_statuses"]
    assert {role: service["state"] for role, service in services.items()} == {
        "corerl": "stopped",
        "tep": "stopped",
        "uaserver": "stopped",
        "coreio": "running",
    }
    assert demo.api.get(f"/api/agents/demo/tep/{agent_id}/status").json()["status"] == "stopped"
    assert demo.api.get(f"/api/agents/demo/tep/{agent_id}/status").json()["uptime_seconds"] == 0


def test_the_next_demo_has_the_next_number(demo: Host) -> None:
    first = str(start(demo)["agent_id"])
    demo.api.post(f"/api/agents/demo/tep/{first}/stop")
    second = str(start(demo)["agent_id"])
    assert second == first.removesuffix("001") + "002"
    assert demo.api.get("/api/agents/").json() == [first, second]


def test_a_demo_survives_its_manager_and_the_database(demo: Host) -> None:
    agent_id = str(start(demo)["agent_id"])
    before = {role: service["main_pid"] for role, service in demo.status(agent_id)["service_statuses"].items()}
    demo.kill()
    for file in demo.state_dir.iterdir():
        file.unlink()
    demo.launch()
    wait_for(lambda: demo.status(agent_id)["state"] == "running")
    after = {role: service["main_pid"] for role, service in demo.status(agent_id)["service_statuses"].items()}
    assert after == before
    assert start(demo)["agent_id"] == agent_id
