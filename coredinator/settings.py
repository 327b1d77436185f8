"""Command line flags and the settings file, one model for both."""

import argparse
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from coredinator import __version__
from coredinator.errors import InvalidId, PathUnavailable, SettingsError
from coredinator.logs import LogSettings
from coredinator.service.executable import is_utf8
from coredinator.service.identity import identify
from coredinator.services import Catalogue, KindName
from coredinator.services.declared import KindSection, ServiceSection, catalogue
from coredinator.services.health import SHORTEST, Port
from coredinator.services.limits import contradiction
from coredinator.settings_file import read_settings
from coredinator.systemd import Scope

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

_YEAR = 31_536_000
_UNAVAILABLE = "path_unavailable"


def default_state_dir() -> Path:
    """`$STATE_DIRECTORY` as systemd sets it, else the XDG state folder."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "coredinator"


class Settings(BaseModel):
    """All settings of the manager. Keys of the settings file are spelled with dashes, like the flags."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, alias_generator=lambda name: name.replace("_", "-")
    )

    base_path: Path
    host: str = Field(default="127.0.0.1", min_length=1)
    port: Port = 7000
    log_file: Path | None = None
    log_level: str = "info"
    no_console: bool = False
    reload: bool = False
    event_bus_host: str = Field(default="*", min_length=1)
    event_bus_pub_port: Port = 5559
    event_bus_sub_port: Port = 5560
    scope: Scope = Field(default_factory=lambda: Scope.SYSTEM if os.geteuid() == 0 else Scope.USER)
    state_dir: Path = Field(default_factory=default_state_dir)
    cors_origin: tuple[str, ...] = ()
    stable_period: float = Field(default=600.0, ge=SHORTEST, le=_YEAR)
    """Seconds of running after which a service's restart delay begins anew."""
    kinds: Mapping[KindName, KindSection] = Field(default_factory=dict[KindName, KindSection])
    services: Mapping[str, ServiceSection] = Field(default_factory=dict[str, ServiceSection])

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, level: str) -> str:
        if level.lower() not in LOG_LEVELS:
            raise ValueError(f"{level!r} is no log level; use one of {', '.join(LOG_LEVELS)}")
        return level.lower()

    @field_validator("cors_origin", mode="before")
    @classmethod
    def _one_or_many(cls, origins: object) -> object:
        return (origins,) if isinstance(origins, str) else origins

    @field_validator("base_path")
    @classmethod
    def _is_folder(cls, path: Path) -> Path:
        path = path.absolute()
        if not is_utf8(path):
            raise ValueError(f"{str(path)!r} is not UTF-8, which systemd demands of paths; rename the folder")
        hint = "give the folder that holds the executables"
        try:
            mode = path.stat().st_mode
        except OSError as error:
            what = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
            raise PydanticCustomError(_UNAVAILABLE, "{words}", {"words": f"{path} {what}; {hint}"}) from error
        if not stat.S_ISDIR(mode):
            raise ValueError(f"{path} is not a folder; {hint}")
        return path

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        ports = {
            "port": self.port,
            "event-bus-pub-port": self.event_bus_pub_port,
            "event-bus-sub-port": self.event_bus_sub_port,
        }
        for name, port in ports.items():
            twins = [other for other, value in ports.items() if value == port and other != name]
            if twins:
                raise ValueError(f"{name} and {twins[0]} are both {port}; give each a port of its own")
        return self

    @field_validator("services")
    @classmethod
    def _names_of_units(cls, services: Mapping[str, ServiceSection]) -> Mapping[str, ServiceSection]:
        for name in services:
            try:
                identify(KindName.SERVICE, name)
            except InvalidId as error:
                raise ValueError(str(error)) from error
        return services

    @model_validator(mode="after")
    def _limits_agree(self) -> Self:
        for name, definition in self.catalogue.services.items():
            if (problem := contradiction(definition.limits)) is not None:
                raise ValueError(f"services.{name}.limits and kinds.service.limits: {problem}")
        return self

    @property
    def catalogue(self) -> Catalogue:
        """How services are to be run."""
        return catalogue(self.kinds, self.services)

    @property
    def logging(self) -> LogSettings:
        """Where the log goes."""
        return LogSettings(self.log_level, self.log_file, console=not self.no_console)


