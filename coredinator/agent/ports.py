"""The ports that an agent's config names. Its keys belong to CoreRL and CoreIO and are only read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from coredinator.errors import ConfigError, FilesUnavailable
from coredinator.service.config_file import read_config
from coredinator.service.record import ServiceRecord
from coredinator.services import KindName
from coredinator.utils.fleeting_threads import in_file_thread


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of the URLs in a config, None where it has none."""

    coreio: int | None = None
    corerl: int | None = None


def ports_of(config: Mapping[str, Any]) -> Ports:
    """Read the ports of `coreio.coreio_origin` and `event_bus.cli_connection`."""
    return Ports(
        coreio=_port(config, "coreio", "coreio_origin"),
        corerl=_port(config, "event_bus", "cli_connection"),
    )


def _port(config: Mapping[str, Any], section: str, key: str) -> int | None:
    values = config.get(section)
    if not isinstance(values, dict):
        return None
    url = cast("dict[str, object]", values).get(key)
    try:
        return urlsplit(url).port if isinstance(url, str) else None
    except ValueError:
        return None


async def config_port(record: ServiceRecord) -> int | None:
    """The port that a service's config names for it: CoreIO its own, CoreRL and one-off services that of CoreRL."""
    if record.config_path is None:
        return None
    try:
        ports = ports_of(await in_file_thread(read_config, Path(record.config_path)))
    except (ConfigError, FilesUnavailable):
        return None
    match record.identity.kind:
        case KindName.COREIO:
            return ports.coreio
        case KindName.CORERL | KindName.SERVICE:
            return ports.corerl
        case _:
            return None
