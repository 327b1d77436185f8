"""Whether a file could be run, without running it."""

import os
import sys
from pathlib import Path

import pytest

from coredinator.service.runnable import why_not_runnable


def test_programs_and_scripts_of_this_machine_could(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh -e\n")
    assert why_not_runnable(script) is None
    assert why_not_runnable(Path(os.path.realpath(sys.executable))) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x7fELF\x02", "is cut off"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\xff\xff" + bytes(20), "another kind of machine"),
        (b"#!\n", "(none)"),
        (b"#!/no/such/interpreter -x\n", "/no/such/interpreter"),
        (b"\xca\xfe\xba\xbe" * 4, "neither a program"),
    ],
)
def test_others_could_not_and_the_reason_is_said(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "program"
    path.write_bytes(content)
    assert words in str(why_not_runnable(path))


def test_a_file_that_is_gone_could_not(tmp_path: Path) -> None:
    assert "No such file" in str(why_not_runnable(tmp_path / "gone"))
