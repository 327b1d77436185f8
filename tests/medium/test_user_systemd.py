"""The launcher of private user systemds, started from inside one: they nest."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

LAUNCHER = [sys.executable, str(Path(__file__).parents[2] / "packaging" / "user-systemd.py")]
PRIVATE = [*LAUNCHER, "--private"]


def run(*command: str, **options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PRIVATE, *command], check=False, capture_output=True, text=True, **options)


def cgroups_of(launcher: int) -> list[Path]:
    return list(Path("/sys/fs/cgroup").rglob(f"user-systemd-{launcher}"))


@pytest.fixture
def launched() -> Iterator[subprocess.Popen[str]]:
    """A launcher whose command has said that it is up."""
    script = "trap 'exit 5' TERM; systemd-run --user --quiet sleep infinity; echo up; sleep infinity & wait"
    with subprocess.Popen([*PRIVATE, "sh", "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 128 + 9)])
def test_the_exit_code_is_the_commands(script: str, code: int) -> None:
    assert run("sh", "-c", script).returncode == code


def test_the_command_has_its_input_and_nothing_else_speaks() -> None:
    done = run("cat", input="said\n")
    assert (done.stdout, done.stderr) == ("said\n", "")


def test_units_run_and_write_to_a_journal_of_its_own() -> None:
    unit = "systemd-run --user --quiet --wait -p SyslogIdentifier=probe echo heard"
    done = run("sh", "-c", f"{unit} && journalctl --sync && journalctl -o cat -t probe")
    assert done.stdout == "heard\n"


def test_the_outer_run_folder_is_in_reach() -> None:
    marker = Path(f"/run/marker-{os.getpid()}")
    marker.touch()
    assert run("sh", "-c", f"test ! -e {marker} && test -e /run/outer/{marker.name}").returncode == 0
    marker.unlink()


# A copy of /etc whose resolv.conf is where systemd-resolved has it, for one mount namespace.
RESOLVED = """
mount -t tmpfs tmpfs /mnt && cp -a /etc/. /mnt && mount --move /mnt /etc
mkdir -p /run/resolve && echo 'nameserver 192.0.2.1' >/run/resolve/stub.conf
ln -sf ../run/resolve/stub.conf /etc/resolv.conf
exec "$@"
"""


def test_names_are_resolved_where_the_resolvers_file_is_in_the_run_folder() -> None:
    command = ["unshare", "--mount", "sh", "-euc", RESOLVED, "sh", *PRIVATE, "cat", "/etc/resolv.conf"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    shutil.rmtree("/run/resolve")
    assert done.stdout == "nameserver 192.0.2.1\n"


def test_it_says_where_it_is() -> None:
    assert run("printenv", "COREDINATOR_BED").stdout == "private\n"


def test_a_command_that_cannot_run_is_one_line() -> None:
    done = run("/no/such/command")
    assert done.returncode != 0
    assert done.stderr == "user-systemd: cannot run /no/such/command: No such file or directory\n"


def test_a_user_with_a_systemd_gets_no_second_one() -> None:
    here = subprocess.run(["readlink", "/proc/self/ns/pid"], check=True, capture_output=True, text=True)
    there = subprocess.run([*LAUNCHER, "readlink", "/proc/self/ns/pid"], check=True, capture_output=True, text=True)
    assert there.stdout == here.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_ending_reaches_the_command(launched: subprocess.Popen[str], number: signal.Signals) -> None:
    inside = psutil.Process(launched.pid).children(recursive=True)
    launched.send_signal(number)
    assert launched.wait(20) == 5
    assert psutil.wait_procs(inside, timeout=20)[1] == []
    assert cgroups_of(launched.pid) == []


def test_nothing_outlives_a_killed_launcher(launched: subprocess.Popen[str]) -> None:
    inside = psutil.Process(launched.pid).children(recursive=True)
    assert len(inside) > 4
    os.kill(launched.pid, signal.SIGKILL)
    launched.wait(20)
    assert psutil.wait_procs(inside, timeout=20)[1] == []


def test_the_next_one_removes_the_cgroups_of_a_killed_one(launched: subprocess.Popen[str]) -> None:
    inside = psutil.Process(launched.pid).children(recursive=True)
    launched.kill()
    launched.wait(20)
    psutil.wait_procs(inside, timeout=20)
    assert cgroups_of(launched.pid) != []
    assert run("true").returncode == 0
    assert cgroups_of(launched.pid) == []
