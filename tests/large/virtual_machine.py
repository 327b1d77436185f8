"""A Debian 13 host in a virtual machine: its own kernel, a disk that can lose data, limits that are enforced."""

import base64
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tests.large.debian_host import DebianHost
from tests.large.engine import install_missing
from tests.support.host import free_port, wait_for

# Emulated without KVM on a busy machine: a boot takes 30 s and more, the manager's start about as long.
BOOT_TIMEOUT = 150.0
_COMMAND_TIMEOUT = 60.0
_PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "ssh": "openssh-client"}


class VirtualMachine(DebianHost):
    """A host under qemu, reached over ssh on a loopback port; the image's disk is never written to.

    It is off at first. `folder` takes the disk's changes, the key, and what qemu says.
    """

    def __init__(self, image: Path, folder: Path) -> None:
        for program, package in _PROGRAMS.items():
            install_missing(program, package)
        self._image = image
        self._folder = folder
        self._port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
        _run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", image / "disk.raw", folder / "disk.qcow2")

    def power_on(self) -> None:
        """Start the machine and wait until it lets root in; coredinator may still be on its way."""
        console, log = self._folder / "console", self._folder / "qemu.log"
        console.unlink(missing_ok=True)
        with log.open("wb") as output:
            self._machine = subprocess.Popen(self._qemu(console), stdout=output, stderr=output)
        self._processes.append(self._machine)
        wait_for(
            lambda: self._machine.poll() is not None or (console.exists() and b"login:" in console.read_bytes()),
            timeout=BOOT_TIMEOUT, what="login prompt",
        )  # fmt: skip
        assert self._machine.poll() is None, log.read_text()
        self._connect()

    def run(self, *command: str, check: bool = True) -> str:
        return self._command(command, check=check)

    def write(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        content = text.encode() if isinstance(text, str) else text
        script = 'mkdir -p "$1"; cat > "$2"; chmod "$3" "$2"'
        folder = str(PurePosixPath(path).parent)
        self._command(["sh", "-euc", script, "sh", folder, path, f"{mode:o}"], content=content)

    def reboot(self) -> None:
        self.run("systemctl", "reboot", "--no-block")
        # With -no-reboot qemu ends where a machine would start anew.
        self._machine.wait(BOOT_TIMEOUT)
        self.close()
        self.power_on()

    def power_cut(self) -> None:
        self.close()
        self.power_on()

    def close(self) -> None:
        """Kill the machine: what its kernel and qemu have not yet written is lost."""
        while self._processes:
            process = self._processes.pop()
            process.kill()
            process.wait()

    def _qemu(self, console: Path) -> list[str | Path]:
        key = base64.b64encode((self._folder / "key.pub").read_bytes()).decode()
        return [
            "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "qemu64,-svm",
            "-smp", "2", "-m", "2048", "-display", "none", "-monitor", "none", "-no-reboot",
            "-serial", f"file:{console}",
            "-kernel", self._image / "vmlinuz", "-initrd", self._image / "initrd",
            "-append", f"console=ttyS0 quiet systemd.set_credential_binary=ssh.authorized_keys.root:{key}",
            "-drive", f"if=virtio,format=qcow2,file={self._folder / 'disk.qcow2'}",
            "-nic", f"user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:{self._port}-:22",
        ]  # fmt: skip

    def _connect(self) -> None:
        """Open the connection that all commands share; each of its own would cost seconds here."""
        (self._folder / "link").unlink(missing_ok=True)
        link = subprocess.Popen(self._ssh("-M", "-N"), stdin=subprocess.DEVNULL)
        self._processes.append(link)
        wait_for(
            lambda: link.poll() is not None or _run(*self._ssh("-O", "check"), check=False).returncode == 0,
            timeout=BOOT_TIMEOUT, what="ssh",
        )  # fmt: skip
        assert link.poll() is None, "ssh was refused"

    def _ssh(self, *options: str) -> list[str | Path]:
        # The host key is made with the image and the port is on loopback: there is nobody to mistake it for.
        settings = ("BatchMode=yes", "LogLevel=ERROR", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null",
                    f"ConnectTimeout={BOOT_TIMEOUT:.0f}", f"ControlPath={self._folder / 'link'}")  # fmt: skip
        flags = [flag for setting in settings for flag in ("-o", setting)]
        key = self._folder / "key"
        return ["ssh", "-F", "none", "-i", key, "-p", str(self._port), *flags, *options, "root@127.0.0.1"]

    def _command(self, command: Sequence[str], *, check: bool = True, content: bytes = b"") -> str:
        done = subprocess.run(
            [*self._ssh(), shlex.join(command)],
            check=False, input=content, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_COMMAND_TIMEOUT,
        )  # fmt: skip
        text = done.stdout.decode(errors="replace")
        assert not check or done.returncode == 0, f"{shlex.join(command)}: exit code {done.returncode}\n{text}"
        return text


def _run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, check=check, capture_output=True, timeout=_COMMAND_TIMEOUT)
