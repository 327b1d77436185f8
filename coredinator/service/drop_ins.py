"""What an administrator's drop-ins set (systemd.unit(5))."""

import re
from collections.abc import Iterable
from pathlib import Path

_OURS = "/systemd/transient/"
"""Where systemd keeps what was asked for at run time."""


def setting_in(paths: Iterable[str], name: str) -> str | None:
    """The last of the drop-ins that gives the setting `name` a value; those of systemd itself do not count."""
    found: str | None = None
    for path in paths:
        if _OURS in path:
            continue
        try:
            text = Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # removed since, or not for our eyes
        for value in re.findall(rf"^\s*{re.escape(name)}\s*=[ \t]*(.*?)\s*$", text, re.MULTILINE):
            found = path if value else None
    return found
