"""The container engine that hosts are booted in: the one that answers, else one of our own for the run."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import DockerException

from tests.support.host import wait_for

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coredinator"
_COMMON_SOCKETS = ("/run/docker.sock", "/run/outer/docker.sock")


@contextlib.contextmanager
def container_engine() -> Iterator[docker.DockerClient]:
    """An engine; one that had to be started ends with the context, what it cached stays.

    $DOCKER_HOST names it meanwhile, which is where testcontainers looks.
    """
    with contextlib.ExitStack() as stack:
        address = _running_engine() or stack.enter_context(_own_engine())
        os.environ["DOCKER_HOST"] = address
        # Ryuk would be a container to fetch; the fixtures remove what they start.
        os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
        client = stack.enter_context(contextlib.closing(docker.DockerClient(address)))
        yield client


def install_missing(program: str, package: str) -> None:
    """Install the Debian package that has `program`, unless it is there."""
    if shutil.which(program) is None:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
        subprocess.run(["apt-get", "install", "-qq", "--no-install-recommends", package], check=True, env=environment)


def _running_engine() -> str | None:
    given = os.environ.get("DOCKER_HOST")
    addresses = [given] if given else [f"unix://{path}" for path in _COMMON_SOCKETS if Path(path).exists()]
    return next((address for address in addresses if _answers(address)), None)


def _answers(address: str) -> bool:
    with contextlib.suppress(DockerException), contextlib.closing(docker.DockerClient(address, timeout=5)) as client:
        return client.ping()
    return False


@contextlib.contextmanager
def _own_engine() -> Iterator[str]:
    install_missing("dockerd", "docker.io")
    data = CACHE / "engine"
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        address = f"unix://{folder}/docker.sock"
        log = Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                # The hosts need no network; without one the engine touches none of this machine's.
                ["dockerd", "--host", address, "--data-root", data, "--exec-root", f"{folder}/exec",
                 "--pidfile", f"{folder}/pid", "--bridge", "none", "--iptables=false", "--ip6tables=false"],
                stdout=output, stderr=output,
            )  # fmt: skip
        try:
            wait_for(lambda: process.poll() is not None or _answers(address), timeout=60, what="container engine")
            assert process.poll() is None, log.read_text()
            yield address
        finally:
            process.terminate()
            process.wait(60)
