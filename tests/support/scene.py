"""A host, and everything that can be done to it."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.support.host import Host, systemctl, wait_for
from tests.support.model import Action, Outcome, Unit, Wanted, coreio, corerl

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


class Scene:
    """One host with its programs and configs; each method makes an action that somebody may carry out."""

    def __init__(self, folder: Path, program: Sequence[str] | None = None) -> None:
        self.host = Host(folder, program)
        # So often the manager looks after what no signal told: every second.
        self.host.extra_flags = ["--stable-period", "2"]
        self.locks = folder / "locks"
        self.locks.mkdir()
        self.programs: dict[Path, str] = {}
        # The CoreIO that an agent's status may name, None for no one; and all that were ever named for it.
        self.links: dict[str, set[str | None]] = {}
        self.named: dict[str, set[str]] = {}
        # Whether the database was damaged while there was no room for a new one, and whether what was
        # in it only is lost for the next manager.
        self.wounded = False
        self.lost = False
        self.database = self.host.state_dir / "coredinator.db"
        self.filler = self.host.state_dir / "filler"
        self.protected = False
        self.host.state_dir.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", self.host.state_dir], check=True)

    @property
    def up(self) -> bool:
        return self.host.process is not None

    @property
    def disk_refuses(self) -> bool:
        return self.filler.exists() or self.protected

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
            return Outcome.REFUSED if self.programs.pop(path, None) is None else Outcome.DONE

        return Action("executable removed", (), carry_out)

    def write_config(self, agent: str) -> Action:
        def carry_out() -> Outcome:
            self.host.config(agent)
            return Outcome.DONE

        return Action("config written", (), carry_out)

    def remove_config(self, agent: str) -> Action:
        def carry_out() -> Outcome:
            path = self.host.configs / f"{agent}.yaml"
            if not path.exists():
                return Outcome.REFUSED
            path.unlink()
            return Outcome.DONE

        return Action("config removed", (), carry_out)

    def damage_database(self, way: str) -> Action:
        """Do something to the file. What is not in systemd may be lost with it where no manager can help it:
        while none runs, or until it ends if there is no room for a new file.
        """

        def carry_out() -> Outcome:
            with contextlib.suppress(OSError):  # a full disk takes no damage either
                damage(self.database, way)
            self.wounded = self.wounded or (self.up and self.disk_refuses)
            self.lost = self.lost or not self.up
            return Outcome.DONE

        return Action(f"database: {way}, {'manager up' if self.up else 'manager down'}", (), carry_out)

    def fill_disk(self) -> Action:
        def carry_out() -> Outcome:
            with contextlib.suppress(OSError), self.filler.open("ab") as file:
                while True:
                    file.write(bytes(4096))
                    file.flush()
            return Outcome.DONE

        return Action("disk filled", (), carry_out)

    def protect_disk(self) -> Action:
        """Have the state folder read-only, which the kernel refuses while a manager writes to it."""

        def carry_out() -> Outcome:
            self.protected = self.protected or self._remount("ro")
            return Outcome.DONE if self.protected else Outcome.REFUSED

        return Action("disk made read-only", (), carry_out)

    def free_disk(self) -> Action:
        def carry_out() -> Outcome:
            if not self.disk_refuses:
                return Outcome.REFUSED
            assert self._remount("rw")
            self.protected = False
            self.filler.unlink(missing_ok=True)
            return Outcome.DONE

        return Action("disk freed", (), carry_out)

    def _remount(self, option: str) -> bool:
        command = ["mount", "-o", f"remount,{option}", self.host.state_dir]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

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
        except httpx.TimeoutException as error:
            raise AssertionError(f"{method} {path} was not answered: {error!r}") from error
        except httpx.TransportError:
            return Outcome.UNKNOWN
        if answer.is_success:
            return Outcome.DONE
        assert answer.status_code in {400, 404, 409, 503}, answer.text
        # 503: systemd or the disk was out of reach, perhaps for the second of two services only.
        return Outcome.UNKNOWN if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else refusal


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


def _systemctl(*arguments: str) -> Outcome:
    done = subprocess.run(["systemctl", "--user", *arguments], check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return Outcome.DONE
    not_loaded = "not loaded" in done.stderr or "not found" in done.stderr
    return Outcome.REFUSED if not_loaded else Outcome.UNKNOWN
