"""Plain values of Kamal's configuration, known or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kamalstream.inspect.unreadable import Unreadable


@dataclass(frozen=True)
class Unknown:
    """Stands in the place of a value that is known only by running code.

    `of_concern` is False where it decides nothing about the app, its data and its secrets.
    """

    unreadable: Unreadable
    of_concern: bool = True


def unknowns(value: Any) -> Iterator[Unknown]:
    """Yield every Unknown in a plain value once, in order."""
    waiting, seen = [value], set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, Unknown):
            yield one
        elif isinstance(one, (dict, list)) and id(one) not in seen:
            seen.add(id(one))
            waiting += reversed(list(one.values()) if isinstance(one, dict) else one)


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    """Return what stands in `value` at `path`; None where nothing does, an Unknown on the way."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
            value = value[step]
        else:
            return value if isinstance(value, Unknown) else None
    return value


def text(value: Any) -> str | None:
    """Return a single value as Ruby's to_s writes it; None for null, Unknown and collections."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, float)) else None


def texts(value: Any) -> tuple[str, ...]:
    """Return the single values of a list; a value alone counts as a list of one."""
    found = (text(one) for one in (value if isinstance(value, list) else [value]))
    return tuple(one for one in found if one)


def mapping(value: Any) -> dict[str, Any]:
    """Return `value` where it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return `value` if it is a list, else none of its items."""
    return value if isinstance(value, list) else []
