"""The page on which all answers are looked at, and one can be changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import questionary

from kamalstream.ask.answers import is_asked
from kamalstream.render.source import questions

_GO_ON = "Yes: show what would change"


def review(answers: Mapping[str, Any], width: int) -> str | None:
    """Show `answers`; return the name of the one to change, None where all are right.

    `width` is that of the terminal. Raises KeyboardInterrupt where the user leaves.
    """
    names = [n for n in questions() if n in answers and n != "advanced" and is_asked(n)]
    room = width - 26
    choices = [questionary.Choice(_GO_ON, value="")]
    for name in names:
        shown = _shown(answers[name])
        if len(shown) > room:
            shown = shown[: room - 1] + "…"
        choices.append(questionary.Choice(f"{name:<19} {shown}".rstrip(), value=name))
    chosen: str = questionary.select(
        "Is all of this right? Or choose what to change.", choices=choices, instruction=" "
    ).unsafe_ask()
    return chosen or None


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {one}" for key, one in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
