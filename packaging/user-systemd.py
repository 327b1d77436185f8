"""Run a command beside a user systemd: the user's own, or a private one in namespaces of its own.

    user-systemd.py [--private] COMMAND [ARGUMENT…]

Where `systemctl --user` works the command simply runs. Elsewhere, or with --private, it runs in new
mount and PID namespaces with a tmpfs on /run, a journald and a `systemd --user` with its bus. All
of it ends with the command, also if this script is killed: the namespace's first process dies with
its parent, and the kernel then kills the rest. The outer /run stays reachable as /run/outer (there
is the socket of a container engine, say). COREDINATOR_BED=private tells the command where it is.

A private one needs root, Python 3.12 (os.unshare) and Debian's packages systemd and dbus-user-session.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

RUNTIME_DIR = Path("/run/user/0")
BUS = f"unix:path={RUNTIME_DIR}/bus"
BED = "COREDINATOR_BED"

_CGROUP_PREFIX = "user-systemd-"
_PR_SET_PDEATHSIG = 1
_START_TIMEOUT = 30.0
_SYSTEMD = Path("/usr/lib/systemd/systemd")
_DBUS_SOCKET = Path("/usr/lib/systemd/user/dbus.socket")
_ON_THE_BUS = ("busctl", "--user", "--auto-start=no", "status", "org.freedesktop.systemd1")
_JOURNALD = Path("/usr/lib/systemd/systemd-journald")


def main() -> None:
    """Parse the command line and run the command one way or the other."""
    arguments = sys.argv[1:]
    private = arguments[:1] == ["--private"]
    command = arguments[1:] if private else arguments
    if not command:
        sys.exit("usage: user-systemd.py [--private] COMMAND [ARGUMENT…]")
    if not private and own_systemd_answers():
        become(command)
    if not hasattr(os, "unshare"):
        sys.exit("user-systemd: Python 3.12 or newer is needed; use .venv/bin/python, which make setup makes")
    for path, package in ((_SYSTEMD, "systemd"), (_DBUS_SOCKET, "dbus-user-session")):
        if not path.exists():
            sys.exit(f"user-systemd: {package} is missing; install it with: apt-get install {package}")
    sys.exit(run_in_namespaces(command))


def become(command: Sequence[str]) -> NoReturn:
    """Run the command in place of this script."""
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"user-systemd: cannot run {command[0]}: {error.strerror}")


def own_systemd_answers() -> bool:
    """Whether this user has a systemd of its own that is up."""
    if shutil.which("systemctl") is None:
        return False
    answer = subprocess.run(["systemctl", "--user", "is-system-running"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() in {"running", "degraded", "starting"}


def run_in_namespaces(command: Sequence[str]) -> int:
    """Fork the first process of new namespaces, and wait for it."""
    parents = own_cgroups()
    sweep_cgroups(parents)
    cgroup = enter_cgroup(parents[0])
    enter_namespaces()
    # A signal that comes before the child has its handlers must not get lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
    child = os.fork()
    if child == 0:
        os._exit(be_first_process(command))
    # Ctrl-C reaches the whole group of the terminal, the command included; it decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGHUP})
    _, status = os.waitpid(child, 0)
    (parents[0] / "cgroup.procs").write_text(str(os.getpid()))
    remove_cgroup(parents, cgroup.name)
    return exit_code(status)


def own_cgroups() -> list[Path]:
    """The cgroup we are in; on a host with cgroup v1 also its twin in systemd's named hierarchy."""
    hybrid = Path("/sys/fs/cgroup/unified").exists()
    mounts = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd")] if hybrid else [Path("/sys/fs/cgroup")]
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return [mount / line.removeprefix("0::").strip("/") for mount in mounts]
    sys.exit("user-systemd: this kernel has no cgroup v2, which systemd needs")


def enter_cgroup(parent: Path) -> Path:
    """Move into a cgroup of our own: systemd takes its own one for the root of all that it makes.

    Two private ones at a time would otherwise put units of the same name into the same cgroup.
    """
    cgroup = parent / f"{_CGROUP_PREFIX}{os.getpid()}"
    try:
        cgroup.mkdir()
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))
    except OSError as error:
        sys.exit(f"user-systemd: cannot make the cgroup {cgroup}: {error.strerror}; run it as root")
    return cgroup


def sweep_cgroups(parents: Sequence[Path]) -> None:
    """Remove the cgroups of predecessors that were killed before they could do it."""
    for cgroup in [path for parent in parents for path in parent.glob(f"{_CGROUP_PREFIX}*")]:
        alive = Path("/proc", cgroup.name.removeprefix(_CGROUP_PREFIX)).exists()
        with contextlib.suppress(OSError):
            alive |= "populated 1" in (parents[0] / cgroup.name / "cgroup.events").read_text()
        if not alive:
            remove_cgroup(parents, cgroup.name)


