"""The package, and the images that hosts are booted from; both are made when their sources have changed."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from tests.conftest import ROOT
from tests.large.debian_host import put_file
from tests.large.engine import CACHE, install_missing

_RECIPE = ROOT / "packaging" / "testbed"
_SOURCES = ("coredinator", "debian", "units", "packaging", "pyproject.toml", "README.md")
_MACHINE_TOOLS = {
    "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "busybox": "busybox-static", "cpio": "cpio", "xz": "xz-utils",
}  # fmt: skip
_MINIMAL = "coredinator-test-minimal"
_INSTALLED = "coredinator-test-host"


def build_package() -> Path:
    """The package of this tree; one that was built from the same sources before is taken again."""
    kept = CACHE / "packages" / f"{_hash_of(_tracked(_SOURCES))}.deb"
    if not kept.exists():
        install_missing("mmdebstrap", "mmdebstrap")
        output = subprocess.run([ROOT / "packaging" / "build-deb"], check=True, capture_output=True, text=True).stdout
        kept.parent.mkdir(parents=True, exist_ok=True)
        for old in kept.parent.iterdir():
            old.unlink()
        kept.write_bytes((ROOT / output.splitlines()[-1]).read_bytes())
    return kept


def newer_package(package: Path, folder: Path) -> Path:
    """The same package under a higher version."""
    content = folder / "content"
    subprocess.run(["dpkg-deb", "--raw-extract", package, content], check=True)
    control = content / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("\nVersion: ", "\nVersion: 1:"))
    newer = folder / "coredinator_newer_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", content, newer], check=True, capture_output=True)
    return newer


def minimal_image(engine: docker.DockerClient) -> str:
    """Debian 13 without anything that the package needs, cached by the hash of its recipe."""
    name = f"{_MINIMAL}:{_hash_of([_RECIPE / 'build-rootfs', _RECIPE / 'dependencies.txt'])}"
    if not _exists(engine, name):
        install_missing("mmdebstrap", "mmdebstrap")
        with tempfile.TemporaryDirectory() as folder:
            tarball = Path(folder, "rootfs.tar")
            subprocess.run([_RECIPE / "build-rootfs", tarball], check=True, capture_output=True)
            engine.api.import_image_from_file(str(tarball), *name.split(":"))
        _remove_older(engine, _MINIMAL, name)
    return name


def installed_image(engine: docker.DockerClient, minimal: str, package: Path) -> str:
    """The same with the package installed, as on a host that has not been booted since."""
    name = f"{_INSTALLED}:{package.stem}-{minimal.partition(':')[2]}"
    if not _exists(engine, name):
        installing = engine.containers.create(
            minimal,
            ["sh", "-euc", "apt-get install --yes /root/package.deb; rm /root/package.deb"],
            network_mode="none",
            environment={"DEBIAN_FRONTEND": "noninteractive"},
        )
        try:
            put_file(installing, "/root/package.deb", package.read_bytes())
            installing.start()
            code = installing.wait()["StatusCode"]
            assert code == 0, installing.logs().decode()
            installing.commit(*name.split(":"))
        finally:
            installing.remove(force=True)
        _remove_older(engine, _INSTALLED, name)
    return name


def virtual_machine_image(package: Path) -> Path:
    """A folder with disk, kernel and initrd of a host with the package; its recipe is among the package's sources."""
    kept = CACHE / "machines" / package.stem
    if not kept.exists():
        for program, debian_package in _MACHINE_TOOLS.items():
            install_missing(program, debian_package)
        shutil.rmtree(kept.parent, ignore_errors=True)
        kept.parent.mkdir(parents=True)
        unfinished = kept.with_suffix(".new")
        unfinished.mkdir()
        subprocess.run([_RECIPE / "vm-image", package, unfinished], check=True, capture_output=True)
        unfinished.rename(kept)
    return kept


def _exists(engine: docker.DockerClient, name: str) -> bool:
    try:
        engine.images.get(name)
    except ImageNotFound:
        return False
    return True


def _remove_older(engine: docker.DockerClient, repository: str, current: str) -> None:
    for image in engine.images.list(repository):
        for tag in image.tags:
            if tag != current:
                engine.images.remove(tag, force=True)


def _tracked(paths: Iterable[str]) -> list[Path]:
    """Files that git knows or would take, as the build does."""
    command = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted({ROOT / name for name in names if name and (ROOT / name).exists()})


def _hash_of(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(ROOT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]
