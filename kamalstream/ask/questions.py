"""The questions of copier.yml, and what Copier is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from kamalstream.facts import read_own

_PACKAGE = Path(__file__).resolve().parent.parent
QUESTIONS = "copier.yml"


@dataclass(frozen=True)
class Asking:
    """What Copier is to ask, and what it is told.

    `data` are answers that are given, `defaults` those that are offered, `ask` the names of
    questions that are asked whatever copier.yml says; with `quietly` no other question is asked.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    ask: Sequence[str] = ()
    quietly: bool = True


def copier_yml() -> Path:
    """Return the copier.yml of the running code: in the package where that was installed."""
    beside = _PACKAGE / QUESTIONS
    return beside if beside.is_file() else _PACKAGE.parent / QUESTIONS


def is_kept(definition: Mapping[str, Any]) -> bool:
    """Return whether the answer of a question is the user's, and stored."""
    return definition.get("when") is not False and not definition.get("secret")


@cache
def questions() -> dict[str, dict[str, Any]]:
    """Return copier.yml's questions whose answers are kept: name → its definition."""
    loaded: dict[str, Any] = read_own(copier_yml().read_text("utf-8"))
    return {
        name: definition
        for name, definition in loaded.items()
        if not name.startswith("_") and is_kept(definition)
    }
