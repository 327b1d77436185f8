"""Fifty agents through a reboot and a power cut."""

from collections.abc import Callable

import pytest

from tests.large.debian_host import DebianHost, agent_unit, await_true, coreio_unit

pytestmark = pytest.mark.timeout(300)

AGENTS = [f"agent{number:02}" for number in range(50)]
STOPPED_BY_API, STOPPED_BY_OPERATOR = AGENTS[3], AGENTS[4]
WANTED = [agent for agent in AGENTS if agent not in {STOPPED_BY_API, STOPPED_BY_OPERATOR}]


@pytest.mark.parametrize("interruption", [DebianHost.reboot, DebianHost.power_cut], ids=["reboot", "power cut"])
def test_wanted_agents_are_back_in_order_and_stopped_ones_stay_stopped(
    host: DebianHost, interruption: Callable[[DebianHost], None]
) -> None:
    start_all(host)
    host.api("POST", f"/api/agents/{STOPPED_BY_API}/stop")
    host.run("systemctl", "stop", agent_unit(STOPPED_BY_OPERATOR))
    host.await_state(STOPPED_BY_OPERATOR, "stopped")

    interruption(host)

    host.await_manager()
    expected = {agent_unit(agent) for agent in WANTED} | {coreio_unit(agent) for agent in AGENTS}
    await_true(lambda: set(host.pids()) == expected, "all wanted units run", timeout=20)
    started = start_times(host)
    ready = started["coredinator.service"]
    assert max(started.values()) - ready < 10_000_000
    assert [agent for agent in WANTED if started[coreio_unit(agent)] > started[agent_unit(agent)]] == []
    for agent in (STOPPED_BY_API, STOPPED_BY_OPERATOR):
        assert host.status(agent)["state"] == "stopped"
        assert host.status(agent)["intended_state"] == "stopped"


def start_all(host: DebianHost) -> None:
    """Start all agents with one command on the host."""
    host.sh(
        """
        mkdir -p /etc/plant
        for agent; do
            echo 'agent_name: test' > "/etc/plant/$agent.yaml"
            curl -sS --fail-with-body -H 'Content-Type: application/json' \
                -d "{\\"config_path\\": \\"/etc/plant/$agent.yaml\\"}" localhost:7000/api/agents/start
        done
        """,
        *AGENTS,
    )
    await_true(lambda: len(host.pids()) == 2 * len(AGENTS), "all units run")


def start_times(host: DebianHost) -> dict[str, int]:
    """When each unit that runs became active, in µs since boot."""
    text = host.run(
        "systemctl", "show", "--property", "Id,ActiveState,ActiveEnterTimestampMonotonic",
        "coredinator.service", "coredinator-*@*.service",
    )  # fmt: skip
    rows = [dict(line.split("=", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]
    return {row["Id"]: int(row["ActiveEnterTimestampMonotonic"]) for row in rows if row["ActiveState"] == "active"}
