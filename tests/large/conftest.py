"""Fixtures: a container engine, the package, and hosts booted from images that are made here."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import docker
import pytest

from tests.large import images
from tests.large.debian_host import DebianHost, container
from tests.large.engine import container_engine

type Boot = Callable[[str], DebianHost]


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    with container_engine() as client:
        yield client


@pytest.fixture(scope="session")
def package() -> Path:
    return images.build_package()


@pytest.fixture(scope="session")
def minimal_image(engine: docker.DockerClient) -> str:
    return images.minimal_image(engine)


@pytest.fixture(scope="session")
def installed_image(engine: docker.DockerClient, minimal_image: str, package: Path) -> str:
    return images.installed_image(engine, minimal_image, package)


@pytest.fixture
def boot(engine: docker.DockerClient) -> Iterator[Boot]:
    """Boots hosts that last as long as the test."""
    assert engine.ping()
    with ExitStack() as stack:

        def boot_image(image: str) -> DebianHost:
            return DebianHost(stack.enter_context(container(image)).get_wrapped_container())

        yield boot_image


@pytest.fixture
def minimal_host(boot: Boot, minimal_image: str, package: Path) -> DebianHost:
    """A host without the package, which lies in root's home folder."""
    host = boot(minimal_image)
    host.write("/root/coredinator_0.1.0_all.deb", package.read_bytes())
    return host


@pytest.fixture
def host(boot: Boot, installed_image: str) -> DebianHost:
    """A host on which the package runs and executables are in place."""
    host = boot(installed_image)
    host.install_executables()
    host.await_manager()
    return host
