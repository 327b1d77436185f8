"""Unit name escaping is systemd's, byte for byte."""

import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coredinator.errors import InvalidId
from coredinator.service.identity import identify, parse_unit
from coredinator.services import KindName
from coredinator.systemd.escape import escape, object_path_to_unit, unescape, unit_to_object_path

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)


def systemd_escape(*arguments: str) -> str:
    done = subprocess.run(["systemd-escape", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.removesuffix("\n")


@given(TEXT)
@settings(max_examples=60, deadline=None)
@example(".a.b")
@example("a/b-c")
def test_escape_is_systemd_escape(text: str) -> None:
    assert escape(text) == systemd_escape("--", text)


@given(TEXT)
def test_unescape_undoes_escape(text: str) -> None:
    assert unescape(escape(text)) == text


@given(
    st.text(alphabet="ax4f0-_:.\\/", min_size=1, max_size=12).filter(lambda text: "\\x00" not in text)
)  # NUL cannot be printed
@settings(max_examples=60, deadline=None)
@example("\\x41")
@example("\\x4")
@example("\\")
@example("\\xff")
def test_unescape_is_systemds(text: str) -> None:
    done = subprocess.run(["systemd-escape", "--unescape", "--", text], capture_output=True, check=False)
    try:
        expected = done.stdout.removesuffix(b"\n").decode()
    except UnicodeDecodeError:
        expected = None
    try:
        assert (unescape(text), done.returncode) == (expected, 0)
    except ValueError:
        assert done.returncode != 0 or expected is None


@pytest.mark.parametrize("text", ["\\", "a\\x4", "a\\xg0", "\\xff"])
def test_unescape_refuses_what_escape_never_makes(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        unescape(text)


@given(TEXT.filter(lambda text: "/" not in text and text.isprintable()), st.sampled_from(KindName))
def test_a_unit_name_leads_back_to_its_service(text: str, kind: KindName) -> None:
    if kind is KindName.SERVICE:
        return
    try:
        identity = identify(kind, text)
    except InvalidId:
        assert text in {".", ".."} or len(escape(text)) > 200
        return
    assert parse_unit(identity.unit) == identity
    assert object_path_to_unit(unit_to_object_path(identity.unit)) == identity.unit


@pytest.mark.parametrize("text", ["backwash", "two words", "ünï", "a.b-c@d", ".hidden"])
def test_unit_names_are_those_of_the_template(text: str) -> None:
    expected = systemd_escape("--template=coredinator-agent@.service", "--", text)
    assert identify(KindName.CORERL, text).unit == expected


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a\0b", "a\nb", "a\u2028b", "a\ud800b", "x" * 300, "é" * 60])
def test_impossible_ids_are_refused(text: str) -> None:
    with pytest.raises(InvalidId):
        identify(KindName.CORERL, text)


@pytest.mark.parametrize(
    "unit",
    [
        "coredinator.service",
        "coredinator-eventbus.service",
        "coredinator-agent@.service",
        "coredinator-agent@x.timer",
        "coredinator-other@x.service",
        "coredinator-agent@\\xff.service",
        "ssh.service",
    ],
)
def test_other_units_are_nobody(unit: str) -> None:
    assert parse_unit(unit) is None
