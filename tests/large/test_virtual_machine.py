"""A real kernel and a disk of its own: power cut, clean reboot, limits that are enforced, accounting, freezing.

The machine is emulated without KVM, where Python runs 15 to 20 times slower than on its host, so no
speed is measured. "All back within 10 s after the manager is up" is meant for 50 agents, 100 units
or 100 ms a unit; at 20 times that, the 14 units here have 28 s.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.large.debian_host import DebianHost, agent_unit, await_true, coreio_unit
from tests.large.images import virtual_machine_image
from tests.large.test_reboot import start_times
from tests.large.virtual_machine import BOOT_TIMEOUT, VirtualMachine

pytestmark = [pytest.mark.vm, pytest.mark.timeout(420)]

AGENTS = [f"agent{number}" for number in range(8)]
STOPPED = AGENTS[3:5]
STOPPED_BY_HAND = AGENTS[5]
WANTED = [agent for agent in AGENTS if agent not in {*STOPPED, STOPPED_BY_HAND}]
RUNNING = {agent_unit(agent) for agent in WANTED} | {coreio_unit(agent) for agent in AGENTS}
NEWER_CORERL = "/opt/coredinator/v2/linux-corerl-v2.0.0"
US_PER_UNIT = 20 * 10_000_000 / 100
# A line without end, which `tail` keeps in memory until it has met its newline.
GREEDY = "#!/bin/sh\nexec tail -n 1 /dev/zero\n"
GREEDY_WHEN_TOLD = "#!/bin/sh\nwhile ! [ -e /etc/plant/now ]; do sleep 1; done\nexec tail -n 1 /dev/zero\n"
WRITER = "#!/bin/sh\ndd if=/dev/zero of=written bs=1M count=4 conv=fsync\nexec sleep infinity\n"
# Makes children until the kernel refuses one.
FORKING = """#!/usr/bin/python3
import os, time
try:
    while os.fork():
        pass
except BlockingIOError:
    pass
