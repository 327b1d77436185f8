"""How the commands end when they cannot go on."""

import sys
from typing import NoReturn


def die(program: str, message: str, code: int) -> NoReturn:
    """Print one line on standard error and exit with `code` (sysexits.h)."""
    print(f"{program}: {message}", file=sys.stderr)  # noqa: T201  # what the user of the command reads
    sys.exit(code)
