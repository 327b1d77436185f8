"""The installation chapter, word for word."""

import re

import pytest

from tests.conftest import ROOT
from tests.large.debian_host import SLEEPER, DebianHost, agent_unit, coreio_unit

pytestmark = pytest.mark.timeout(300)

SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def installation_commands() -> list[str]:
    """The blocks of shell commands under the heading "Install it"."""
    chapter = (ROOT / "README.md").read_text().partition("## Install it\n")[2].partition("\n## ")[0]
    return SHELL_BLOCK.findall(chapter)


def test_installation_chapter_works_word_for_word(minimal_host: DebianHost) -> None:
    host = minimal_host
    # In place of the administrator, who says yes to apt, and of the release that was downloaded.
    host.write("/etc/apt/apt.conf.d/99yes", 'APT::Get::Assume-Yes "true";\n')
    for program in ("corerl", "coreio"):
        host.write(f"/root/linux-{program}-v1.4.2", SLEEPER)
    host.write("/root/backwash.yaml", "agent_name: backwash\n")
    *living, removal = installation_commands()
    assert len(living) == 5

    for block in living:
        host.sh(f"cd /root\n{block}")
        host.await_manager()

    assert host.show(agent_unit("backwash"), "MemoryMax") == str(2 * 1024**3)
    assert host.show(agent_unit("backwash"), "CPUQuotaPerSecUSec").startswith("1.5")
    assert set(host.pids()) == {agent_unit("backwash"), coreio_unit("backwash")}
    assert "started as coredinator-agent" in host.journal("COREDINATOR_AGENT=backwash")

    host.sh(f"cd /root\n{removal}")
    assert host.units("coredinator*") == []
    host.run("test", "-x", "/opt/coredinator/1.4.2/linux-corerl-v1.4.2")
