"""How keys of the settings file are spelled: with dashes, like the flags, or with underscores."""

from pydantic import ConfigDict

DASHED = ConfigDict(
    extra="forbid", frozen=True, populate_by_name=True, alias_generator=lambda name: name.replace("_", "-")
)
