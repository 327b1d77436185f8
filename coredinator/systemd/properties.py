"""Unit properties by name, with their D-Bus signatures (org.freedesktop.systemd1(5)).

D-Bus wants every value typed, and one property that systemd does not know fails the whole call:
a name which is not in the table is therefore refused here, before anything is sent.
"""

import functools
from collections.abc import Hashable, Iterable, Mapping
from typing import cast

from dbus_fast import SignatureBodyMismatchError, Variant

SIGNATURES: Mapping[str, str] = {
    "AddRef": "b",
    "Before": "as",
    "CPUAccounting": "b",
    "CPUQuotaPerSecUSec": "t",
    "CPUWeight": "t",
    "Description": "s",
    "Environment": "as",
    "ExecStart": "a(sasb)",
    "IOAccounting": "b",
    "IOWeight": "t",
    "LimitDATA": "t",
    "LimitNOFILE": "t",
    "LogExtraFields": "aay",
    "MemoryAccounting": "b",
    "MemoryHigh": "t",
    "MemoryMax": "t",
    "Nice": "i",
    "NotifyAccess": "s",
    "Restart": "s",
    "RestartMaxDelayUSec": "t",
    "RestartSteps": "u",
    "RestartUSec": "t",
    "Slice": "s",
    "StartLimitIntervalUSec": "t",
    "SyslogIdentifier": "s",
    "TasksAccounting": "b",
    "TasksMax": "t",
    "TimeoutStartUSec": "t",
    "TimeoutStopUSec": "t",
    "Type": "s",
    "WatchdogUSec": "t",
}


def typed(properties: Mapping[str, object]) -> list[list[object]]:
    """The properties as StartTransientUnit and SetUnitProperties take them, each with its type: a(sv).

    Raises ValueError for an unknown name or a wrong type.
    """
    unknown = sorted(properties.keys() - SIGNATURES.keys())
    if unknown:
        raise ValueError(f"unknown unit properties: {', '.join(unknown)}")
    # Many values are the same for all services.
    return [
        [name, _kept_variant(name, value) if isinstance(value, Hashable) else _variant(name, value)]
        for name, value in properties.items()
    ]


def _variant(name: str, value: object) -> Variant:
    try:
        return Variant(SIGNATURES[name], _lists(value))
    except SignatureBodyMismatchError as error:
        raise ValueError(f"unit property {name}={value!r} is not of type {SIGNATURES[name]}") from error


_kept_variant = functools.lru_cache(maxsize=256, typed=True)(_variant)


def _lists(value: object) -> object:
    """Arrays and structures are lists there."""
    if isinstance(value, list | tuple):
        return [_lists(item) for item in cast("Iterable[object]", value)]
    return value
