"""A host to which anything may happen, what is expected of it, and how it breaks its promises.

An `Action` is something that somebody does: a client, an operator, bad luck. It knows what is wanted
of each unit once it is through. `World` carries actions out, one by one or at the same moment, keeps
for each unit the set of what may be wanted of it now, and compares that with what the API, the mirror
and systemd say as soon as these have come to rest.
"""

import contextlib
import functools
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, override

import httpx

from tests.support.forked import ForkedManager
from tests.support.host import Host, clean_up_units, systemctl, systemd_escape, wait_for, workload_units

SETTLED_WITHIN = 25.0
"""Seconds; a process that is stopped or replaced and all retries of the manager fit in."""

# A second process of the same unit finds the lock taken, whatever became of the first one's cgroup.
GOOD = """#!/bin/sh
unit=$(sed -n 's|.*/\\(coredinator-.*\\)|\\1|p' /proc/self/cgroup | head -n 1)
exec 9>>"{locks}/$unit"
flock -n 9 || echo "$unit" >>"{locks}/doubles"
exec sleep infinity
"""
CRASHING = "#!/bin/sh\nexit 3\n"
STUBBORN = GOOD.replace("exec sleep", "trap '' TERM\nexec sleep")
SCRIPTS = {"good": GOOD, "crashing": CRASHING, "stubborn": STUBBORN}
PROGRAMS = ("corerl", "coreio")


class Unit(NamedTuple):
    """A service by its template and id."""

    kind: str
    id: str

    @property
    def name(self) -> str:
        return _name(self)


@functools.cache
def _name(unit: Unit) -> str:
    return systemd_escape(f"coredinator-{unit.kind}@.service", unit.id)


def corerl(agent: str) -> Unit:
    return Unit("agent", agent)


def coreio(name: str) -> Unit:
    return Unit("coreio", name)


COUNTS = Counter[str]()
"""What has been done so far, in all worlds, and how often."""


def count(what: str) -> None:
    COUNTS[what] += 1


class Wanted(StrEnum):
    """What somebody wants of a unit; SAME only lets its process change, GONE also drops its record."""

    RUNNING = "running"
    STOPPED = "stopped"
    SAME = "same"
    GONE = "gone"


