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
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

RUNTIME_DIR = Path("/run/user/0")
BUS = f"unix:path={RUNTIME_DIR}/bus"
BED = "COREDINATOR_BED"

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
        os.execvp(command[0], command)
    for path, package in ((_SYSTEMD, "systemd"), (_DBUS_SOCKET, "dbus-user-session")):
        if not path.exists():
            sys.exit(f"user-systemd: {package} is missing; install it with: apt-get install {package}")
    sys.exit(run_in_namespaces(command))


def own_systemd_answers() -> bool:
    """Whether this user has a systemd of its own that is up."""
    answer = subprocess.run(["systemctl", "--user", "is-system-running"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() in {"running", "degraded", "starting"}


def run_in_namespaces(command: Sequence[str]) -> int:
    """Fork the first process of new namespaces, and wait for it."""
    cgroup = enter_cgroup()
    enter_namespaces()
    # A signal that comes before the child has its handlers must not get lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    child = os.fork()
    if child == 0:
        os._exit(be_first_process(command))
    # Ctrl-C reaches the whole group of the terminal, the command included; it decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    _, status = os.waitpid(child, 0)
    leave_cgroup(cgroup)
    return exit_code(status)


def enter_cgroup() -> Path:
    """Move into a cgroup of our own: systemd takes its own one for the root of all that it makes.

    Two private ones at a time would otherwise put units of the same name into the same cgroup.
    """
    mounted = Path("/sys/fs/cgroup/unified") if Path("/sys/fs/cgroup/unified").exists() else Path("/sys/fs/cgroup")
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next(line.removeprefix("0::") for line in lines if line.startswith("0::"))
    cgroup = mounted / own.strip("/") / f"user-systemd-{os.getpid()}"
    try:
        cgroup.mkdir()
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))
    except OSError as error:
        sys.exit(f"user-systemd: cannot make the cgroup {cgroup}: {error.strerror}; run it as root")
    return cgroup


def leave_cgroup(cgroup: Path) -> None:
    """Move out and remove what systemd left; the processes in it have ended with the namespace."""
    (cgroup.parent / "cgroup.procs").write_text(str(os.getpid()))
    # On a host with cgroup v1 hierarchies systemd makes the same folders in its named one.
    for root in (cgroup, *Path("/sys/fs/cgroup").glob(f"*/{cgroup.name}")):
        for folder, _, _ in os.walk(root, topdown=False):
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
    runner = subprocess.Popen(command, preexec_fn=restore_signals)
    signal.signal(signal.SIGTERM, lambda *_: runner.send_signal(signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == runner.pid:
            return exit_code(status)


def prepare_mounts() -> None:
    """A /proc for the namespace and an empty /run, with the outer one below it."""
    mount("--make-rprivate", "/")
    mount("-t", "proc", "proc", "/proc")
    outer = os.open("/run", os.O_PATH)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    Path("/run/outer").mkdir()
    mount("--no-canonicalize", "--rbind", f"/proc/self/fd/{outer}", "/run/outer", pass_fds=(outer,))
    os.close(outer)
    # Without it systemd takes the machine for one that was not booted with it.
    Path("/run/systemd/system").mkdir(parents=True)
    RUNTIME_DIR.mkdir(parents=True)
    RUNTIME_DIR.chmod(0o700)


def mount(*arguments: str, pass_fds: Sequence[int] = ()) -> None:
    """Call the command of that name, or end with what it says."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False, pass_fds=pass_fds)
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
