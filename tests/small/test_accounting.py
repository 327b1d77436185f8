"""What a service uses, out of the files of its cgroup."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from coredinator.service.accounting import Usage, usage_of
from coredinator.service.state import Observation, State

FILES = {
    "memory.current": "1048576\n",
    "memory.peak": "2097152\n",
    "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
    "pids.current": "7\n",
    "io.stat": "254:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=0 dios=0\n254:16 rbytes=11 wbytes=22 rios=1 wios=1\n",
}
WHOLE = Usage(1048576, 2097152, 1.5, 7, 111, 222)


def running(group: str = "/slice/unit.service") -> Observation:
    return Observation(State.RUNNING, main_pid=os.getpid(), control_group=group)


@pytest.fixture
def cgroup(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("cpu io memory pids\n")
    folder = tmp_path / "slice" / "unit.service"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def test_all_figures_are_read(tmp_path: Path, cgroup: Path) -> None:
    assert cgroup.is_dir()
    assert usage_of(running(), tmp_path) == WHOLE


def test_of_a_unit_that_is_not_read_yet_its_process_tells_the_cgroup(tmp_path: Path, cgroup: Path) -> None:
    process = tmp_path / "proc" / str(os.getpid())
    process.mkdir(parents=True)
    (process / "cgroup").write_text("0::/slice/unit.service\n")
    assert cgroup.is_dir()
    assert usage_of(running(group=""), tmp_path, tmp_path / "proc") == WHOLE


def test_a_service_without_io_has_none(tmp_path: Path, cgroup: Path) -> None:
    (cgroup / "io.stat").write_text("")
    usage = usage_of(running(), tmp_path)
    assert (usage.io_read_bytes, usage.io_write_bytes, usage.unavailable) == (0, 0, ())


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("memory.peak", ("memory_peak_bytes",)),
        ("pids.current", ("tasks",)),
        ("io.stat", ("io_read_bytes", "io_write_bytes")),
    ],
)
def test_a_missing_controller_is_named(tmp_path: Path, cgroup: Path, file: str, names: tuple[str, ...]) -> None:
    (cgroup / file).unlink()
    usage = usage_of(running(), tmp_path)
    assert usage.unavailable == names
    assert [getattr(usage, name) for name in names] == [None] * len(names)


@pytest.mark.parametrize("group", ["", "/gone.service"])
@pytest.mark.usefixtures("cgroup")
def test_without_a_cgroup_the_main_process_counts(tmp_path: Path, group: str) -> None:
    assert_only_the_main_process_counts(usage_of(running(group), tmp_path))


def test_on_a_host_with_cgroup_v1_the_main_process_counts(tmp_path: Path) -> None:
    assert_only_the_main_process_counts(usage_of(running(), tmp_path))


def assert_only_the_main_process_counts(usage: Usage) -> None:
    assert usage.memory_bytes
    assert usage.cpu_seconds
    assert usage.unavailable == (
        "memory_bytes", "memory_peak_bytes", "cpu_seconds", "tasks", "io_read_bytes", "io_write_bytes",
    )  # fmt: skip


@pytest.fixture(params=[b"plain", b"tail) S 1 (x", b"half a letter \xc3"])
def named(request: pytest.FixtureRequest) -> Iterator[None]:
    """This process under another name, which the kernel shows as it is (proc_pid_comm(5))."""
    comm = Path("/proc/self/comm")
    former = comm.read_bytes()
    comm.write_bytes(request.param)
    yield
    comm.write_bytes(former)


@pytest.mark.usefixtures("named")
def test_the_main_process_is_read_right_whatever_its_name(tmp_path: Path) -> None:
    def used() -> float:
        times = psutil.Process().cpu_times()
        return round(times.user + times.system, 2)

    at_least = used()
    usage = usage_of(running("/gone.service"), tmp_path)
    assert usage.cpu_seconds is not None
    assert at_least <= usage.cpu_seconds <= used()
    assert usage.memory_bytes == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)


def test_a_process_that_is_gone_uses_nothing(tmp_path: Path) -> None:
    gone = Observation(State.RUNNING, main_pid=2**22 + 1, control_group="/gone.service")
    assert set(usage_of(gone, tmp_path).unavailable) >= {"memory_bytes", "cpu_seconds"}


def test_what_does_not_run_has_no_figures_and_lacks_none(tmp_path: Path, cgroup: Path) -> None:
    assert cgroup.is_dir()
    assert usage_of(Observation(), tmp_path) == Usage()