def parse_settings(arguments: Sequence[str] | None = None) -> Settings:
    """Read the flags, and the settings file if one is given; flags win.

    Raises SettingsError with all findings, PathUnavailable if nothing is wrong but a path that is not there.
    """
    flags = vars(_parser().parse_args(arguments))
    flags.pop("check_config", None)
    file = flags.pop("config", None)
    values, findings = read_settings(file) if file else ({}, [])
    values.update({name.replace("_", "-"): value for name, value in flags.items()})
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        may_pass = not findings and all(problem["type"] == _UNAVAILABLE for problem in problems)
        failure = PathUnavailable if may_pass else SettingsError
        raise failure(*findings, *(_describe(problem) for problem in problems)) from error
    if findings:
        raise SettingsError(*findings)
    return settings


def configs_to_check(arguments: Sequence[str] | None = None) -> list[str] | None:
    """The agents' configs that are to be checked only, None if the manager is to run."""
    return getattr(_parser().parse_args(arguments), "check_config", None)


def _describe(problem: ErrorDetails) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    first, *rest = [str(part).replace("_", "-") for part in problem["loc"]] or [""]
    if rest:
        return f"{'.'.join([first, *rest])}: {message}"
    name = first
    if problem["type"] == "missing":
        return f"--{name} is missing; give it as a flag or in the settings file"
    if not name:
        return message
    return f"--{name}: {message}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coredinator",
        description="Supervises reinforcement-learning agents as systemd units and serves the REST API.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--version", action="version", version=f"coredinator {__version__}")
    add("--config", type=Path, metavar="FILE", help="YAML file with the same keys as the flags below; flags win")
    add(
        "--base-path",
        type=Path,
        metavar="DIR",
        help="folder that holds the executables, searched at any depth (required)",
    )
    add("--host", metavar="ADDRESS", help="address of the REST API (default 127.0.0.1)")
    add("--port", type=int, help="port of the REST API (default 7000)")
    add(
        "--cors-origin",
        action="append",
        metavar="ORIGIN",
        help="web origin that may use the API, such as https://ui.example; may be repeated (default none)",
    )
    add("--event-bus-host", metavar="ADDRESS", help="address of the event bus (default *, all interfaces)")
    add("--event-bus-pub-port", type=int, metavar="PORT", help="port that publishers connect to (default 5559)")
    add("--event-bus-sub-port", type=int, metavar="PORT", help="port that subscribers connect to (default 5560)")
    add(
        "--state-dir",
        type=Path,
        metavar="DIR",
        help="folder of the state database (default $STATE_DIRECTORY, else ~/.local/state/coredinator)",
    )
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument(
        "--system",
        dest="scope",
        action="store_const",
        const=Scope.SYSTEM,
        help="use the host's systemd (default for root)",
    )
    scope.add_argument(
        "--user",
        dest="scope",
        action="store_const",
        const=Scope.USER,
        help="use the user's systemd (default for others)",
    )
    add(
        "--stable-period",
        type=float,
        metavar="SECONDS",
        help="running time after which a service's restart delay begins anew (default 600)",
    )
    add("--log-file", type=Path, metavar="FILE", help="also log JSON lines to FILE, rotated at 10 MB, 5 backups")
    add("--log-level", choices=LOG_LEVELS, help="least severity that is logged (default info)")
    add("--no-console", action="store_true", help="do not log to standard error")
    add(
        "--check-config",
        nargs="*",
        metavar="CONFIG",
        help="check the settings, the services that they declare, and agents' configs, then exit",
    )
    add("--reload", action="store_true", help="restart when the source code changes (for development)")
    return parser  # fmt: skip
