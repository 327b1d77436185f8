"""Reading the settings file, for programs that do without all that the manager needs."""

from pathlib import Path
from typing import Any

from coredinator.errors import ConfigError, SettingsError
from coredinator.service.config_file import read_config

SETTINGS_KEYS = frozenset({
    "base-path", "cors-origin", "event-bus-host", "event-bus-pub-port", "event-bus-sub-port", "host", "kinds",
    "log-file", "log-level", "no-console", "port", "reload", "scope", "services", "stable-period", "state-dir",
})  # fmt: skip


def read_settings(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The known keys, spelled with dashes, and what is wrong with the others. Raises SettingsError."""
    try:
        values = read_config(path)
    except ConfigError as error:
        raise SettingsError(str(error).replace("config ", "settings file ", 1)) from error
    settings = {str(key).replace("_", "-"): value for key, value in values.items()}
    unknown = sorted(settings.keys() - SETTINGS_KEYS)
    words = f"settings file {path}: unknown keys: {', '.join(unknown)}; see coredinator --help"
    return {key: value for key, value in settings.items() if key in SETTINGS_KEYS}, [words] if unknown else []
