"""The sections `kinds` and `services` of the settings file."""

import re
from collections.abc import Mapping
from copy import replace
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints

from coredinator.services.definition import Catalogue, Definition, Restart
from coredinator.services.health import HealthSection
from coredinator.services.kinds import KINDS, KindName
from coredinator.services.limits import DEFAULTS, LimitsModel
from coredinator.services.spelling import DASHED


class LimitsSection(LimitsModel):
    """The section `limits` of a kind or a service."""

    model_config = DASHED


class KindSection(BaseModel):
    """What is said of a kind of service."""

    model_config = DASHED

    limits: LimitsSection = LimitsSection()
    health: HealthSection | None = None


def _argument(text: str) -> str:
    if "$" in text or not text.isprintable():
        raise ValueError(f"{text!r} has a '$', which systemd would expand, or a control character; leave it out")
    return text


def _absolute(text: str) -> str:
    if not Path(text).is_absolute():
        raise ValueError(f"{text!r} is not absolute; give the whole path, beginning with /")
    return _argument(text)


def _text(value: object) -> str:
    """What a variable is set to; YAML has made numbers and booleans out of some of them."""
    if not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is no text; write it in quotes")  # noqa: TRY004  # pydantic wants ValueError
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if not text.isprintable():
        raise ValueError(f"{text!r} has a control character; leave it out")
    return text


def _as_it_was_written(value: object) -> object:
    """`no`, which YAML makes a boolean of."""
    return Restart.NO if value is False else value


type Argument = Annotated[str, StringConstraints(min_length=1), AfterValidator(_argument)]
type AbsolutePath = Annotated[str, AfterValidator(_absolute)]
type Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
type Text = Annotated[str, BeforeValidator(_text)]


class ServiceSection(KindSection):
    """A one-off microservice.

    `executable` is the program's name in `{platform}-{program}-v{version}`, by default the
    service's own name, or a pattern with `*` or `?` for the whole file name.
    """

    executable: Annotated[str, StringConstraints(pattern=r"^[^/$\s]+$")] | None = None
    config: AbsolutePath | None = None
    arguments: tuple[Argument, ...] = ()
    environment: Mapping[Variable, Text] = Field(default_factory=dict[str, str])
    autostart: bool = True
    restart: Annotated[Restart, BeforeValidator(_as_it_was_written)] = Restart.ALWAYS


def catalogue(kinds: Mapping[KindName, KindSection], services: Mapping[str, ServiceSection]) -> Catalogue:
    """All definitions; a service has its own limits over those of the kind `service`, and its own health check."""
    of_kinds = {name: _define(name, kinds.get(name, KindSection())) for name in KINDS}
    general = of_kinds[KindName.SERVICE]
    return Catalogue(of_kinds, {name: _declare(name, section, general) for name, section in services.items()})


def _define(name: KindName, section: KindSection) -> Definition:
    return Definition(
        KINDS[name],
        section.limits.limits().over(DEFAULTS),
        section.health.check() if section.health else None,
    )


def _declare(name: str, section: ServiceSection, general: Definition) -> Definition:
    program = section.executable or name
    pattern = re.search(r"[*?]", program) is not None
    return Definition(
        replace(general.spec, program=program, versioned=not pattern),
        section.limits.limits().over(general.limits),
        section.health.check() if section.health else general.health,
        section.restart,
        section.config,
        section.arguments,
        tuple(section.environment.items()),
        section.autostart,
    )
