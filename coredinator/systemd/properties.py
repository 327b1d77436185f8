"""Unit properties by name, with their D-Bus signatures (org.freedesktop.systemd1(5)).

D-Bus wants every value typed, and one property that systemd does not know fails the whole call:
a name which is not in the table is therefore refused here, before anything is sent.
"""

import functools
from collections.abc import Hashable, Mapping
from typing import cast

from gi.repository import GLib

_BYTES = GLib.VariantType("ay")

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


def tuple_of(*items: GLib.Variant) -> GLib.Variant:
    """A tuple, made without looking at what is in the items once more."""
    return GLib.Variant.new_tuple(*items)  # pyright: ignore  # noqa: PGH003  # the stubs know one item only


def to_variant(properties: Mapping[str, object]) -> GLib.Variant:
    """The properties as StartTransientUnit and SetUnitProperties take them, each with its type: a(sv).

    Raises ValueError for an unknown name or a wrong type.
    """
    unknown = sorted(properties.keys() - SIGNATURES.keys())
    if unknown:
        raise ValueError(f"unknown unit properties: {', '.join(unknown)}")
    pairs = GLib.VariantBuilder.new(GLib.VariantType("a(sv)"))
    for name, value in properties.items():
        # Many values are the same for all services.
        keep = isinstance(value, Hashable)
        pairs.add_value(_kept_pair(name, value) if keep else _pair(name, value))
    return pairs.end()


def _pair(name: str, value: object) -> GLib.Variant:
    try:
        typed = GLib.Variant.new_variant(_typed(SIGNATURES[name], value))
    except (TypeError, OverflowError) as error:
        raise ValueError(f"unit property {name}={value!r} is not of type {SIGNATURES[name]}") from error
    return tuple_of(GLib.Variant.new_string(name), typed)


_kept_pair = functools.lru_cache(maxsize=256, typed=True)(_pair)


def _typed(signature: str, value: object) -> GLib.Variant:
    if signature != "aay":
        return GLib.Variant(signature, value)
    # GLib.Variant would make one of every byte.
    items = [GLib.Variant.new_from_bytes(_BYTES, GLib.Bytes.new(item), trusted=True) for item in _byte_strings(value)]
    return GLib.Variant.new_array(_BYTES, items)


def _byte_strings(value: object) -> list[bytes]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return cast("list[bytes]", value)
