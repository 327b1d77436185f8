"""Failures by cause. Messages say what happened, to what, and what to do about it."""


class CoredinatorError(Exception):
    """Base of all errors that are the user's or the machine's, not a programming mistake."""


class SettingsError(CoredinatorError):
    """Command line flags or keys of the settings file are wrong; `findings` says each by itself."""

    def __init__(self, *findings: str) -> None:
        super().__init__("; ".join(findings))
        self.findings = findings


class PathUnavailable(SettingsError):
    """A path that the settings name cannot be used now, but may be later: its disk is not mounted yet, or is full."""


class ConfigError(CoredinatorError):
    """An agent's config file is missing, unreadable, or not what CoreRL and CoreIO can read."""


class InvalidId(CoredinatorError):
    """An agent's or service's id cannot become the name of a unit."""


class InvalidLimits(CoredinatorError):
    """Limits that make no sense together."""


class ExecutableNotFound(CoredinatorError):
    """The base path holds no executable that fits."""


class FilesUnavailable(CoredinatorError):
    """The disk that holds configs and executables does not answer."""


class UnitConflict(CoredinatorError):
    """The unit is in use in a way that the request contradicts."""


class UnknownService(CoredinatorError):
    """No service of that id is known."""


class StoreError(CoredinatorError):
    """The state database cannot be read or written."""
