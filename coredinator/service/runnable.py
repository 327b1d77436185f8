"""Whether this machine can run a file, found out without running it (elf(5), execve(2))."""

import os
import struct
from pathlib import Path

_ELF = b"\x7fELF"
_MACHINES = {
    "x86_64": {62, 3},
    "aarch64": {183},
    "armv7l": {40},
    "i686": {3},
    "ppc64le": {21},
    "riscv64": {243},
    "s390x": {22},
}
"""e_machine of the programs that run on each machine, by the name that uname(2) gives it."""

_HEAD = 256
"""Bytes that execve(2) looks at."""


def why_not_runnable(path: Path) -> str | None:
    """What is wrong with an executable: empty, cut off, for another machine, without interpreter; None if nothing."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    if head.startswith(_ELF):
        return _elf(path, head)
    if head.startswith(b"#!"):
        return _script(path, head)
    what = "is empty" if not head else "is neither a program for Linux nor a script that begins with #!"
    return f"{path} {what}; copy it again"


def _elf(path: Path, head: bytes) -> str | None:
    size = len(head)
    if size < struct.calcsize("<16sHH"):
        return f"{path} is cut off; copy it again"
    order = "<" if head[5] == 1 else ">"
    machine: int = struct.unpack_from(f"{order}H", head, 18)[0]
    here = os.uname().machine
    if here in _MACHINES and machine not in _MACHINES[here]:
        return f"{path} is a program for another kind of machine; install the one for {here}"
    return None


def _script(path: Path, head: bytes) -> str | None:
    words = head[2:].split(b"\n")[0].split()
    interpreter = Path(os.fsdecode(words[0])) if words else None
    if interpreter is None or not interpreter.is_file() or not os.access(interpreter, os.X_OK):
        return f"{path} asks for the interpreter {interpreter or '(none)'}, which is not there; install it"
    return None
