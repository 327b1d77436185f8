import subprocess
from pathlib import Path

import pytest
import yaml
from tep_studio import TEP_SCHEMA

from coredinator.agent.ports import ports_of
from coredinator.demo.build import build_demo, make_config
from coredinator.demo.config import DemoConfig, config_argument
from coredinator.demo.tags import ACTUATORS, MEASUREMENTS
from coredinator.service.executable import find_executable
from coredinator.services.kinds import KINDS, KindName


@pytest.mark.parametrize("kind", [KindName.UASERVER, KindName.TEP, KindName.COREIO, KindName.CORERL])
def test_coredinator_finds_each_executable_in_the_base_path(tmp_path: Path, kind: KindName) -> None:
    base_path = tmp_path / "base path [1] 'q'"
    build_demo(base_path)
    assert find_executable(base_path, KINDS[kind]).path.parent == base_path


@pytest.mark.parametrize("name", ["opc_tep", "linux-coreio-v1.0.0", "linux-corerl-v1.0.0"])
def test_an_executable_runs_wherever_it_lies(tmp_path: Path, name: str) -> None:
    base_path = tmp_path / "base path [1] 'q'"
    build_demo(base_path)
    done = subprocess.run([base_path / name, "--help"], capture_output=True, text=True, check=True, cwd="/")
    assert "--config-name" in done.stdout


def test_the_tags_are_those_of_tep_studio_in_its_order() -> None:
    assert tuple(TEP_SCHEMA.names("measurements")) == MEASUREMENTS
    assert tuple(TEP_SCHEMA.names("manipulated_variables")) == ACTUATORS


def test_a_written_config_reads_back_the_same(tmp_path: Path) -> None:
    files = build_demo(tmp_path)
    assert DemoConfig.read(files.config_path) == files.config


def test_coredinator_finds_the_ports_in_the_config(tmp_path: Path) -> None:
    files = build_demo(tmp_path)
    ports = ports_of(yaml.safe_load(files.config_path.read_text()))
    assert files.config.coreio.coreio_origin.endswith(f":{ports.coreio}")
    assert files.config.event_bus.cli_connection.endswith(f":{ports.corerl}")


def test_all_ports_of_a_config_differ() -> None:
    config = make_config(hours_per_second=1)
    urls = [config.opc_url.removesuffix("/tep"), config.coreio.coreio_origin, config.event_bus.cli_connection]
    ports = {*(int(url.rsplit(":", 1)[1]) for url in urls), config.event_bus.pub_port, config.event_bus.sub_port}
    assert len(ports) == 5


def test_a_plant_that_runs_faster_is_looked_at_more_often() -> None:
    slow, fast = make_config(hours_per_second=0.1), make_config(hours_per_second=0.4)
    assert slow.interaction.obs_period == pytest.approx(4 * fast.interaction.obs_period)


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", "line 1, column 5"), ("agent_name: x\n", "coreio"), ("- 1\n", "dictionary"), (None, "No such file")],
)
def test_a_config_that_is_no_good_ends_a_program_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, said: str
) -> None:
    path = tmp_path / "tep.yaml"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr("sys.argv", ["corerl", "--config-name", str(path)])
    with pytest.raises(SystemExit) as ended:
        config_argument("corerl")
    assert str(path) in str(ended.value)
    assert said in str(ended.value)
