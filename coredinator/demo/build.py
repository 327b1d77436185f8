"""Writing the demo's base path and config: four executables, and the agent's YAML."""

import shlex
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from coredinator.demo.config import Coreio, DemoConfig, EventBus, Interaction, OpcConnection, Plant
from coredinator.demo.opc_server import URL_VARIABLE

_PROGRAMS = {
    "opc_server": "coredinator.demo.opc_server",
    "opc_tep": "coredinator.demo.opc_tep",
    "linux-coreio-v1.0.0": "coredinator.demo.coreio",
    "linux-corerl-v1.0.0": "coredinator.demo.corerl",
}
_CYCLES_PER_HOUR = 200
"""Exchanges with the plant in a simulated hour; at fewer than 100 the loop is close to unstable."""


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """What was built."""

    base_path: Path
    config_path: Path
    config: DemoConfig


def build_demo(folder: Path, *, hours_per_second: float) -> DemoFiles:
    """Write executables and config below `folder`, with ports that are free now."""
    opc, coreio, corerl, publishers, subscribers = free_ports(5)
    period = 1 / (_CYCLES_PER_HOUR * hours_per_second)
    config = DemoConfig(
        agent_name="tep",
        coreio=Coreio(
            coreio_origin=f"tcp://127.0.0.1:{coreio}",
            opc_connections=[OpcConnection(connection_id="plant", opc_conn_url=f"opc.tcp://127.0.0.1:{opc}/tep")],
        ),
        event_bus=EventBus(
            host="127.0.0.1", pub_port=publishers, sub_port=subscribers, cli_connection=f"tcp://127.0.0.1:{corerl}"
        ),
        interaction=Interaction(obs_period=period, action_period=period / 2),
        plant=Plant(hours_per_second=hours_per_second),
    )
    base_path = folder / "bin"
    base_path.mkdir()
    for name, module in _PROGRAMS.items():
        _write_launcher(base_path / name, module, config.opc_url)
    config_path = folder / "tep.yaml"
    config.write(config_path)
    return DemoFiles(base_path, config_path, config)


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def _write_launcher(path: Path, module: str, opc_url: str) -> None:
    """An executable of the name that Coredinator looks for, which runs a module of this package."""
    path.write_text(
        "#!/bin/sh\n"
        f"export {URL_VARIABLE}={shlex.quote(opc_url)}\n"
        f'exec {shlex.quote(sys.executable)} -m {module} "$@"\n'
    )
    path.chmod(0o755)
