"""Runs Copier on a folder of its own, so that nothing of the app is touched."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import copier
import yaml
from copier.errors import CopierError, UserMessageError

from kamalstream.errors import BadInput
from kamalstream.facts import ANSWERS
from kamalstream.render.source import Source


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


class RefusedAnswers(BadInput):
    """Answers that the template does not take; `problems` maps each to what is wrong with it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        """Say one line for each."""
        super().__init__("\n".join(f"{name} {problem}" for name, problem in problems.items()))
        self.problems = dict(problems)


def render(source: Source, folder: Path, asking: Asking) -> dict[str, Any]:
    """Render the template into the new folder `folder`; return the answers it was rendered with.

    The name of `folder` is what app_name is derived from where nothing better is known. Raises
    RefusedAnswers, BadInput where the template cannot be had, and KeyboardInterrupt where the user
    leaves the questions.
    """
    with warnings.catch_warnings():
        # .ruby-version is the app's, not the folder's; and a checkout may have changes.
        warnings.simplefilter("ignore")
        try:
            copier.run_copy(
                source.location,
                folder,
                data=dict(asking.data),
                user_defaults=dict(asking.defaults),
                ask=asking.ask,
                defaults=asking.quietly,
                vcs_ref=source.ref,
                quiet=True,
                unsafe=True,
                skip_tasks=True,
            )
        except UserMessageError as error:
            problems = _problems(str(error))
            raise (RefusedAnswers(problems) if problems else BadInput(str(error))) from None
        except (CopierError, ValueError, TypeError) as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            problem = str(error).strip().splitlines()[-1]
            named = re.match(r"Validation error for question '(\w+)': (.*)", problem)
            raise (RefusedAnswers({named[1]: named[2]}) if named else BadInput(problem)) from None
    answers: dict[str, Any] = yaml.safe_load((folder / ANSWERS).read_text("utf-8"))
    return {name: value for name, value in answers.items() if not name.startswith("_")}


def _problems(message: str) -> dict[str, str]:
    """Read what refuse_bad_data (copier.yml) says as Jinja's message for an attribute."""
    said = re.fullmatch(r"'None' has no attribute '(.*)'", message, re.DOTALL)
    key = r"(?:^|; )([a-z][a-z0-9_]*) (?=\"|is missing|is empty)"
    parts = re.split(key, said[1]) if said else []
    return dict(zip(parts[1::2], parts[2::2], strict=True))
