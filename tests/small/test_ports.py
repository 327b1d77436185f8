"""Ports in an agent's config: read where they are, null where they are not."""

import pytest

from coredinator.agent.ports import Ports, ports_of


@pytest.mark.parametrize(
    ("config", "ports"),
    [
        ({}, Ports()),
        ({"coreio": {"coreio_origin": "tcp://localhost:5557"}}, Ports(coreio=5557)),
        ({"event_bus": {"cli_connection": "tcp://localhost:5580"}}, Ports(corerl=5580)),
        ({"coreio": {"coreio_origin": "tcp://localhost"}}, Ports()),
        ({"coreio": {"coreio_origin": "tcp://localhost:port"}}, Ports()),
        ({"coreio": {"coreio_origin": 5557}}, Ports()),
        ({"coreio": ["coreio_origin"]}, Ports()),
        ({"coreio": None, "event_bus": "x"}, Ports()),
        ({"coreio": {"coreio_origin": "http://[::1]:80/x"}}, Ports(coreio=80)),
    ],
)
def test_ports(config: dict[str, object], ports: Ports) -> None:
    assert ports_of(config) == ports
