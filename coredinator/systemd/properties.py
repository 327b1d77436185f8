"""Unit properties by name, with their D-Bus signatures (org.freedesktop.systemd1(5)).

D-Bus wants every value typed, and one property that systemd does not know fails the whole call:
a name which is not in the table is therefore refused here, before anything is sent.
"""

from collections.abc import Mapping

from gi.repository import GLib

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


def to_variants(properties: Mapping[str, object]) -> list[tuple[str, GLib.Variant]]:
    """Type each property for StartTransientUnit or SetUnitProperties.

    Raises ValueError for an unknown name or a wrong type.
    """
    unknown = sorted(properties.keys() - SIGNATURES.keys())
    if unknown:
        raise ValueError(f"unknown unit properties: {', '.join(unknown)}")
    typed: list[tuple[str, GLib.Variant]] = []
    for name, value in properties.items():
        try:
            typed.append((name, GLib.Variant(SIGNATURES[name], value)))
        except (TypeError, OverflowError) as error:
            raise ValueError(f"unit property {name}={value!r} is not of type {SIGNATURES[name]}") from error
    return typed
