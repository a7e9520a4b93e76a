"""From what is known of an app to answers that the template takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kamalstream.errors import BadInput
from kamalstream.facts import ANSWERS
from kamalstream.render.source import Source, questions
from kamalstream.render.with_copier import Asking, RefusedAnswers, render

# Whose default hangs on another answer: key → keys that are answered anew when it changes.
DEPENDENT = {
    "storage_provider": ("region", "endpoint"),
    "region": ("endpoint",),
    "registry_server": ("registry_username",),
    "litestream_version": ("heartbeat_url",),
}


@dataclass
class Known:
    """What is handed to Copier: answers that are `given`, and those that are only `offered`.

    `dropped` says which of the offered ones the template does not take, and why.
    """

    given: dict[str, Any]
    offered: dict[str, Any]
    dropped: dict[str, str] = field(default_factory=dict)


def earlier(app: Path) -> dict[str, Any]:
    """Return the answers of an earlier run in `app`, none where there was none.

    Raises BadInput where the answers file belongs to another template.
    """
    file = app / ANSWERS
    if not file.exists():
        return {}
    try:
        loaded = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadInput(f"{ANSWERS} cannot be read. Mend it, or move it away.") from error
    if not isinstance(loaded, dict) or not {"databases", "server_ip"} <= set(loaded):
        raise BadInput(
            f"{ANSWERS} has the answers of another template, and would be overwritten.\n"
            "Give that one an answers file of its own (copier: --answers-file)."
        )
    return {name: value for name, value in loaded.items() if name in questions()}


def is_asked(name: str) -> bool:
    """Return whether the question `name` is one that people are asked at all."""
    return questions()[name].get("ask") is not False


def settle(source: Source, folder: Path, known: Known, quietly: bool) -> None:
    """Drop the offered answers that the template refuses; raise RefusedAnswers for given ones.

    With `quietly`, nobody will be asked, and so what is missing is refused too. `folder` is where
    Copier may write for it.
    """
    for attempt in range(len(known.offered) + 1):
        try:
            render(source, folder / str(attempt) / folder.name, Asking(known.given, known.offered))
            return
        except RefusedAnswers as refused:
            wrong = {k: v for k, v in refused.problems.items() if k in known.given}
            offered = {k: v for k, v in refused.problems.items() if k in known.offered}
            if wrong or not offered:
                problems = refused.problems if quietly else wrong
                if problems:
                    raise RefusedAnswers(problems) from None
                return
            if "databases" in offered:
                # The default in its place would be a wrong guess.
                raise RefusedAnswers({"databases": offered["databases"]}) from None
            for name, problem in offered.items():
                known.dropped[name] = problem
                del known.offered[name]


def unknown(known: Known, uncertain: Sequence[str]) -> Asking:
    """Return how to ask what is not known, or is among `uncertain`, and nothing else.

    All answers can be changed later, on the page that shows them: `advanced` asks for nothing new.
    """
    names = {*known.given, *known.offered}
    hanging = {one for parent, ones in DEPENDENT.items() if parent not in names for one in ones}
    sure = {k: v for k, v in known.offered.items() if k not in {*uncertain, *hanging}}
    return Asking({"advanced": False, **sure, **known.given}, known.offered, uncertain, False)


def changed(answers: Mapping[str, Any], name: str) -> Asking:
    """Return how to ask the question `name` again, and what hangs on it, and nothing else."""
    again = [name, *(key for key in DEPENDENT.get(name, ()) if key in answers)]
    kept = {key: value for key, value in answers.items() if key not in again[1:]}
    return Asking(defaults=kept, ask=again)
