"""The sections `kinds` and `services` of the settings file, and the examples of them that we give."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from coredinator.errors import SettingsError
from coredinator.service.executable import parse_name
from coredinator.services import KindName, ProbeType, Restart
from coredinator.services.limits import INFINITY
from coredinator.settings import Settings, parse_settings

ROOT = Path(__file__).parent.parent.parent
GIB = 1024**3


def settings(tmp_path: Path, **sections: Any) -> Settings:  # noqa: ANN401  # YAML
    file = tmp_path / "coredinator.yaml"
    file.write_text(yaml.safe_dump({"base-path": str(tmp_path)} | sections))
    return parse_settings(["--config", str(file)])


def test_a_service_is_named_after_its_program_unless_it_says_otherwise(tmp_path: Path) -> None:
    catalogue = settings(tmp_path, services={"gate": {}, "tele": {"executable": "coretelemetry"}}).catalogue
    gate, tele = (catalogue.find(KindName.SERVICE, name) for name in ("gate", "tele"))
    assert gate is not None
    assert tele is not None
    assert (gate.spec.program, gate.spec.versioned, gate.autostart, gate.restart) == (
        "gate",
        True,
        True,
        Restart.ALWAYS,
    )
    assert parse_name("linux-coretelemetry-v1.2.3", tele.spec) is not None
    assert parse_name("linux-coretelemetry-v1.2.3.sha256", tele.spec) is None
    assert catalogue.find(KindName.SERVICE, "nobody") is None


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("linux-report-v1.2.3", True),
        ("linux-report", False),
        ("linux-reports-v1", False),
        ("linux-report-x.zip", False),
    ],
)
def test_a_pattern_is_for_the_whole_name(tmp_path: Path, name: str, fits: bool) -> None:  # noqa: FBT001  # a table
    definition = settings(tmp_path, services={"r": {"executable": "linux-report-*"}}).catalogue.services["r"]
    assert (parse_name(name, definition.spec) is not None) == fits


def test_variables_are_set_to_what_was_written(tmp_path: Path) -> None:
    environment = {"A": "x", "B": 1, "C": 0.5, "D": True}
    definition = settings(tmp_path, services={"a": {"environment": environment}}).catalogue.services["a"]
    assert definition.environment == (("A", "x"), ("B", "1"), ("C", "0.5"), ("D", "true"))


def test_limits_and_health_of_the_kind_hold_for_every_service_that_has_none(tmp_path: Path) -> None:
    catalogue = settings(
        tmp_path,
        kinds={"service": {"limits": {"memory_max": "1G", "nice": 3}, "health": {"type": "tcp", "port": 80}}},
        services={"a": {"limits": {"memory-max": "infinity"}}, "b": {"health": {"type": "watchdog"}}},
    ).catalogue
    a, b = catalogue.services["a"], catalogue.services["b"]
    assert (a.limits.memory_max, a.limits.nice, a.limits.tasks_max) == (INFINITY, 3, 4096)
    assert b.limits.memory_max == GIB
    assert a.health is not None
    assert b.health is not None
    assert (a.health.type, a.health.port, b.health.type, b.health.timeout) == (
        ProbeType.TCP, 80, ProbeType.WATCHDOG, 30.0,
    )  # fmt: skip
    assert catalogue.kinds[KindName.CORERL].limits.memory_max is None


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"services": {"a": {"executabel": "x"}}}, "services.a.executabel"),
        ({"services": {"a": {"executable": "/opt/x"}}}, "services.a.executable"),
        ({"services": {"a": {"config": "relative.yaml"}}}, "not absolute"),
        ({"services": {"a": {"arguments": ["$HOME"]}}}, "'\\$'"),
        ({"services": {"a": {"environment": {"1A": "x"}}}}, "services.a.environment"),
        ({"services": {"a": {"environment": {"A": "x\ny"}}}}, "control character"),
        ({"services": {"a": {"environment": {"A": ["x"]}}}}, "in quotes"),
        ({"services": {"a": {"restart": "sometimes"}}}, "services.a.restart"),
        ({"services": {"a": {"health": {"type": "http", "path": "no-slash"}}}}, "services.a.health.path"),
        ({"services": {"a": {"health": {"type": "http", "port": "8001"}}}}, "services.a.health.port"),
        ({"services": {"a": {"health": {"type": "http", "port": True}}}}, "services.a.health.port"),
        ({"services": {"a": {"health": {"type": "http", "interval": float("nan")}}}}, "interval: .* 86400"),
        ({"services": {"a": {"health": {"type": "http", "interval": 0.01}}}}, "interval: .* 0.1"),
        ({"services": {"a": {"health": {"type": "http", "timeout": float("inf")}}}}, "timeout: .* 86400"),
        ({"services": {"a": {"health": {"type": "http", "grace": float("nan")}}}}, "grace: .* 86400"),
        ({"services": {"a": {"health": {"type": "http", "failures": 0}}}}, "services.a.health.failures"),
        ({"services": {"a": {"health": {"type": "watchdog", "interval": 1}}}}, "a watchdog has no interval"),
        ({"services": {"a": {"limits": {"cpu-quota": 2}}}}, "services.a.limits.cpu-quota: is no share"),
        ({"services": {"": {}}}, "the id is empty"),
        ({"services": {"x" * 300: {}}}, "255"),
        ({"kinds": {"corelr": {}}}, "kinds.corelr"),
        (
            {
                "kinds": {"service": {"limits": {"memory-max": "1G"}}},
                "services": {"a": {"limits": {"memory-high": "2G"}}},
            },
            "services.a.limits and kinds.service.limits: memory_high",
        ),
    ],
)
def test_what_makes_no_sense_is_named_with_its_place(tmp_path: Path, sections: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        settings(tmp_path, **sections)


@pytest.mark.parametrize("word", ["no", "'no'", "on-failure", "always"])
def test_restart_may_be_written_as_it_is_said(tmp_path: Path, word: str) -> None:
    file = tmp_path / "coredinator.yaml"
    file.write_text(f"base-path: {tmp_path}\nservices:\n  gate:\n    restart: {word}\n")
    gate = parse_settings(["--config", str(file)]).catalogue.services["gate"]
    assert gate.restart == word.strip("'")


def test_the_examples_in_the_installed_file_are_valid(tmp_path: Path) -> None:
    text = (ROOT / "packaging/etc/coredinator.yaml").read_text()
    # A comment begins with a blank, an example does not.
    told = re.sub(r"^#(?=[ a-z]*[a-z-]+:)(?! [A-Z])", "", text, flags=re.MULTILINE)
    values = yaml.safe_load(told) | {"base-path": str(tmp_path), "log-file": None}
    assert set(values) == {field.alias for field in Settings.model_fields.values()}
    parsed = Settings.model_validate(values)
    assert set(parsed.services) == {"coretelemetry"}
    assert set(parsed.kinds) == {KindName.CORERL, KindName.COREIO}


def test_the_examples_in_the_readme_are_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    for block in blocks:
        assert settings(tmp_path, **yaml.safe_load(block)).catalogue.services is not None