class Outcome(StrEnum):
    """Whether an action took place; nobody knows of one that was cut short."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Action:
    """Something that somebody does, and what it means for each unit concerned."""

    sort: str
    wishes: tuple[tuple[Unit, Wanted], ...]
    carry_out: Callable[[], Outcome]
    by_operator: bool = False


@dataclass
class Expected:
    """What may be wanted of a unit; `pid` is the process that must still be there."""

    intents: set[str] = field(default_factory=set[str])
    known: set[bool] = field(default_factory=lambda: {True})
    pid: int | None = None

    def take(self, wanted: Wanted, *, certain: bool) -> None:
        """Add what somebody wants now; if that is certain, nothing that was wanted before counts."""
        if wanted is not Wanted.RUNNING:
            self.pid = None
        match wanted:
            case Wanted.SAME:
                pass
            case Wanted.GONE:
                self.known = {False} if certain else self.known | {False}
                self.intents.add("stopped")
            case Wanted.RUNNING | Wanted.STOPPED:
                self.intents = {wanted.value} if certain else self.intents | {wanted.value}
                self.known = {True} if certain else self.known | {True}


class _QuickHost(Host):
    @override
    def spawn(self) -> ForkedManager:
        # Without the interpreter and its "-m coredinator.app".
        return ForkedManager(self.command()[3:], self.log)


class World:
    """One host, and all that is expected of it."""

    def __init__(self, folder: Path, *, forked: bool = True) -> None:
        self.host = _QuickHost(folder) if forked else Host(folder)
        # So often the manager looks after what no signal told: every second.
        self.host.extra_flags = ["--stable-period", "2"]
        self.locks = folder / "locks"
        self.locks.mkdir()
        self.programs: dict[Path, str] = {}
        self.expected: dict[Unit, Expected] = {}
        # The CoreIO that an agent's status may name, None for no one; and all that were ever named for it.
        self.links: dict[str, set[str | None]] = {}
        self.named: dict[str, set[str]] = {}
        # Units of which the manager may say, since that moment, that an operator acted on them.
        self.operated: set[str] = set()
        self.settled_at = datetime.now(UTC)
        # Whether the database was damaged while there was no room for a new one, and whether what was
        # in it only is lost for the next manager.
        self.wounded = False
        self.lost = False
        self.filler = self.host.state_dir / "filler"
        self.host.state_dir.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", self.host.state_dir], check=True)
        for program in PROGRAMS:
            self.do(self.install(program, "1.0.0", "good"))

    @property
    def up(self) -> bool:
        return self.host.process is not None

    @property
    def disk_full(self) -> bool:
        return self.filler.exists()

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder: Path, *, forked: bool = True) -> Iterator["World"]:
        world = cls(folder, forked=forked)
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

    # What can be done

    def start(self, agent: str, coreio_id: str | None = None) -> Action:
        name = coreio_id or f"{agent}-coreio"
        self.links.setdefault(agent, set()).add(name)
        self.named.setdefault(agent, set()).add(name)
        body = {"config_path": str(self.host.configs / f"{agent}.yaml"), "coreio_id": name}
        wishes = ((coreio(name), Wanted.RUNNING), (corerl(agent), Wanted.RUNNING))
        return Action("agent started", wishes, lambda: self._post("/api/agents/start", body))

    def stop(self, agent: str) -> Action:
        wishes = ((corerl(agent), Wanted.STOPPED),)
        return Action("agent stopped", wishes, lambda: self._post(f"/api/agents/{agent}/stop"))

    def restart(self, agent: str) -> Action:
        """CoreIO is started before CoreRL is restarted, and if that cannot be it runs all the same."""
        links = self.links.get(agent, set())
        wishes = ((corerl(agent), Wanted.RUNNING), (corerl(agent), Wanted.SAME))
        wishes += tuple((coreio(name), Wanted.RUNNING) for name in links if name is not None)
        refusal = Outcome.REFUSED if agent not in self.links else Outcome.UNKNOWN
        return Action("agent restarted", wishes, lambda: self._post(f"/api/agents/{agent}/restart", refusal=refusal))

    def delete(self, agent: str) -> Action:
        wishes = ((corerl(agent), Wanted.GONE),)
        return Action("agent deleted", wishes, lambda: self._request("DELETE", f"/api/agents/{agent}"))

    def start_coreio(self, agent: str, name: str) -> Action:
        body = {"config_path": str(self.host.configs / f"{agent}.yaml"), "coreio_id": name}
        wishes = ((coreio(name), Wanted.RUNNING),)
        return Action("CoreIO started", wishes, lambda: self._post("/api/coreio/start", body))

    def stop_coreio(self, name: str) -> Action:
        wishes = ((coreio(name), Wanted.GONE),)
        return Action("CoreIO stopped", wishes, lambda: self._post(f"/api/coreio/{name}/stop"))

    def operator(self, verb: str, unit: Unit) -> Action:
        wanted = Wanted.STOPPED if verb == "stop" else Wanted.RUNNING
        wishes = ((unit, wanted), (unit, Wanted.SAME)) if verb == "restart" else ((unit, wanted),)
        return Action(f"systemctl {verb}", wishes, lambda: _systemctl(verb, unit.name), by_operator=True)

    def crash(self, unit: Unit, number: signal.Signals) -> Action:
        def carry_out() -> Outcome:
            before = _main_pid(unit)
            outcome = _systemctl("kill", f"--signal={number.name}", "--kill-who=main", unit.name)
            # systemd takes a moment to notice; who ignores SIGTERM does not end at all.
            with contextlib.suppress(AssertionError):
                wait_for(lambda: _main_pid(unit) != before, timeout=0.5)
            return outcome

        return Action(f"service got {number.name}", ((unit, Wanted.SAME),), carry_out)

    def kill_event_bus(self) -> Action:
        return Action("event bus killed", (), lambda: _systemctl("kill", "-sKILL", "coredinator-eventbus.service"))

    def systemd(self, verb: str) -> Action:
        return Action(f"systemctl {verb}", (), lambda: _systemctl(verb))

    def cut_bus(self) -> Action:
        def carry_out() -> Outcome:
            _systemctl("kill", "-sKILL", "dbus.service")
            # Cut often enough, it would reach its start limit.
            _systemctl("reset-failed", "dbus.socket", "dbus.service")
            _systemctl("start", "dbus.socket")
            _systemctl("restart", "dbus.service")
            return Outcome.DONE

        return Action("message bus killed", (), carry_out)

    def end_manager(self, way: str) -> Action:
        def carry_out() -> Outcome:
            {"kill": self.host.kill, "terminate": self.host.terminate}[way]()
            self.lost = self.lost or self.wounded
            return Outcome.DONE

        return Action(f"manager ended by {way}", (), carry_out)

    def install(self, program: str, version: str, sort: str) -> Action:
        def carry_out() -> Outcome:
            path = self.host.install(program, f"v{version}", SCRIPTS[sort].format(locks=self.locks))
            self.programs[path] = sort
            return Outcome.DONE

        return Action(f"{sort} executable installed", (), carry_out)

    def uninstall(self, program: str, version: str) -> Action:
        def carry_out() -> Outcome:
            path = self.host.base_path / "releases" / f"linux-{program}-v{version}"
            path.unlink(missing_ok=True)
            self.programs.pop(path, None)
            return Outcome.DONE

        return Action("executable removed", (), carry_out)

    def write_config(self, agent: str) -> Action:
        def carry_out() -> Outcome:
            self.host.config(agent)
            return Outcome.DONE

        return Action("config written", (), carry_out)

    def remove_config(self, agent: str) -> Action:
        def carry_out() -> Outcome:
            (self.host.configs / f"{agent}.yaml").unlink(missing_ok=True)
            return Outcome.DONE

        return Action("config removed", (), carry_out)

    def damage_database(self, way: str) -> Action:
        """Do something to the file. What is not in systemd may be lost with it where no manager can help it:
        while none runs, or until it ends if there is no room for a new file.
        """

        def carry_out() -> Outcome:
            with contextlib.suppress(OSError):  # a full disk takes no damage either
                damage(self.host.state_dir / "coredinator.db", way)
            self.wounded = self.wounded or (self.up and self.disk_full)
            self.lost = self.lost or not self.up
            return Outcome.DONE

        return Action(f"database: {way}, {'manager up' if self.up else 'manager down'}", (), carry_out)

    def fill_disk(self) -> Action:
        def carry_out() -> Outcome:
            with self.filler.open("ab") as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
                    file.flush()
            return Outcome.DONE

        return Action("disk filled", (), carry_out)

    def free_disk(self) -> Action:
        def carry_out() -> Outcome:
            self.filler.unlink(missing_ok=True)
            return Outcome.DONE

        return Action("disk freed", (), carry_out)

    # Doing it

    def do(self, *actions: Action, delays: Sequence[float] | None = None, apart: bool = False) -> None:
        """Carry out one action, or several at the same moment, each after its delay in seconds.

        With `apart` no two of them concern the same unit, so that each can be told by its outcome.
        """
        for action in actions:
            count(f"{action.sort} at once" if len(actions) > 1 else action.sort)
        if len(actions) == 1:
            self._expect(actions[0], actions[0].carry_out())
            return
        with ThreadPoolExecutor(len(actions)) as pool:
            outcomes = [
                pool.submit(_later, delay, action.carry_out)
                for action, delay in zip(actions, delays or [0.0] * len(actions), strict=True)
            ]  # fmt: skip
        for action, outcome in zip(actions, outcomes, strict=True):
            if outcome.result() is not Outcome.REFUSED:
                self._may_exist(action)
        for action, outcome in zip(actions, outcomes, strict=True):
            # What else happens at the same moment may come first or last.
            uncertain = outcome.result() is Outcome.DONE and not apart
            self._expect(action, Outcome.UNKNOWN if uncertain else outcome.result())

    def launch(self) -> None:
        """Start the manager; where the disk is full it may decline, and then in one line."""
        if self.lost:
            self._expect_loss()
        count("manager launched on a full disk" if self.disk_full else "manager launched")
        if not self.disk_full:
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
        found = [*self._of_existence(services, loaded), *self._of_agents(agents)]
        for unit, service in services.items():
            found += self._of_systemd(unit, service, systemd[unit])
            if not self.disk_full:
                found += self._of_wishes(unit, service, systemd[unit])
        if not self.disk_full:
            found += self._of_mirror(services)
            health = self.host.health()
            if health["status"] != "healthy":
                found.append(f"not healthy: {health['reasons']}")
        return found

    def _of_existence(self, services: dict[Unit, dict[str, Any]], loaded: list[str]) -> list[str]:
        found = [
            f"{unit.name} is unknown"
            for unit, of in self.expected.items()
            if of.known == {True} and unit not in services
        ]
        found += [f"{unit.name} is still known" for unit in services if unit not in self.expected]
        names = {unit.name for unit in services}
        return found + [f"{name} is loaded and has no record" for name in loaded if name not in names]

    def _of_agents(self, agents: dict[str, dict[str, Any]]) -> list[str]:
        found: list[str] = []
        for agent, status in agents.items():
            states = [service["state"] for service in status["service_statuses"].values()]
            if status["state"] != agent_state(status["intended_state"], states):
                found.append(f"agent {agent} is {status['state']} with {states}")
            link = status["service_statuses"].get("coreio", {}).get("id")
            if link not in self.links.get(agent, {None}):
                found.append(f"agent {agent} has CoreIO {link}")
        return found

    def _of_systemd(self, unit: Unit, service: dict[str, Any], show: dict[str, str]) -> list[str]:
        found: list[str] = []
        if show["LoadState"] == "not-found":
            expected_states = {"failed"} if service["error"] else {"stopped"}
            if service["state"] not in expected_states or service["main_pid"] is not None:
                found.append(f"{unit.name} is not loaded, but {service['state']} with PID {service['main_pid']}")
            return found
        says = {
            "state": STATES.get((show["ActiveState"], show["SubState"])) or STATES[show["ActiveState"], ""],
            "main_pid": int(show["MainPID"]) or None,
            "restarts": int(show["NRestarts"]),
            "result": show["Result"],
            "exit_status": int(show["ExecMainStatus"]) if show["ExecMainCode"] != "0" else None,
        }
        if says["state"] == "stopped" and service["error"]:
            says["state"] = "failed"
        found += [
            f"{unit.name}: {key} is {service[key]}, systemd says {value}"
            for key, value in says.items()
            if service[key] != value
        ]
        return found

    def _of_wishes(self, unit: Unit, service: dict[str, Any], show: dict[str, str]) -> list[str]:
        expected = self.expected.get(unit, Expected())
        found: list[str] = []
        if service["intended_state"] not in expected.intents:
            found.append(f"{unit.name} is wanted {service['intended_state']}, not {expected.intents}")
        if expected.pid is not None and service["main_pid"] != expected.pid:
            found.append(f"{unit.name} has PID {service['main_pid']}, not {expected.pid} any more")
        if service["intended_state"] == "stopped":
            if show["ActiveState"] not in {"inactive", "failed"}:
                found.append(f"{unit.name} is wanted stopped, and {show['ActiveState']}")
        elif not self._excuse(unit, service):
            if show["ActiveState"] != "active":
                found.append(f"{unit.name} is wanted running, and {show['ActiveState']}/{show['SubState']}")
            if service["error"]:
                found.append(f"{unit.name} could run, but {service['error']}")
        return found

    def _of_mirror(self, services: dict[Unit, dict[str, Any]]) -> list[str]:
        path = self.host.state_dir / "coredinator.db"
        try:
            with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
                blamed = reader.execute(
                    "SELECT unit FROM transitions WHERE at > ? AND cause LIKE 'operator wants%'",
                    (self.settled_at.isoformat(),),
                ).fetchall()
                rows = reader.execute(
                    "SELECT unit, intent, main_pid, restarts, error, config_path FROM services"
                ).fetchall()
        except sqlite3.Error as error:
            return [f"the mirror cannot be read: {error}"]
        mirrored = {row[0]: row[1:] for row in rows}
        keys = ("intended_state", "main_pid", "restarts", "error", "config_path")
        said = {unit.name: tuple(service[key] for key in keys) for unit, service in services.items()}
        if others := {unit for (unit,) in blamed} - self.operated:
            return [f"an operator is said to have started or stopped {others}"]
        return [] if mirrored == said else [f"the mirror has {mirrored}, the API says {said}"]

    def _excuse(self, unit: Unit, service: dict[str, Any]) -> bool:
        """Whether there is a reason why a service does not run that is wanted running."""
        program = "corerl" if unit.kind == "agent" else "coreio"
        if not any(f"linux-{program}-" in path.name for path in self.programs):
            return True
        config = service["config_path"]
        if service["error"] and config is not None and not Path(config).exists():
            return True
        return service["executable"] is None or self.programs.get(Path(service["executable"])) in {None, "crashing"}

    # How that is found out

    def _stacks(self) -> str:
        """What the manager's threads do at this moment, should one of them hang."""
        assert self.host.process is not None
        py_spy = Path(sys.executable).with_name("py-spy")
        command = [py_spy, "dump", "--pid", str(self.host.process.pid)]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout

    def _services(self) -> tuple[dict[str, dict[str, Any]], dict[Unit, dict[str, Any]]] | None:
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

    def _expect(self, action: Action, outcome: Outcome) -> None:
        if outcome is Outcome.REFUSED:
            return
        if action.by_operator or outcome is Outcome.UNKNOWN:
            self.operated |= {unit.name for unit, _ in action.wishes}
        self._may_exist(action)
        for unit, wanted in action.wishes:
            expected = self.expected.get(unit)
            if expected is None:
                continue  # nothing is known of it, so nothing changes
            expected.take(wanted, certain=outcome is Outcome.DONE)
            if expected.known == {False}:
                del self.expected[unit]

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
        if self.disk_full:
            return
        self.operated.clear()
        self.wounded = self.lost = False
        self.settled_at = datetime.now(UTC)
        self.expected = {
            unit: Expected(
                intents={service["intended_state"]},
                pid=service["main_pid"] if service["state"] == "running" and not self._excuse(unit, service) else None,
            )
            for unit, service in services.items()
        }
        for agent, of in agents.items():
            named = of["service_statuses"].get("coreio", {}).get("id")
            # Nobody is named while the agent's CoreIO is forgotten; it is the same one again once that is back.
            self.links[agent] = {named} if named is not None else self.links.get(agent, set()) | {None}
        self.links = {agent: links for agent, links in self.links.items() if agent in agents}

    def _post(self, path: str, body: dict[str, str] | None = None, *, refusal: Outcome = Outcome.REFUSED) -> Outcome:
        return self._request("POST", path, body, refusal=refusal)

    def _request(
        self, method: str, path: str, body: dict[str, str] | None = None, *, refusal: Outcome = Outcome.REFUSED
    ) -> Outcome:
        """Ask the API; `refusal` is what an answer of 400, 404 or 409 means."""
        try:
            answer = self.host.api.request(method, path, json=body)
        except httpx.ConnectError:
            return Outcome.REFUSED
        except httpx.TransportError:
            return Outcome.UNKNOWN
        if answer.is_success:
            return Outcome.DONE
        assert answer.status_code in {400, 404, 409, 503}, answer.text
        # 503: systemd or the disk was out of reach, perhaps for the second of two services only.
        return Outcome.UNKNOWN if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else refusal


