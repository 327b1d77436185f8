"""The demo agent's config file, read by CoreIO, CoreRL and the plant."""

import argparse
import sys
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, Field, ValidationError


class OpcConnection(BaseModel):
    """An OPC UA server to link."""

    connection_id: str
    opc_conn_url: str


class Coreio(BaseModel):
    """The link to the plant."""

    coreio_origin: str
    opc_connections: list[OpcConnection] = Field(min_length=1)


class EventBus(BaseModel):
    """The event bus, and the address of CoreRL's own interface."""

    host: str
    pub_port: int
    sub_port: int
    cli_connection: str

    @property
    def publishers(self) -> str:
        """Where publishers connect."""
        return f"tcp://{self.host}:{self.pub_port}"

    @property
    def subscribers(self) -> str:
        """Where subscribers connect."""
        return f"tcp://{self.host}:{self.sub_port}"


class Interaction(BaseModel):
    """Periods in seconds of wall time."""

    obs_period: float = Field(gt=0)
    action_period: float = Field(gt=0)


class Plant(BaseModel):
    """The simulation: its speed in simulated hours a second, and the seed of its measurement noise."""

    hours_per_second: float = Field(gt=0)
    seed: int = 1


class DemoConfig(BaseModel):
    """The whole file."""

    agent_name: str
    coreio: Coreio
    event_bus: EventBus
    interaction: Interaction
    plant: Plant

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a config file. Raises OSError, yaml.YAMLError, pydantic.ValidationError."""
        return cls.model_validate(yaml.safe_load(path.read_text()))

    def write(self, path: Path) -> None:
        """Write the config as YAML."""
        path.write_text(yaml.safe_dump(self.model_dump(), sort_keys=False))

    @property
    def opc_url(self) -> str:
        """The address of the plant's OPC UA server."""
        return self.coreio.opc_connections[0].opc_conn_url


def config_argument(program: str) -> DemoConfig:
    """The config that the command line names with --config-name; ends the program if it is no good."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--config-name", type=Path, required=True, metavar="FILE", help="the agent's YAML config")
    path: Path = parser.parse_args().config_name
    try:
        return DemoConfig.read(path)
    except (OSError, yaml.YAMLError, ValidationError) as error:
        sys.exit(f"{program}: {path} is no config for the demo: {error}")
