"""Failures by cause. Messages say what happened, to what, and what to do about it."""


class CoredinatorError(Exception):
    """Base of all errors that are the user's or the machine's, not a programming mistake."""


class SettingsError(CoredinatorError):
    """A command line flag or a key of the settings file is wrong."""


class ConfigError(CoredinatorError):
    """An agent's config file is missing, unreadable, or not what CoreRL and CoreIO can read."""


class InvalidId(CoredinatorError):
    """An agent's or service's id cannot become the name of a unit."""


class ExecutableNotFound(CoredinatorError):
    """The base path holds no executable that fits."""


class UnitConflict(CoredinatorError):
    """The unit is in use in a way that the request contradicts."""


class UnknownService(CoredinatorError):
    """No service of that id is known."""


class StoreError(CoredinatorError):
    """The state database cannot be read or written."""
