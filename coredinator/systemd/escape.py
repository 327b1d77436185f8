"""Unit name escaping as systemd does it (systemd.unit(5), "String Escaping for Inclusion in Unit Names")."""

import functools
import re

UNIT_NAME_MAX = 255
"""Longest unit name in bytes (UNIT_NAME_MAX in systemd's unit-name.h, less the final NUL)."""

_SPECIAL = re.compile(r"^\.|[^a-zA-Z0-9:_.]")
_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})")


def escape(text: str) -> str:
    """Escape `text` for use in a unit name, like `systemd-escape TEXT`."""
    # A character for each byte of UTF-8.
    return _SPECIAL.sub(_escape_byte, text.encode().decode("latin-1"))


def _escape_byte(match: re.Match[str]) -> str:
    return "-" if match[0] == "/" else f"\\x{ord(match[0]):02x}"


def unescape(text: str) -> str:
    """Undo `escape`, like `systemd-escape --unescape TEXT`.

    Raises ValueError if `text` is not the escaped form of valid UTF-8.
    """
    plain = bytearray()
    position = 0
    while position < len(text):
        if match := _ESCAPE.match(text, position):
            plain.append(int(match[1], 16))
            position = match.end()
            continue
        if text[position] == "\\":
            raise ValueError(f"stray backslash in {text!r}")
        plain += b"/" if text[position] == "-" else text[position].encode()
        position += 1
    return plain.decode()


@functools.lru_cache(maxsize=4096)
def object_path_to_unit(path: str) -> str:
    """The unit's name in a D-Bus object path: `…/unit/a_2eservice` is `a.service`."""
    label = path.rpartition("/")[2]
    return re.sub(r"_([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), label)


@functools.lru_cache(maxsize=4096)
def unit_to_object_path(unit: str) -> str:
    """The D-Bus object path of a unit (bus_label_escape in systemd's sd-bus)."""
    label = "".join(
        char if char.isascii() and (char.isalpha() or (char.isdigit() and position > 0)) else f"_{ord(char):02x}"
        for position, char in enumerate(unit)
    )
    return f"/org/freedesktop/systemd1/unit/{label}"
