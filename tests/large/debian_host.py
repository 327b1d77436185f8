"""A Debian 13 host, booted in a container, as an administrator sees it."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from docker.models.containers import Container
from testcontainers.core.container import DockerContainer

from tests.support.host import systemd_escape, wait_for

SLEEPER = "#!/bin/sh\necho started as $(id -un) in $PWD with $*\nexec sleep infinity\n"
CRASHER = "#!/bin/sh\necho about to crash\nexit 3\n"
SETTINGS = "/etc/coredinator/coredinator.yaml"
_BOOT = "umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec /sbin/init"
_BOOTED = {"running", "degraded"}


def container(image: str) -> DockerContainer:
    """A container that boots its systemd, with as few privileges as that needs, and without a network."""
    return (
        DockerContainer(image)
        .with_command(["/bin/sh", "-c", _BOOT])
        .with_env("container", "docker")
        .with_tmpfs_mount("/run")
        .with_tmpfs_mount("/run/lock")
        .with_tmpfs_mount("/tmp")  # noqa: S108  # the host's own
        .with_kwargs(
            network_mode="none",
            cap_add=["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH"],
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            cgroupns="private",
            stop_signal="SIGRTMIN+3",
        )
    )


def put_file(target: Container, path: str, content: bytes, mode: int = 0o644) -> None:
    """Put a file into a container, which need not run; its folder exists."""
    place = PurePosixPath(path)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(place.name)
        entry.size, entry.mode = len(content), mode
        tar.addfile(entry, io.BytesIO(content))
    target.put_archive(str(place.parent), archive.getvalue())


class DebianHost:
    """One host. Commands run as root, and fail the test unless they succeed."""

    def __init__(self, running: Container) -> None:
        self._container = running
        self._await_boot()

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command; its output, both streams in one."""
        code, output = self._container.exec_run(list(command))
        text = output.decode(errors="replace")
        assert not check or code == 0, f"{' '.join(command)}: exit code {code}\n{text}"
        return text

    def sh(self, script: str, *arguments: str, check: bool = True) -> str:
        """Run a shell script."""
        return self.run("sh", "-euc", script, "sh", *arguments, check=check)

    def write(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        """Put a file there, and the folders it needs."""
        self.run("mkdir", "-p", str(PurePosixPath(path).parent))
        put_file(self._container, path, text.encode() if isinstance(text, str) else text, mode)

    def reboot(self) -> None:
        """Shut down in order, then start."""
        self._container.restart(timeout=60)
        self._await_boot()

    def power_cut(self) -> None:
        """Kill everything at once, then start."""
        self._container.kill()
        self._container.start()
        self._await_boot()

    def _await_boot(self) -> None:
        wait_for(
            lambda: self.run("systemctl", "is-system-running", check=False).strip() in _BOOTED,
            timeout=60, what="boot",
        )  # fmt: skip

    # What follows needs the package.

    def api(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON
        """Ask the REST API; anything but success fails the test."""
        data = [] if body is None else ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        url = f"http://localhost:7000{path}"
        return json.loads(self.run("curl", "-sS", "--fail-with-body", "-X", method, *data, url))

    def answers(self) -> bool:
        """Whether the API serves."""
        return "healthy" in self.run("curl", "-s", "http://localhost:7000/api/healthcheck", check=False)

    def await_manager(self, *, timeout: float = 15.0) -> None:
        wait_for(self.answers, timeout=timeout, what="manager and event bus")

    def install_executables(self, script: str = SLEEPER) -> None:
        for program in ("corerl", "coreio"):
            self.write(f"/opt/coredinator/v1/linux-{program}-v1.0.0", script, 0o755)

    def configure(self, text: str) -> None:
        """Add to the settings file, check it as README.md says, and have the manager read it."""
        self.sh(f'printf %s "$1" >> {SETTINGS}', text)
        checked = self.run("coredinator", "--config", SETTINGS, "--check-config")
        assert "nothing is wrong" in checked
        self.run("systemctl", "restart", "coredinator")
        self.await_manager()

    def declare_telemetry(self, more: str) -> None:
        """Declare the service coretelemetry and install what it needs; `more` are keys besides its config."""
        self.write("/opt/coredinator/v1/linux-coretelemetry-v1.0.0", SLEEPER, 0o755)
        self.write("/etc/plant/telemetry.yaml", "name: telemetry\n")
        self.configure(f"services:\n  coretelemetry: {{config: /etc/plant/telemetry.yaml, {more}}}\n")

    def start_agent(self, agent_id: str) -> None:
        config = f"/etc/plant/{agent_id}.yaml"
        self.write(config, "agent_name: test\n")
        assert self.api("POST", "/api/agents/start", {"config_path": config}) == agent_id

    def status(self, agent_id: str) -> dict[str, Any]:
        return self.api("GET", f"/api/agents/{agent_id}/status")

    def corerl(self, agent_id: str) -> dict[str, Any]:
        return self.status(agent_id)["service_statuses"]["corerl"]

    def await_state(self, agent_id: str, state: str, *, timeout: float = 10.0) -> None:
        wait_for(lambda: self.status(agent_id)["state"] == state, timeout=timeout, what=f"{agent_id} {state}")

    def units(self, pattern: str = "coredinator-*@*.service") -> list[dict[str, str]]:
        """Loaded units as systemctl lists them; some of them are mentioned by others and do not exist."""
        listed = json.loads(self.run("systemctl", "list-units", "--all", "--output=json", pattern))
        return [unit for unit in listed if unit["load"] != "not-found"]

    def show(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", "--property", name, "--value", unit).strip()

    def pids(self, pattern: str = "coredinator-*@*.service") -> dict[str, int]:
        """Main PIDs of the units that run, by name."""
        text = self.run("systemctl", "show", "--property", "Id,MainPID", pattern)
        pairs = [dict(line.split("=", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]
        return {pair["Id"]: int(pair["MainPID"]) for pair in pairs if pair["MainPID"] != "0"}

    def journal(self, *arguments: str) -> str:
        return self.run("journalctl", "--no-pager", *arguments)


def agent_unit(agent_id: str) -> str:
    return systemd_escape("coredinator-agent@.service", agent_id)


def coreio_unit(agent_id: str) -> str:
    return systemd_escape("coredinator-coreio@.service", f"{agent_id}-coreio")


def await_true(probe: Callable[[], bool], what: str, *, timeout: float = 10.0) -> None:
    wait_for(probe, timeout=timeout, what=what)
