"""The installed package answers as its OpenAPI document says, beside the system's systemd."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.large.debian_host import DebianHost, container
from tests.support.host import free_port, systemctl
from tests.support.schema import EXAMPLE, assert_answers_as_documented

pytestmark = pytest.mark.timeout(300)

PROXY = "/lib/systemd/systemd-socket-proxyd"
FORWARDER = "coredinator-api-forwarder"


@pytest.fixture
def host(engine: docker.DockerClient, installed_image: str, tmp_path: Path) -> Iterator[DebianHost]:
    """A host that shares a folder with the test, for it has no network."""
    assert engine.ping()
    with container(installed_image).with_volume_mapping(str(tmp_path), "/mnt", "rw") as running:
        yield DebianHost(running.get_wrapped_container())


@pytest.fixture
def url(host: DebianHost, tmp_path: Path) -> Iterator[str]:
    """The API of the host, by way of a socket in the shared folder."""
    port = free_port()
    host.run("systemd-run", "--socket-property=ListenStream=/mnt/api", f"--unit={FORWARDER}", PROXY, "localhost:7000")
    here = [f"--socket-property=ListenStream=127.0.0.1:{port}", f"--unit={FORWARDER}", PROXY, str(tmp_path / "api")]
    subprocess.run(["systemd-run", "--user", *here], check=True)
    yield f"http://127.0.0.1:{port}"
    systemctl("stop", f"{FORWARDER}.socket", f"{FORWARDER}.service")


def test_every_answer_is_documented_and_none_is_a_server_error(host: DebianHost, url: str, tmp_path: Path) -> None:
    host.install_executables()
    host.await_manager()
    host.write(EXAMPLE, "agent_name: test\n")
    host.declare_telemetry("autostart: false")
    document = host.run("curl", "-sS", "http://localhost:7000/openapi.json")
    assert_answers_as_documented(document, url, tmp_path, "--max-examples", "15")
    # It may have been deleted since.
    assert "backwash-corerl started" in host.journal("-u", "coredinator")
    assert "coretelemetry started" in host.journal("-u", "coredinator"), "no request ever started a service"
    assert host.api("GET", "/api/services/coretelemetry/status")["declared"]
    assert host.show("coredinator.service", "NRestarts") == "0"
    assert "Traceback" not in host.journal("-u", "coredinator")
