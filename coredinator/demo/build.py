"""Writing the demo's base path: four executables, and the agent's YAML config.

python -m coredinator.demo.build BASE_PATH
"""

import argparse
import shlex
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from coredinator.demo.config import Coreio, DemoConfig, EventBus, Interaction, OpcConnection, Plant
from coredinator.demo.opc_server import URL_VARIABLE

HOURS_PER_SECOND = 0.05
"""Fast enough to watch; slow enough that a CoreRL which crashed is back before the plant is lost."""

_PROGRAMS = {
    "opc_server": "coredinator.demo.opc_server",
    "opc_tep": "coredinator.demo.opc_tep",
    "linux-coreio-v1.0.0": "coredinator.demo.coreio",
    "linux-corerl-v1.0.0": "coredinator.demo.corerl",
}
_EXCHANGES_PER_HOUR = 200
"""Exchanges with the plant in a simulated hour: the controller's limit of 0.015 h of delay is three of them."""


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """What was built."""

    base_path: Path
    config_path: Path
    config: DemoConfig

    @property
    def manager_flags(self) -> list[str]:
        """The command line of a manager that fits: it must run the bus where the config says."""
        bus = self.config.event_bus
        return [
            "--base-path", str(self.base_path), "--event-bus-host", bus.host,
            "--event-bus-pub-port", str(bus.pub_port), "--event-bus-sub-port", str(bus.sub_port),
        ]  # fmt: skip


def build_demo(base_path: Path, *, hours_per_second: float = HOURS_PER_SECOND) -> DemoFiles:
    """Write executables and config into `base_path`, with ports that are free now."""
    config = make_config(hours_per_second)
    base_path.mkdir(parents=True, exist_ok=True)
    for name, module in _PROGRAMS.items():
        _write_launcher(base_path / name, module, config.opc_url)
    config_path = base_path.absolute() / "tep.yaml"
    config.write(config_path)
    return DemoFiles(base_path.absolute(), config_path, config)


def make_config(hours_per_second: float) -> DemoConfig:
    """A config with free ports and the periods that belong to the plant's speed."""
    opc, coreio, corerl, publishers, subscribers = free_ports(5)
    period = 1 / (_EXCHANGES_PER_HOUR * hours_per_second)
    return DemoConfig(
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


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def _write_launcher(path: Path, module: str, opc_url: str) -> None:
    """An executable of the name that Coredinator looks for, which runs a module of this package."""
    # Not a #! line with Python itself: that must not contain blanks, nor be longer than 255 bytes.
    path.write_text(
        "#!/bin/sh\n"
        f"export {URL_VARIABLE}={shlex.quote(opc_url)}\n"
        f'exec {shlex.quote(sys.executable)} -m {module} "$@"\n'
    )
    path.chmod(0o755)


def main() -> None:
    """Build, and say how to go on."""
    parser = argparse.ArgumentParser(
        prog="coredinator.demo.build", description="Write the demo's executables and config."
    )
    parser.add_argument("base_path", type=Path, metavar="BASE_PATH", help="folder to write to; made if missing")
    files = build_demo(parser.parse_args().base_path)
    print(f"config:  {files.config_path}")  # noqa: T201  # the program's output
    print(f"manager: coredinator {shlex.join(files.manager_flags)}")  # noqa: T201  # the program's output


if __name__ == "__main__":
    main()
