"""Finding the executable of a service under the base path, newest version first."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from coredinator.errors import ExecutableNotFound
from coredinator.services import Kind

_VERSION = r"(?:dev(?P<build>\d+)-)?v(?P<major>\d+)\.(?P<minor>\d+)\.(?P<patch>\d+)"
_SIDE_FILES = (".asc", ".gz", ".json", ".log", ".md5", ".sha256", ".sha512", ".sig", ".txt", ".xz", ".zip")
_PLATFORMS = {"linux": "linux", "win32": "windows", "darwin": "darwin"}


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A version; in its order a stable one beats every development build."""

    stable: bool
    major: int
    minor: int
    patch: int
    build: int = 0

    def __str__(self) -> str:
        number = f"{self.major}.{self.minor}.{self.patch}"
        return number if self.stable else f"dev{self.build}-v{number}"


@dataclass(frozen=True, slots=True)
class Executable:
    """A file that can be run; `version` is None where its name has none (demo programs)."""

    path: Path
    version: Version | None


def parse_name(name: str, kind: Kind) -> Executable | None:
    """Read a file's name as an executable of `kind`, None if it is not one.

    Versioned kinds demand the whole format, so that side files such as `….sha256` never fit.
    """
    program = re.escape(kind.program)
    platform = _PLATFORMS.get(sys.platform, sys.platform)
    if match := re.fullmatch(rf"{platform}-{program}-{_VERSION}", name):
        return Executable(Path(name), _version(match))
    if kind.versioned or not _fits(name, kind.program) or name.endswith(_SIDE_FILES):
        return None
    match = re.search(rf"-{_VERSION}$", name)
    return Executable(Path(name), _version(match) if match else None)


def choose(candidates: Iterable[Executable], pinned: str | None) -> Executable | None:
    """The newest of the candidates, or the one whose version is `pinned` (`1.2.3` or `v1.2.3`)."""
    wanted = pinned.removeprefix("v") if pinned else None
    fitting = [item for item in candidates if wanted is None or str(item.version) == wanted]
    return max(fitting, key=preference, default=None)


def preference(item: Executable) -> tuple[Version, str]:
    """The order of executables, the best one last; their paths decide between equal versions."""
    lowest = Version(stable=False, major=-1, minor=0, patch=0)
    return item.version or lowest, str(item.path)


def find_executable(
    base_path: Path, kind: Kind, pinned: str | None = None, *, files: Iterable[tuple[str, str]] | None = None
) -> Executable:
    """Search `base_path` at any depth, or the `files` that are there, if they are known.

    Only regular files with a run bit count, and only if they lie inside the base path once links
    are resolved and their paths are UTF-8. Raises ExecutableNotFound with what was looked for.
    """
    found = choose(candidates(base_path, kind, files=files), pinned)
    if found is None:
        wanted = f"{kind.program} {pinned}" if pinned else kind.program
        pattern = f"linux-{kind.program}-v*.*.*" if kind.versioned else f"*{kind.program}*".replace("**", "*")
        raise ExecutableNotFound(f"no executable {wanted} under {base_path}; put a runnable file named {pattern} there")
    if "$" in str(found.path):
        raise ExecutableNotFound(f"{found.path} has a '$' in its path, which systemd would expand; rename the folder")
    return found


def _fits(name: str, program: str) -> bool:
    """Whether a file's name fits a pattern, or holds the name of a program."""
    return fnmatchcase(name, program if "*" in program or "?" in program else f"*{program}*")


def candidates(base_path: Path, kind: Kind, *, files: Iterable[tuple[str, str]] | None = None) -> Iterator[Executable]:
    """All executables of a kind under the base path, in no order."""
    for folder, name in files_under(base_path) if files is None else files:
        if named := parse_name(name, kind):
            path = Path(folder, name)
            if _can_run(path) and _lies_within(base_path, path):
                yield Executable(path, named.version)


def files_under(base_path: Path) -> list[tuple[str, str]]:
    """The folders and names of all files under the base path."""
    return [(folder, name) for folder, _, names in os.walk(base_path) for name in names]


def _lies_within(base_path: Path, path: Path) -> bool:
    """Whether a file lies inside the base path; the folders that lead there from it are no links."""
    return not path.is_symlink() or path.resolve().is_relative_to(base_path.resolve())


def _can_run(path: Path) -> bool:
    return is_utf8(path) and path.is_file() and os.access(path, os.X_OK)


def is_utf8(path: Path) -> bool:
    """Whether systemd, JSON and the mirror can hold the path."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _version(match: re.Match[str]) -> Version:
    build = match["build"]
    return Version(build is None, int(match["major"]), int(match["minor"]), int(match["patch"]), int(build or 0))
