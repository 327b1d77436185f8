"""Which file is run."""

from pathlib import Path

import pytest

from coredinator.errors import ExecutableNotFound
from coredinator.service.executable import choose, find_executable, parse_name
from coredinator.services import KINDS, KindName

CORERL, TEP = KINDS[KindName.CORERL], KINDS[KindName.TEP]


def put(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("linux-corerl-v1.2.3", "1.2.3"),
        ("linux-corerl-v10.0.0", "10.0.0"),
        ("linux-corerl-dev7-v1.2.3", "dev7-v1.2.3"),
        ("linux-corerl-v1.2.0.sha256", None),
        ("linux-corerl-v1.2", None),
        ("windows-corerl-v1.2.3", None),
        ("linux-coreio-v1.2.3", None),
        ("xlinux-corerl-v1.2.3", None),
        ("linux-corerl-v1.2.3-debug", None),
    ],
)
def test_names_of_versioned_programs(name: str, version: str | None) -> None:
    found = parse_name(name, CORERL)
    assert (str(found.version) if found else None) == version


@pytest.mark.parametrize(
    ("name", "fits", "version"),
    [
        ("opc_tep", True, None),
        ("linux-opc_tep-v1.0.0", True, "1.0.0"),
        ("my_opc_tep_build", True, None),
        ("opc_tep.sha256", False, None),
        ("opc_server", False, None),
    ],
)
def test_names_of_demo_programs(name: str, fits: bool, version: str | None) -> None:  # noqa: FBT001
    found = parse_name(name, TEP)
    assert (found is not None) is fits
    assert (str(found.version) if found and found.version else None) == version


@pytest.mark.parametrize(
    ("names", "pinned", "expected"),
    [
        (["v1.2.3", "v1.10.0", "v1.9.9"], None, "v1.10.0"),
        (["v1.0.0", "dev9-v2.0.0"], None, "v1.0.0"),
        (["dev9-v2.0.0", "dev10-v2.0.0"], None, "dev10-v2.0.0"),
        (["v1.0.0", "v2.0.0"], "1.0.0", "v1.0.0"),
        (["v1.0.0", "v2.0.0"], "v1.0.0", "v1.0.0"),
        (["v1.0.0", "dev3-v2.0.0"], "dev3-v2.0.0", "dev3-v2.0.0"),
        (["v1.0.0"], "3.0.0", None),
        ([], None, None),
    ],
)
def test_stable_beats_dev_and_newest_wins(names: list[str], pinned: str | None, expected: str | None) -> None:
    candidates = [parse_name(f"linux-corerl-{name}", CORERL) for name in names]
    chosen = choose([item for item in candidates if item], pinned)
    assert (chosen.path.name if chosen else None) == (f"linux-corerl-{expected}" if expected else None)


def test_any_depth_and_odd_base_paths(tmp_path: Path) -> None:
    base = tmp_path / "base [x] *? path"
    wanted = put(base / "a" / "b" / "linux-corerl-v1.0.0")
    assert find_executable(base, CORERL).path == wanted


def test_only_runnable_regular_files_inside_the_base_path_count(tmp_path: Path) -> None:
    base = tmp_path / "base"
    good = put(base / "linux-corerl-v1.0.0")
    put(base / "linux-corerl-v2.0.0", mode=0o644)
    put(base / "linux-corerl-v3.0.0.sha256")
    (base / "linux-corerl-v4.0.0").mkdir()
    (base / "linux-corerl-v5.0.0").symlink_to(put(tmp_path / "outside"))
    (base / "linux-corerl-v6.0.0").symlink_to(tmp_path / "nowhere")
    put(base / "v\udcff" / "linux-corerl-v7.0.0")
    assert find_executable(base, CORERL).path == good


def test_a_link_inside_the_base_path_counts(tmp_path: Path) -> None:
    put(tmp_path / "store" / "program")
    link = tmp_path / "linux-corerl-v2.0.0"
    link.symlink_to(tmp_path / "store" / "program")
    assert find_executable(tmp_path, CORERL).path == link


def test_a_newer_file_is_found_at_the_next_look(tmp_path: Path) -> None:
    put(tmp_path / "linux-corerl-v1.0.0")
    assert find_executable(tmp_path, CORERL).path.name == "linux-corerl-v1.0.0"
    put(tmp_path / "linux-corerl-v1.0.1")
    assert find_executable(tmp_path, CORERL).path.name == "linux-corerl-v1.0.1"


def test_a_folder_whose_name_systemd_would_expand_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "$HOME" / "linux-corerl-v1.0.0")
    with pytest.raises(ExecutableNotFound, match="rename"):
        find_executable(tmp_path, CORERL)


def test_nothing_found_names_what_and_where(tmp_path: Path) -> None:
    with pytest.raises(ExecutableNotFound, match=r"corerl 9\.9\.9") as caught:
        find_executable(tmp_path, CORERL, "9.9.9")
    assert str(tmp_path) in str(caught.value)
