"""The kinds of services as data."""

from coredinator.services.kinds import KINDS, Kind, KindName

__all__ = ["KINDS", "Kind", "KindName"]
