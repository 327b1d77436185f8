import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from tests.support.bus import Bus, Context, running_bus
from tests.support.host import Host, Subscriber, wait_for


@pytest.fixture(scope="session", autouse=True)
def user_systemd() -> None:
    """Fail at once, and clearly, where the bed is missing."""
    done = subprocess.run(["systemctl", "--user", "is-system-running"], capture_output=True, text=True, check=False)
    assert done.stdout.strip() in {"running", "degraded"}, f"no user systemd: {done.stderr}"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with Host.running(tmp_path) as running:
        yield running


@pytest.fixture
def idle_host(tmp_path: Path) -> Iterator[Host]:
    """A host whose manager the test starts itself."""
    idle = Host(tmp_path)
    try:
        yield idle
    finally:
        idle.close()


@pytest.fixture
def events(host: Host) -> Iterator[Subscriber]:
    subscriber = Subscriber(host.sub_port)
    config = str(host.config("probe"))

    def hears() -> bool:
        """A subscription takes its time to reach the publisher: make events until one is heard."""
        host.api.post("/api/coreio/start", json={"config_path": config, "coreio_id": "probe"})
        host.api.post("/api/coreio/probe/stop")
        return subscriber.heard_anything(timeout=0.2)

    wait_for(hears, what="events")
    yield subscriber
    subscriber.close()


@pytest.fixture(scope="module")
def shared_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One manager for all tests of a module that create nothing."""
    with Host.running(tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path) as running:
        yield running


@pytest.fixture
def context() -> Iterator[Context]:
    context = zmq.Context()
    # Also for sockets that the end of a test function closes: what they could not send is not waited for.
    context.setsockopt(zmq.LINGER, 0)
    yield context
    context.destroy()
