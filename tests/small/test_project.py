"""The project's own rules."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_nothing_is_left_to_do() -> None:
    words = re.compile(r"\b({})\b".format("|".join(("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error"))))
    assert [path for path in tracked() if path.suffix in {".py", ""} and words.search(path.read_text())] == []


def test_the_readme_names_every_flag() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coredinator.app", "--help"], check=True, capture_output=True, text=True, cwd=ROOT
    )
    flags = set(re.findall(r"--[a-z][a-z-]+", done.stdout)) - {"--help", "--version"}
    readme = (ROOT / "README.md").read_text()
    assert [flag for flag in sorted(flags) if f"`{flag}" not in readme] == []


def test_constraints_hold_versions_and_hashes_and_no_address() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert text.count("--hash=sha256:") >= text.count("==")


def test_layers_point_one_way() -> None:
    forbidden = {
        "systemd": ("service", "services", "agent", "web", "store", "event_bus", "runtime", "app"),
        "store": ("service", "services", "agent", "web", "systemd", "event_bus", "runtime", "app"),
        "services": ("service", "agent", "web", "store", "systemd", "event_bus"),
        "service": ("agent", "web", "runtime", "app"),
        "agent": ("web", "runtime", "app"),
        "web": ("app", "store"),
    }
    found = [
        (package, line.strip())
        for package, others in forbidden.items()
        for path in (ROOT / "coredinator" / package).rglob("*.py")
        for line in path.read_text().splitlines()
        for other in others
        if re.match(rf"from coredinator\.{other}\b", line)
    ]
    assert found == []


def test_the_tests_that_the_documents_name_exist() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    sources = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(re.findall(r"test_\w+\.py", text)) - sources.keys() == set()
    functions = set(re.findall(r"^(?:async )?def (test_\w+)", "\n".join(sources.values()), re.MULTILINE))
    assert set(re.findall(r"::(test_\w+)", text)) - functions == set()
