"""Which drop-in decides a setting."""

from pathlib import Path

import pytest

from coredinator.service.drop_ins import setting_in


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[Service]\nMemoryMax=2G\n", True),
        ("[Service]\n  MemoryMax = 2G\n", True),
        ("[Service]\nMemoryMax=\n", False),
        ("[Service]\n#MemoryMax=2G\n", False),
        ("[Service]\nStartupMemoryMax=2G\n", False),
        ("[Service]\nMemoryMaxScale=2G\n", False),
        ("[Service]\nMemoryMax=2G\nMemoryMax=\n", False),
    ],
)
def test_a_setting_is_found_where_it_has_a_value(tmp_path: Path, text: str, found: bool) -> None:  # noqa: FBT001  # a table
    path = tmp_path / "limit.conf"
    path.write_text(text)
    assert setting_in([str(path)], "MemoryMax") == (str(path) if found else None)


def test_the_last_one_decides(tmp_path: Path) -> None:
    first, last = tmp_path / "10.conf", tmp_path / "20.conf"
    for path in (first, last):
        path.write_text("[Service]\nTasksMax=5\n")
    assert setting_in([str(first), str(last)], "TasksMax") == str(last)


def test_what_was_asked_for_at_run_time_and_what_is_gone_do_not_count(tmp_path: Path) -> None:
    ours = tmp_path / "systemd" / "transient" / "x.service.d" / "50-TasksMax.conf"
    ours.parent.mkdir(parents=True)
    ours.write_text("[Service]\nTasksMax=5\n")
    assert setting_in([str(ours), str(tmp_path / "gone.conf")], "TasksMax") is None