STATES = {
    ("activating", ""): "starting",
    ("activating", "auto-restart"): "failed",
    ("activating", "auto-restart-queued"): "failed",
    ("deactivating", ""): "stopping",
    ("active", ""): "running",
    ("inactive", ""): "stopped",
    ("failed", ""): "failed",
}
"""The contract's table: ActiveState and SubState, an empty one for all others."""


def agent_state(intent: str, states: list[str]) -> str:
    """The contract's rule for an agent."""
    if intent == "stopped":
        return "stopped"
    if "failed" in states:
        return "failed"
    return next((state for state in ("running", "stopped") if set(states) == {state}), "starting")


def damage(path: Path, way: str) -> None:
    """Delete the database, cut it to nothing or to its half, or write over its beginning, in place."""
    path.touch()
    match way:
        case "delete":
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        case "delete only the file":
            path.unlink()
        case "cut":
            os.truncate(path, 0)
        case "halve":
            os.truncate(path, path.stat().st_size // 2)
        case "overwrite":
            with path.open("r+b") as file:
                file.write(b"\xde\xad" * 8192)
        case _:
            raise ValueError(way)


def _main_pid(unit: Unit) -> str:
    """Nothing while systemd is just reexecuting itself."""
    return systemctl("show", "--property=MainPID", "--value", unit.name, check=False).strip()


def _later(delay: float, carry_out: Callable[[], Outcome]) -> Outcome:
    time.sleep(delay)
    return carry_out()


def _systemctl(*arguments: str) -> Outcome:
    done = subprocess.run(["systemctl", "--user", *arguments], check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return Outcome.DONE
    not_loaded = "not loaded" in done.stderr or "not found" in done.stderr
    return Outcome.REFUSED if not_loaded else Outcome.UNKNOWN
