"""Ids and file names of any kind: the unit has the name that systemd-escape makes, or nothing is created."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.host import Host, agent_unit, coreio_unit, workload_units

CHARACTERS = st.characters() | st.sampled_from("\\-._@:%$/ \"'\n\t\0")
IDS = st.text(CHARACTERS, max_size=20) | st.text(CHARACTERS, min_size=1, max_size=4).map(lambda text: text * 70)
# What a folder can hold.
NAMES = IDS.map(lambda text: text.replace("/", "").replace("\0", "")).filter(
    lambda text: len(text.encode(errors="replace")) < 240
)

few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def names(host: Host) -> Iterator[Host]:
    yield host
    assert host.process is not None
    assert host.process.poll() is None
    assert "Traceback" not in host.log.read_text()


def post(host: Host, url: str, body: object) -> httpx.Response:
    # Escaped, so that lone surrogates can be sent, too.
    return host.api.post(url, content=json.dumps(body), headers={"content-type": "application/json"})


@given(coreio_id=IDS)
@few
@example("..")
@example("a b")
@example("%i")
@example("\ud800")
@example("x\x1b[31m")
@example("-")
@example("\\x2d")
def test_a_coreio_id(names: Host, coreio_id: str) -> None:
    config = names.config("backwash")
    answer = post(names, "/api/coreio/start", {"config_path": str(config), "coreio_id": coreio_id})
    if answer.is_success:
        assert workload_units() == [coreio_unit(coreio_id)]
        at = f"/api/coreio/{quote(coreio_id, safe='')}"
        assert names.api.get(f"{at}/status").json()["service_id"] == coreio_id
        assert names.api.post(f"{at}/stop").is_success
    else:
        assert answer.status_code == 422
    assert workload_units() == []


@given(name=NAMES)
@few
@example("..")
@example("a b")
@example("%i")
@example("$HOME")
@example("ä'ö")
@example("a\nb")
def test_the_name_of_a_config_file(names: Host, name: str) -> None:
    try:
        path = names.config(name)
    except UnicodeEncodeError:
        path = Path(f"{names.configs}/{name}.yaml")
    before = set(workload_units())
    answer = post(names, "/api/agents/start", {"config_path": str(path)})
    if answer.is_success:
        assert answer.json() == path.stem
        assert set(workload_units()) == before | {agent_unit(path.stem), coreio_unit(f"{path.stem}-coreio")}
        assert names.api.post(f"/api/agents/{quote(path.stem, safe='')}/stop").is_success
        assert names.api.post(f"/api/coreio/{quote(path.stem, safe='')}-coreio/stop").is_success
    else:
        assert answer.status_code in {400, 422}
        assert set(workload_units()) == before
