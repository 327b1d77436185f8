"""Reading an agent's config file. It belongs to CoreRL and CoreIO: nothing is demanded or added."""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from coredinator.errors import ConfigError

SIZE_LIMIT = 4 * 1024 * 1024
"""Bytes; more than this is not an agent's config but a mistake."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_config(path: Path) -> Mapping[str, Any]:
    """Read a YAML mapping. Raises ConfigError that names the file, and the line where there is one."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"config {path} is not a regular file; give the path of a YAML file")
        with path.open("rb") as file:
            raw = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        raise ConfigError(f"config {path} does not exist; check the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"config {path} cannot be read: {reason}; check the path and its permissions") from error
    if len(raw) > SIZE_LIMIT:
        raise ConfigError(f"config {path} is larger than {SIZE_LIMIT} bytes; is it the right file?")
    return _parse(raw, path)


def _parse(raw: bytes, path: Path) -> Mapping[str, Any]:
    try:
        content: object = yaml.load(raw, Loader=_Loader)  # noqa: S506  # both loaders are safe ones
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"config {path}{where}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"config {path} is not YAML: {error}") from error
    except RecursionError:
        raise ConfigError(f"config {path} is nested too deeply to be read") from None
    if not isinstance(content, dict):
        kind = "empty" if content is None else f"a {type(content).__name__}"
        raise ConfigError(f"config {path} is {kind} at its top level; it must be a mapping of keys to values")
    return cast("Mapping[str, Any]", content)
