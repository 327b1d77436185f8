"""The few ways in which a call to systemd fails, and the one place that tells them apart."""

from collections.abc import Sequence


class SystemdError(Exception):
    """systemd refused a request; the message is systemd's own, with the unit's name."""


class SystemdUnavailable(SystemdError):
    """The bus or systemd is out of reach, or did not answer in time. Worth another try."""


class UnitExists(SystemdError):
    """A unit of that name is loaded, in whatever state."""


class NoSuchUnit(SystemdError):
    """No unit of that name is loaded."""


class NotReferenced(SystemdError):
    """The connection holds no reference on the unit."""


class AlreadySubscribed(SystemdError):
    """The connection receives systemd's signals already."""


class AccessDenied(SystemdError):
    """The bus policy or polkit forbids the request."""


_BY_NAME: dict[str, type[SystemdError]] = {
    "org.freedesktop.systemd1.UnitExists": UnitExists,
    "org.freedesktop.systemd1.AlreadySubscribed": AlreadySubscribed,
    "org.freedesktop.systemd1.NoSuchUnit": NoSuchUnit,
    "org.freedesktop.systemd1.NotReferenced": NotReferenced,
    "org.freedesktop.systemd1.UnitNotLoaded": NoSuchUnit,
    "org.freedesktop.DBus.Error.UnknownObject": NoSuchUnit,
    "org.freedesktop.DBus.Error.FileNotFound": NoSuchUnit,
    "org.freedesktop.DBus.Error.AccessDenied": AccessDenied,
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": AccessDenied,
    "org.freedesktop.DBus.Error.AuthFailed": AccessDenied,
    "org.freedesktop.DBus.Error.Disconnected": SystemdUnavailable,
    "org.freedesktop.DBus.Error.NameHasNoOwner": SystemdUnavailable,
    "org.freedesktop.DBus.Error.NoReply": SystemdUnavailable,
    "org.freedesktop.DBus.Error.NoServer": SystemdUnavailable,
    "org.freedesktop.DBus.Error.ServiceUnknown": SystemdUnavailable,
    "org.freedesktop.DBus.Error.TimedOut": SystemdUnavailable,
    "org.freedesktop.DBus.Error.Timeout": SystemdUnavailable,
    "org.freedesktop.systemd1.ShuttingDown": SystemdUnavailable,
}


def from_reply(name: str | None, body: Sequence[object], subject: str) -> SystemdError:
    """Translate an error that was the answer to a call; `subject` names the unit or call for the message."""
    said = body[0] if body else name
    return _BY_NAME.get(name or "", SystemdError)(f"{subject}: {said}")
