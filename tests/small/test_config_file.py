"""Whatever a config file holds, reading it gives a mapping or one line that names the file, and soon."""

import tempfile
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coredinator.errors import ConfigError
from coredinator.service.config_file import SIZE_LIMIT, read_config

SECONDS = 10
"""That is much; all of these would take minutes or gigabytes, or end the process, if they were not refused."""

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes() | st.dates()
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(scalars, inner) | st.sets(scalars), max_leaves=30
)
# The words of YAML in any order: closer to its edges than text of any kind.
WORDS = [
    "a", "1", ": ", "- ", "? ", "\n", "  ", "[", "]", "{", "}", ", ", "&a ", "*a", "<<: ", "!!int ", "!!bool ",
    "!!set ", "!!timestamp ", "!!binary ", "!!float ", "!!omap ", "!!map ", "!x ", "|\n", ">\n", "'", '"', "\\x",
    "%YAML 1.1\n", "---\n", "...\n", "#", "=", "~", "0x", ".inf", "1:1", "2001-13-13", "\t", "\0", "\ufeff", "é",
]  # fmt: skip
documents = st.lists(st.sampled_from(WORDS), max_size=40).map("".join)


def outcome(raw: bytes, name: str = "config.yaml") -> object:
    """What reading gives: a mapping, or the one line of its error."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(raw)
        try:
            content = read_config(path)
        except ConfigError as error:
            line = str(error)
            assert line.isprintable()
            assert f"{folder}/" in line
            assert len(line) < 500
            return line
    assert isinstance(content, dict)
    return content


@given(st.binary(max_size=300))
@example(b"\xff\xfea\x00:\x00 \x001\x00")
@example(b"a: \x80")
@example(b"a: \x01")
@example(b"a: 1\0")
def test_bytes_of_any_kind(raw: bytes) -> None:
    outcome(raw)


@given(documents, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7"]))
@settings(max_examples=300)
@example("a: !!bool maybe", "utf-8")
@example("a: !!timestamp soon", "utf-8")
@example("a: !!int ''", "utf-8")
@example("a: 2001-13-13", "utf-8")
@example("a: &a {<<: *a}", "utf-8")
@example("? [a]\n: 1", "utf-8")
@example("? *a\n: &a 1", "utf-8")
def test_documents_of_any_kind(text: str, encoding: str) -> None:
    outcome(text.encode(encoding))


@given(trees)
def test_what_yaml_writes_is_read_as_it_was(tree: object) -> None:
    raw = yaml.safe_dump({"a": tree}).encode()
    expected = yaml.safe_load(raw)
    read = outcome(raw)
    assert isinstance(read, dict)
    assert repr(read) == repr(expected)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"[" * 500_000, "nested"),
        (b"{a: " * 200_000, "nested"),
        (b"- " * 500_000, "nested"),
        (b"? " * 500_000, "nested"),
        (b"a: &a {<<: *a}", "nested"),
        (b"a: 0x" + b"f" * 900_000, "digits"),
        (b"a: 1" + b":1" * 450_000, "digits"),
        (b"a: " + b"9" * 900_000, "digits"),
        (b"a: " + b"x" * SIZE_LIMIT, "larger"),
        (b"a: !" + b"x" * 900_000 + b" 1", "tag"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[:6].decode(),
)
def test_what_takes_all_time_or_memory_is_refused(raw: bytes, words: str) -> None:
    begin = time.monotonic()
    assert words in str(outcome(raw))
    assert time.monotonic() - begin < SECONDS


def bomb(reference: str) -> bytes:
    """Thirty lines, each made of ten of the one before."""
    lines = [
        "x0: &x0 {k: v}",
        *(f"x{n}: &x{n} {reference.format(', '.join([f'*x{n - 1}'] * 10))}" for n in range(1, 30)),
    ]
    return "\n".join(lines).encode()


def test_a_billion_laughs_are_references_that_cost_nothing() -> None:
    read = outcome(bomb("[{}]"))
    assert isinstance(read, dict)
    assert len(read) == 30


def test_a_billion_merged_keys_are_refused() -> None:
    assert "line 5, column 5: not YAML: merges more than 100000 keys" in str(outcome(bomb("{{<<: [{}]}}")))


def test_merging_defaults_a_hundred_times_is_fine() -> None:
    tags = "".join(f"  - {{<<: *defaults, name: t{number}}}\n" for number in range(100))
    read = outcome(f"defaults: &defaults {{unit: K, rate: 1}}\ntags:\n{tags}".encode())
    assert isinstance(read, dict)
    assert read["tags"][99] == {"unit": "K", "rate": 1, "name": "t99"}


@pytest.mark.parametrize("name", ["a\nb.yaml", "\x1b[31m.yaml", "\u2028.yaml"])
def test_a_name_that_breaks_lines_is_spelled_out(name: str) -> None:
    assert repr(name)[1:-1] in str(outcome(b"- 1", name))
