"""Reading an agent's config file. It belongs to CoreRL and CoreIO: nothing is demanded or added.

A file may be anything, an attack included: what is read is bounded in size, nesting, aliases and
numbers, for each of them alone can take all memory, all time, or the process (libyaml's loader recurses).
"""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, override

import yaml
from yaml.constructor import ConstructorError

from coredinator.errors import ConfigError

SIZE_LIMIT = 1024 * 1024
"""Bytes; more than this is not an agent's config but a mistake."""
_NESTING_LIMIT = 100
_MERGED_LIMIT = 100_000
"""Keys that all `<<` of a file may bring in together: a few lines that merge each other make billions."""
_DIGITS_LIMIT = 1000
_REASON_LIMIT = 200


def read_config(path: Path) -> Mapping[str, Any]:
    """Read a YAML mapping.

    Raises ConfigError of one line that names the file, and the line in it where there is one.
    """
    name = _printable(str(path))
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"config {name} is not a regular file; give the path of a YAML file")
        with path.open("rb") as file:
            raw = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        raise ConfigError(f"config {name} does not exist; check the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"config {name} cannot be read: {reason}; check the path and its permissions") from error
    if len(raw) > SIZE_LIMIT:
        raise ConfigError(f"config {name} is larger than {SIZE_LIMIT} bytes; is it the right file?")
    return _parse(raw, name)


class _Loader(yaml.CSafeLoader):
    """The safe loader, with limits."""

    merged = 0

    @override
    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Count what `<<` brings in before it does."""
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(source, yaml.MappingNode):
                        self.flatten_mapping(source)
                        self.merged += len(source.value)
        if self.merged > _MERGED_LIMIT:
            raise ConstructorError(None, None, f"merges more than {_MERGED_LIMIT} keys", node.start_mark)
        super().flatten_mapping(node)

    def construct_number(self, node: yaml.ScalarNode) -> int:
        """An integer that can be printed in time."""
        if len(node.value) > _DIGITS_LIMIT:
            raise ConstructorError(None, None, f"a number of more than {_DIGITS_LIMIT} digits", node.start_mark)
        return self.construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_number)


def _parse(raw: bytes, name: str) -> Mapping[str, Any]:
    try:
        _refuse_deep_nesting(raw)
        content: object = yaml.load(raw, Loader=_Loader)  # noqa: S506  # it is a safe one
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"config {name}{where}: not YAML: {_reason(error.problem or error.context)}") from error
    except RecursionError:
        raise ConfigError(f"config {name} is nested too deeply to be read") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"config {name} is not YAML: {_reason(error)}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # `!!bool maybe`, `!!timestamp soon`, `!!int ""`, 2001-13-13: yaml lets through what converting them raises.
        raise ConfigError(f"config {name} is not YAML: a value does not fit its type: {_reason(error)}") from error
    if not isinstance(content, dict):
        kind = "empty" if content is None else f"a {type(content).__name__}"
        raise ConfigError(f"config {name} is {kind} at its top level; it must be a mapping of keys to values")
    return cast("Mapping[str, Any]", content)


def _refuse_deep_nesting(raw: bytes) -> None:
    """Raise RecursionError in place of libyaml's loader, which overruns its stack."""
    depth = 0
    for event in yaml.parse(raw, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _NESTING_LIMIT:
                raise RecursionError
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _reason(problem: object) -> str:
    """What yaml complains of, on one line that is not too long."""
    text = _printable(" ".join(str(problem).split()))
    return text if len(text) <= _REASON_LIMIT else f"{text[:_REASON_LIMIT]}…"


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)