def remove_cgroup(parents: Sequence[Path], name: str) -> None:
    """Remove what systemd left of a cgroup, in each hierarchy; its processes have ended with the namespace."""
    for parent in parents:
        for folder, _, _ in os.walk(parent / name, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def enter_namespaces() -> None:
    """Move into new mount and PID namespaces; the latter counts for children only."""
    try:
        os.unshare(os.CLONE_NEWNS | os.CLONE_NEWPID)
    except OSError as error:
        sys.exit(f"user-systemd: cannot make namespaces: {error.strerror}; run it as root")


def be_first_process(command: Sequence[str]) -> int:
    """Set the scene, run the command, reap until it ends; returning ends the namespace."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    prepare_mounts()
    os.environ.update({"XDG_RUNTIME_DIR": str(RUNTIME_DIR), BED: "private"})
    for name in (
        "DBUS_SESSION_BUS_ADDRESS",
        "NOTIFY_SOCKET",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "LISTEN_FDS",
        "LISTEN_PID",
    ):
        os.environ.pop(name, None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    start_services()
    try:
        runner = subprocess.Popen(command, preexec_fn=restore_signals)
    except OSError as error:
        sys.exit(f"user-systemd: cannot run {command[0]}: {error.strerror}")
    signal.signal(signal.SIGTERM, lambda *_: runner.send_signal(signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGHUP})
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == runner.pid:
            return exit_code(status)


def prepare_mounts() -> None:
    """A /proc for the namespace and an empty /run, with the outer one below it."""
    resolver = Path("/etc/resolv.conf").resolve()
    nameservers = resolver.read_bytes() if resolver.is_relative_to("/run") and resolver.is_file() else None
    mount("--make-rprivate", "/")
    mount("-t", "proc", "proc", "/proc")
    # Made elsewhere first, for once it covers /run there is no way to the outer one.
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/mnt")
    Path("/mnt/outer").mkdir()
    mount("--rbind", "/run", "/mnt/outer")
    mount("--move", "/mnt", "/run")
    if nameservers is not None:
        resolver.parent.mkdir(parents=True)
        resolver.write_bytes(nameservers)
    # Without it systemd takes the machine for one that was not booted with it.
    Path("/run/systemd/system").mkdir(parents=True, exist_ok=True)
    RUNTIME_DIR.mkdir(parents=True)
    # A dbus.service that is started in the moment of its violent end can fail to become ready, and would
    # be waited for for 90 s; its socket starts it again (seen with systemd 252).
    drop_in = Path("/run/systemd/user/dbus.service.d/start.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nTimeoutStartSec=2\n")
    RUNTIME_DIR.chmod(0o700)


def mount(*arguments: str) -> None:
    """Call the command of that name, or end with what it says."""
    done = subprocess.run(["mount", "--no-mtab", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"user-systemd: {done.stderr.strip()}")


def start_services() -> None:
    """Start journald and systemd, and return once systemd is on the bus that its dbus.service runs."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    if _JOURNALD.exists():
        subprocess.Popen([_JOURNALD], preexec_fn=restore_signals, **quiet)
    notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = RUNTIME_DIR / "notify-bed"
    notifications.bind(str(path))
    notifications.settimeout(_START_TIMEOUT)
    subprocess.Popen(
        [_SYSTEMD, "--user", "--unit=basic.target"],
        env=os.environ | {"NOTIFY_SOCKET": str(path)}, preexec_fn=restore_signals, **quiet,
    )  # fmt: skip
    try:
        while b"READY=1" not in notifications.recv(4096).split(b"\n"):
            pass
    except TimeoutError:
        sys.exit(f"user-systemd: systemd --user was not ready within {_START_TIMEOUT:g} s")
    notifications.close()
    path.unlink()
    subprocess.run(["systemctl", "--user", "start", "dbus.service"], check=True, **quiet)
    os.environ["DBUS_SESSION_BUS_ADDRESS"] = BUS
    deadline = time.monotonic() + _START_TIMEOUT
    # A client that asks for systemd before it is there would make the bus try to start another one.
    while subprocess.run(_ON_THE_BUS, check=False, **quiet).returncode != 0:
        if time.monotonic() > deadline:
            sys.exit(f"user-systemd: systemd --user was not on the bus within {_START_TIMEOUT:g} s")
        time.sleep(0.02)


def restore_signals() -> None:
    """A child starts with the signals that a program expects."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def exit_code(status: int) -> int:
    """The code of a wait status as the shell shows it: 128 and the signal's number for a killed process."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    main()
