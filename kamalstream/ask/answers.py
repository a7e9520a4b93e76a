"""From what is known of an app to answers that the template takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kamalstream import yaml_input
from kamalstream.ask.questions import Asking, questions
from kamalstream.ask.validators import Form, RefusedAnswers, form
from kamalstream.errors import BadInput
from kamalstream.facts import ANSWERS, PROVIDERS
from kamalstream.regular_file import read_text

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
        loaded = yaml_input.load(read_text(file), ANSWERS)
    except (OSError, ValueError) as error:
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


def settle(known: Known, quietly: bool, folder: str = "") -> None:
    """Drop the offered answers that the template refuses; raise RefusedAnswers for given ones.

    With `quietly`, nobody will be asked, and so what is missing is refused too. `folder` is the
    name of the app's folder. Databases that the template refuses are not dropped but raised: the
    default in their place would be a wrong guess.
    """
    dropped, problems = form().refusals(known.given, known.offered, folder)
    for name, problem in dropped.items():
        known.dropped[name] = problem
        del known.offered[name]
    told = {*known.given, *known.offered}
    wrong = {name: said for name, said in problems.items() if quietly or name in told}
    if wrong:
        raise RefusedAnswers(wrong)


def refuse_wrong(form: Form, before: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise RefusedAnswers where an update to the release that `form` is of would be refused.

    `before` are the answers of the app, `new` those that are given for the update. What an earlier
    release did not ask may be brought by a migration, so it is none of our business if missing.
    """
    _, missing = form.refusals({}, {})
    _, problems = form.refusals(new, before)
    known = {*new, *before}
    wrong = {k: said for k, said in problems.items() if k in known or k not in missing}
    if wrong:
        raise RefusedAnswers(wrong)


def unknown(known: Known, uncertain: Sequence[str]) -> Asking:
    """Return how to ask what is not known, or is among `uncertain`, and nothing else.

    All answers can be changed later, on the page that shows them: `advanced` asks for nothing new.
    """
    names = {*known.given, *known.offered}
    hanging = {one for parent, ones in DEPENDENT.items() if parent not in names for one in ones}
    sure = {k: v for k, v in known.offered.items() if k not in {*uncertain, *hanging}}
    return Asking({"advanced": False, **sure, **known.given}, known.offered, uncertain, False)


def changed(answers: Mapping[str, Any], name: str) -> Asking:
    """Return how to ask the question `name` again, and what hangs on it, and nothing else.

    What hangs on it starts from the default that fits the new answer, and is asked only where
    copier.yml would.
    """
    anew = {name, *DEPENDENT.get(name, ())}
    settled = {k: v for k, v in answers.items() if k not in anew}
    # A region is chosen where they are known, and typed only where it is another.
    chosen = name == "region" and "regions" in PROVIDERS[answers["storage_provider"]]
    asked = [] if chosen else [name]
    return Asking({**settled, "advanced": False}, {name: answers[name]}, asked, quietly=False)