time.sleep(3600)
"""
OLDER = "/opt/coredinator/v0/linux-corerl"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def machine(package: Path) -> Iterator[VirtualMachine]:
    """Eight agents were started, two of them stopped since, and one by an operator just now."""
    image = virtual_machine_image(package)
    with tempfile.TemporaryDirectory(prefix="vm-") as folder:
        machine = VirtualMachine(image, Path(folder))
        try:
            machine.power_on()
            machine.await_manager(timeout=BOOT_TIMEOUT)
            machine.install_executables()
            for agent in AGENTS:
                machine.write(config_of(agent), "agent_name: test\n")
            # An administrator's files are old when the power fails; what coredinator writes has to be safe by itself.
            machine.run("sync")
            for agent in AGENTS:
                machine.api("POST", "/api/agents/start", {"config_path": config_of(agent)})
            for agent in STOPPED:
                machine.api("POST", f"/api/agents/{agent}/stop")
            await_running(machine, RUNNING | {agent_unit(STOPPED_BY_HAND)})
            # Last, so that the disk has no time to be written to by itself.
            machine.run("systemctl", "stop", agent_unit(STOPPED_BY_HAND))
            await_true(
                lambda: "by an operator" in machine.journal("-u", "coredinator"), "the stop is known", timeout=60
            )
            yield machine
        finally:
            machine.close()


@pytest.mark.parametrize("interruption", [VirtualMachine.power_cut, VirtualMachine.reboot], ids=["power cut", "reboot"])
def test_wanted_agents_are_back_in_order_and_stopped_ones_stay_stopped(
    machine: VirtualMachine, interruption: Callable[[VirtualMachine], None]
) -> None:
    boot = boot_id(machine)

    interruption(machine)

    machine.await_manager(timeout=BOOT_TIMEOUT)
    assert boot_id(machine) != boot
    await_running(machine)
    started = start_times(machine)
    assert max(started.values()) - started["coredinator.service"] < len(RUNNING) * US_PER_UNIT
    assert [agent for agent in WANTED if started[coreio_unit(agent)] > started[agent_unit(agent)]] == []
    for agent in AGENTS:
        wanted = "running" if agent in WANTED else "stopped"
        status = machine.status(agent)
        assert (status["state"], status["intended_state"]) == (wanted, wanted)
        history = machine.api("GET", f"/api/agents/{agent}/history")
        blamed = any(line["cause"].startswith("operator") for line in history)
        assert blamed == (agent == STOPPED_BY_HAND)


def test_an_agent_over_its_memory_limit_is_ended_by_the_kernel_and_says_so(machine: VirtualMachine) -> None:
    others = machine.pids()
    machine.write("/etc/systemd/system/coredinator-agent@greedy.service.d/limit.conf", "[Service]\nMemoryMax=32M\n")
    machine.run("systemctl", "daemon-reload")
    # The next start of a CoreRL takes the newer version; those that run keep theirs.
    machine.write(NEWER_CORERL, GREEDY, 0o755)
    try:
        machine.start_agent("greedy")
        await_true(lambda: ended_for_memory(machine.corerl("greedy")), "result oom-kill", timeout=60)
        assert others.items() <= machine.pids().items()
    finally:
        machine.run("rm", NEWER_CORERL)
        machine.api("POST", "/api/agents/greedy/stop")
        machine.api("POST", "/api/coreio/greedy-coreio/stop")


def test_what_a_service_uses_is_told_in_full(machine: VirtualMachine) -> None:
    machine.write(f"{OLDER}-v0.0.1", WRITER, 0o755)
    start_version(machine, "writer", "0.0.1")
    try:
        await_true(lambda: (machine.corerl("writer")["io_write_bytes"] or 0) >= 4 * MIB, "4 MiB written", timeout=60)
        used = machine.corerl("writer")
        assert used["unavailable"] == []
        assert used["tasks"] == int(machine.show(agent_unit("writer"), "TasksCurrent"))
        assert used["memory_peak_bytes"] >= used["memory_bytes"] > 0
        assert used["cpu_seconds"] > 0
    finally:
        forget(machine, "writer")


def test_a_limit_given_to_a_running_agent_ends_it_when_it_takes_more(machine: VirtualMachine) -> None:
    machine.write(f"{OLDER}-v0.0.2", GREEDY_WHEN_TOLD, 0o755)
    start_version(machine, "patched", "0.0.2")
    try:
        machine.api("PATCH", "/api/agents/patched/limits", {"memory_max": "32M"})
        assert machine.corerl("patched")["limits"]["memory_max"] == 32 * MIB
        machine.write("/etc/plant/now", "")
        await_true(lambda: ended_for_memory(machine.corerl("patched")), "result oom-kill", timeout=60)
    finally:
        machine.run("rm", "-f", "/etc/plant/now")
        forget(machine, "patched")


def test_a_cpu_quota_holds_and_can_be_raised(machine: VirtualMachine) -> None:
    machine.write(f"{OLDER}-v0.0.3", "#!/bin/sh\nwhile :; do :; done\n", 0o755)
    start_version(machine, "busy", "0.0.3", limits={"cpu_quota": "20%"})
    try:
        assert share_of_cpu(machine, "busy") < 0.3
        machine.api("PATCH", "/api/agents/busy/limits", {"cpu_quota": "80%"})
        assert share_of_cpu(machine, "busy") > 0.4
    finally:
        forget(machine, "busy")


def test_a_task_limit_holds(machine: VirtualMachine) -> None:
    machine.write(f"{OLDER}-v0.0.4", FORKING, 0o755)
    start_version(machine, "forking", "0.0.4", limits={"tasks_max": 12})
    try:
        await_true(lambda: machine.corerl("forking")["tasks"] == 12, "12 tasks", timeout=60)
        refused = machine.sh(f"cat '/sys/fs/cgroup{machine.show(agent_unit('forking'), 'ControlGroup')}/pids.events'")
        assert int(refused.split()[1]) > 0
        assert machine.status("forking")["state"] == "running"
    finally:
        forget(machine, "forking")


def test_a_unit_that_an_operator_freezes_shows_as_frozen_until_it_is_thawed(machine: VirtualMachine) -> None:
    unit = agent_unit(WANTED[0])
    pid = machine.corerl(WANTED[0])["main_pid"]
    machine.run("systemctl", "freeze", unit)
    await_true(lambda: machine.corerl(WANTED[0])["frozen"], "frozen", timeout=30)
    assert machine.status(WANTED[0])["state"] == "running"
    machine.run("systemctl", "thaw", unit)
    await_true(lambda: not machine.corerl(WANTED[0])["frozen"], "thawed", timeout=30)
    assert machine.corerl(WANTED[0])["main_pid"] == pid


def start_version(machine: VirtualMachine, agent_id: str, version: str, **more: object) -> None:
    """Start an agent with an executable that no other agent takes, because it is older than theirs."""
    machine.write(config_of(agent_id), "agent_name: test\n")
    machine.api("POST", "/api/agents/start", {"config_path": config_of(agent_id), "version": version, **more})


def forget(machine: VirtualMachine, agent_id: str) -> None:
    machine.api("POST", f"/api/agents/{agent_id}/stop")
    machine.api("DELETE", f"/api/agents/{agent_id}")
    machine.api("POST", f"/api/coreio/{agent_id}-coreio/stop")


def share_of_cpu(machine: VirtualMachine, agent_id: str) -> float:
    """CPU time over time, by the machine's own clock."""
    group = f"/sys/fs/cgroup{machine.show(agent_unit(agent_id), 'ControlGroup')}/cpu.stat"
    script = "for n in 1 2; do cut -d ' ' -f 1 /proc/uptime; sed -n 's/usage_usec //p' \"$1\"; sleep 3; done"
    begin, used_then, end, used = (float(line) for line in machine.sh(script, group).split())
    return (used - used_then) / 1_000_000 / (end - begin)


def ended_for_memory(corerl: dict[str, Any]) -> bool:
    return (corerl["state"], corerl["result"]) == ("failed", "oom-kill")


def await_running(host: DebianHost, units: set[str] = RUNNING) -> None:
    expected = units | {"coredinator.service"}
    await_true(lambda: set(start_times(host)) == expected, "all wanted units are active, no other", timeout=60)


def config_of(agent_id: str) -> str:
    return f"/etc/plant/{agent_id}.yaml"


def boot_id(host: DebianHost) -> str:
    return host.run("cat", "/proc/sys/kernel/random/boot_id")
