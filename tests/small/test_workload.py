"""The properties of a unit, and reading a record back from them."""

from dataclasses import replace

import pytest
from dbus_fast import Variant

from coredinator.service.identity import Identity, identify
from coredinator.service.record import ServiceRecord
from coredinator.service.state import Intent
from coredinator.service.workload import adopt, workload_properties
from coredinator.services import KINDS, Definition, KindName
from coredinator.services.health import HealthSection, ProbeType
from coredinator.systemd import UnitProperties
from coredinator.systemd.properties import SIGNATURES, typed


def record(identity: Identity, config: str = "/etc/x/backwash.yaml", coreio: str | None = "one of it") -> ServiceRecord:
    return ServiceRecord(
        identity, "backwash", config, Intent.RUNNING, executable="/opt/linux-corerl-v1.2.3", coreio_id=coreio
    )


DEFINITION = Definition(KINDS[KindName.CORERL])
AGENT = identify(KindName.CORERL, "backwash")


def test_old_versions_of_systemd_get_no_properties_they_do_not_know() -> None:
    old, new = (workload_properties(record(AGENT), DEFINITION, systemd_version=version) for version in (252, 257))
    assert set(new) - set(old) == {"RestartSteps", "RestartMaxDelayUSec"}
    assert (old["RestartUSec"], new["RestartUSec"], new["RestartMaxDelayUSec"]) == (500_000, 100_000, 30_000_000)


@pytest.mark.parametrize("version", [252, 257])
def test_every_property_has_a_signature(version: int) -> None:
    properties = workload_properties(record(AGENT), DEFINITION, systemd_version=version)
    assert [(name, value.signature) for name, value in typed(properties) if isinstance(value, Variant)] == [
        (name, SIGNATURES[str(name)]) for name in properties
    ]


@pytest.mark.parametrize(
    ("section", "kind", "before"),
    [
        (None, "exec", ("coredinator.service",)),
        (HealthSection(type=ProbeType.HTTP), "exec", ("coredinator.service",)),
        (HealthSection(type=ProbeType.WATCHDOG), "notify", None),
    ],
    ids=["no health check", "http", "watchdog"],
)
def test_the_manager_never_waits_for_a_service_to_be_ready(
    section: HealthSection | None, kind: str, before: tuple[str] | None
) -> None:
    definition = replace(DEFINITION, health=section.check() if section else None)
    properties = workload_properties(record(AGENT), definition, systemd_version=257)
    assert (properties["Type"], properties.get("Before")) == (kind, before)


def test_fields_of_the_log_are_bytes_as_they_stand() -> None:
    fields = [b"A=1", b"B=\xff"]
    assert typed({"LogExtraFields": fields}) == [["LogExtraFields", Variant("aay", fields)]]


def test_unknown_properties_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="Descripton"):
        typed({"Descripton": "a typing error"})


def test_a_wrong_type_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="RestartUSec"):
        typed({"RestartUSec": "100ms"})
    with pytest.raises(ValueError, match="LogExtraFields"):
        typed({"LogExtraFields": "A=1"})


def test_a_path_is_one_argument_as_it_stands() -> None:
    properties = workload_properties(record(AGENT, "/etc/100%/a b.yaml"), DEFINITION, systemd_version=257)
    assert properties["ExecStart"] == [
        (
            "/opt/linux-corerl-v1.2.3",
            ["/opt/linux-corerl-v1.2.3", "--config-name", "/etc/100%/a b.yaml"],
            False,
        )
    ]


def test_the_opc_ua_server_takes_no_argument() -> None:
    properties = workload_properties(record(identify(KindName.UASERVER, "demo")), DEFINITION, systemd_version=257)
    assert properties["ExecStart"] == [("/opt/linux-corerl-v1.2.3", ["/opt/linux-corerl-v1.2.3"], False)]


def test_a_record_without_executable_makes_no_unit() -> None:
    with pytest.raises(ValueError, match="executable"):
        workload_properties(ServiceRecord(AGENT, "a", None, Intent.RUNNING), DEFINITION, systemd_version=257)


@pytest.mark.parametrize("config", ["/etc/x/backwash.yaml", "/etc/100%/two words.yaml"])
def test_a_record_is_read_back_from_its_unit(config: str) -> None:
    original = record(AGENT, config)
    properties = workload_properties(original, DEFINITION, systemd_version=257)
    fields = properties["LogExtraFields"]
    assert isinstance(fields, list)
    unit = UnitProperties(AGENT.unit).merge(
        {
            "ActiveState": "active",
            "ExecStart": properties["ExecStart"],
            "LogExtraFields": fields,
        }
    )
    adopted = adopt(AGENT, unit)
    assert adopted.config_path == config
    assert adopted.executable == original.executable
    assert adopted.version == "1.2.3"
    assert adopted.coreio_id == "one of it"
    assert adopted.agent_id == "backwash"
    assert adopted.intent is Intent.RUNNING
