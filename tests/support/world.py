"""A host to which anything may happen, what is expected of it, and how it breaks its promises.

An `Action` is something that somebody does: a client, an operator, bad luck. It knows what is wanted
of each unit once it is through. `World` carries actions out, one by one or at the same moment, keeps
for each unit the set of what may be wanted of it now, and compares that with what the API, the mirror
and systemd say as soon as these have come to rest.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx

from tests.support.host import clean_up_units, systemctl, workload_units
from tests.support.model import Action, Expected, Outcome, Unit, Wanted, coreio, corerl
from tests.support.promises import (
    Status,
    of_agents,
    of_existence,
    of_mirror,
    of_pages,
    of_process,
    of_systemd,
    of_wishes,
)
from tests.support.scene import PROGRAMS, Scene

SETTLED_WITHIN = 25.0
"""Seconds; a process that is stopped or replaced and all retries of the manager fit in."""

COUNTS = Counter[str]()
"""What has been done so far, in all worlds, and how often."""
_FAULTS = (
    "service got", "event bus killed", "message bus killed", "systemctl daemon", "manager ended", "database",
    "disk filled", "disk made", "executable removed", "config removed",
)  # fmt: skip


def fault_count() -> int:
    """How much of it was bad luck."""
    return sum(times for what, times in COUNTS.items() if what.startswith(_FAULTS))


class World(Scene):
    """One host, and all that is expected of it."""

    def __init__(self, folder: Path, program: Sequence[str] | None = None) -> None:
        super().__init__(folder, program)
        self.expected: dict[Unit, Expected] = {}
        # Units of which the manager may say, since that moment, that an operator acted on them.
        self.operated: set[str] = set()
        self.settled_at = datetime.now(UTC)
        for name in PROGRAMS:
            self.do(self.install(name, "1.0.0", "good"))

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder: Path, program: Sequence[str] | None = None) -> Iterator["World"]:
        world = cls(folder, program)
        try:
            world.launch()
            yield world
        finally:
            world.close()

    def close(self) -> None:
        self.host.kill()
        self.host.api.close()
        clean_up_units()
        subprocess.run(["umount", "--lazy", self.host.state_dir], check=True)

    # Doing it

    def do(self, *actions: Action, delays: Sequence[float] | None = None) -> None:
        """Carry out one action, or several at the same moment, each after its delay in seconds."""
        with ThreadPoolExecutor(len(actions)) as pool:
            done = [
                pool.submit(_later, delay, action.carry_out)
                for action, delay in zip(actions, delays or [0.0] * len(actions), strict=True)
            ]  # fmt: skip
        outcomes = [outcome.result() for outcome in done]
        took_place = [
            (action, outcome)
            for action, outcome in zip(actions, outcomes, strict=True)
            if outcome is not Outcome.REFUSED
        ]
        for action, _ in took_place:
            COUNTS[f"{action.sort} at once" if len(actions) > 1 else action.sort] += 1
            self._may_exist(action)
        decided = Counter(unit for action, _ in took_place for unit in action.decided)
        for action, outcome in took_place:
            # What somebody else wants at the same moment may come first or last.
            contested = {unit for unit in action.decided if decided[unit] > 1}
            self._expect(action, outcome, contested)
        # Not before: a start at the same moment may have made it known after all.
        self.expected = {unit: expected for unit, expected in self.expected.items() if expected.known != {False}}

    def launch_and_kill(self, delay: float) -> None:
        """Start the manager, and kill it as it looks around, or as it has begun to put things right."""
        if self.lost:
            self._expect_loss()
        self.host.process = self.host.spawn()
        time.sleep(delay)
        self.do(self.end_manager("kill"))

    def launch(self) -> None:
        """Start the manager; where the disk refuses it may decline, and then in one line."""
        if self.lost:
            self._expect_loss()
        COUNTS["manager launched on a disk that refuses" if self.disk_refuses else "manager launched"] += 1
        if not self.disk_refuses:
            try:
                self.host.launch()
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self._stacks()}") from error
            return
        before = len(self.host.log.read_bytes())
        try:
            self.host.launch()
        except AssertionError:
            assert self.host.process is not None
            assert self.host.process.wait(10) == os.EX_TEMPFAIL
            self.host.process = None
            said = self.host.log.read_bytes()[before:].decode().splitlines()
            assert [line for line in said if line.startswith("coredinator: ")] == said[-1:]

    # What must hold

    def settle(self) -> None:
        """Wait until all promises hold, and take what is the case now for what is expected from now on."""
        self.check_doubles()
        if not self.up:
            return
        deadline = time.monotonic() + SETTLED_WITHIN
        pause = 0.02
        while found := self.violations():
            if time.monotonic() > deadline:
                raise AssertionError("\n".join([*found, self._stacks()]))
            time.sleep(pause)
            pause = min(2 * pause, 0.2)
        self._collapse()

    def check_doubles(self) -> None:
        doubles = self.locks / "doubles"
        assert not doubles.exists(), f"two processes at once: {doubles.read_text()}"

    def violations(self) -> list[str]:
        """Every promise that is not kept at this moment."""
        process = self.host.process
        assert process is not None
        if process.poll() is not None:
            return [f"the manager has ended with {process.returncode}"]
        self.check_doubles()
        before = self._services()
        if before is None:
            return ["the API does not answer"]
        agents, services = before
        systemd = self._show(*services)
        loaded = workload_units()
        if self._services() != before:
            return ["states are changing"]
        found = [*of_existence(services, loaded, self.expected), *of_agents(agents, self.links)]
        found += of_pages(agents, services)
        for unit, service in services.items():
            found += of_systemd(unit, service, systemd[unit])
            found += of_process(unit, service, self.expected.get(unit, Expected()))
            if not self.disk_refuses:
                expected, excused = self.expected.get(unit, Expected()), self._excuse(unit, service)
                found += of_wishes(unit, service, systemd[unit], expected, excused=excused)
        if not self.disk_refuses:
            found += of_mirror(self.database, services, systemd, since=self.settled_at, operated=self.operated)
            health = self.host.health()
            if health["status"] != "healthy":
                found.append(f"not healthy: {health['reasons']}")
        return found

    def _excuse(self, unit: Unit, service: Status) -> bool:
        """Whether there is a reason why a service does not run that is wanted running."""
        program = "corerl" if unit.kind == "agent" else "coreio"
        if not any(f"linux-{program}-" in path.name for path in self.programs):
            return True
        config = service["config_path"]
        if service["error"] and config is not None and not Path(config).exists():
            return True
        return service["executable"] is None or self.programs.get(Path(service["executable"])) in {None, "crashing"}

    def _stays(self, unit: Unit, service: Status) -> bool:
        """Whether its process has to be there until somebody wants something else."""
        known = self.expected.get(unit, Expected()).pid == service["main_pid"]
        return service["state"] == "running" and (known or not self._excuse(unit, service))

    # How that is found out

    def _stacks(self) -> str:
        """What the manager's threads do at this moment, should one of them hang."""
        assert self.host.process is not None
        py_spy = Path(sys.executable).with_name("py-spy")
        command = [py_spy, "dump", "--pid", str(self.host.process.pid)]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout

    def _services(self) -> tuple[dict[str, Status], dict[Unit, Status]] | None:
        """Statuses of agents and of services; None while the manager does not answer."""
        try:
            agents = {agent: self.host.status(agent) for agent in self.host.api.get("/api/agents/").json()}
            coreios = self.host.api.get("/api/coreio/").json()["coreio_services"]
        except httpx.TransportError:
            return None
        services = {corerl(agent): status["service_statuses"]["corerl"] for agent, status in agents.items()}
        services |= {coreio(item["service_id"]): item["status"] for item in coreios}
        for service in [*services.values(), *(s for of in agents.values() for s in of["service_statuses"].values())]:
            service.pop("memory_bytes", None)
            service.pop("cpu_seconds", None)
        return agents, services

    def _show(self, *wanted: Unit) -> dict[Unit, dict[str, str]]:
        """What systemd says of units."""
        units = {unit.name: unit for unit in wanted}
        if not units:
            return {}
        properties = "Id,LoadState,ActiveState,SubState,MainPID,NRestarts,Result,ExecMainCode,ExecMainStatus"
        text = systemctl("show", f"--property={properties}", *units)
        blocks = (dict(line.split("=", 1) for line in block.splitlines()) for block in text.strip().split("\n\n"))
        return {units[block["Id"]]: block for block in blocks}

    def _expect(self, action: Action, outcome: Outcome, contested: Collection[Unit]) -> None:
        for unit, wanted in action.wishes:
            certain = outcome is Outcome.DONE and unit not in contested
            if action.by_operator or not certain:
                self.operated.add(unit.name)
            expected = self.expected.get(unit)
            if expected is None:
                continue  # nothing is known of it, so nothing changes
            expected.take(wanted, certain=certain)

    def _may_exist(self, action: Action) -> None:
        for unit, wanted in action.wishes:
            if wanted is Wanted.RUNNING:
                self.expected.setdefault(unit, Expected(known={False}))

    def _expect_loss(self) -> None:
        loaded = self._show(*self.expected)
        # A unit tells which CoreIO it was started with; a later start while it ran may have named another one.
        for agent, links in self.links.items():
            links |= {None, *self.named[agent]}
        for unit, expected in self.expected.items():
            if loaded[unit]["ActiveState"] in {"active", "activating", "reloading"}:
                expected.intents = {"running"}
            else:
                expected.intents.add("stopped")
                expected.known |= {False}

    def _collapse(self) -> None:
        """From now on what is the case is what is expected."""
        answer = self._services()
        assert answer is not None
        agents, services = answer
        if self.disk_refuses:
            return
        self.operated.clear()
        self.wounded = self.lost = False
        self.settled_at = datetime.now(UTC)
        self.expected = {
            unit: Expected(
                intents={service["intended_state"]},
                pid=service["main_pid"] if self._stays(unit, service) else None,
            )
            for unit, service in services.items()
        }
        for agent, of in agents.items():
            named = of["service_statuses"].get("coreio", {}).get("id")
            # Nobody is named while the agent's CoreIO is forgotten; it is the same one again once that is back.
            self.links[agent] = {named} if named is not None else self.links.get(agent, set()) | {None}
        self.links = {agent: links for agent, links in self.links.items() if agent in agents}


def _later(delay: float, carry_out: Callable[[], Outcome]) -> Outcome:
    time.sleep(delay)
    return carry_out()
