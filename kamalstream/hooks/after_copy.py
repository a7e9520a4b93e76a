"""`copier copy` in an app: ends where `kamalstream init --defaults` ends.

Copier itself has only written down what it was told (NEW_ANSWERS). The app is read here, and the
template rendered with both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any

from kamalstream import yaml_input
from kamalstream.ask.adoption import known_answers, uncertain_databases, what_was_read
from kamalstream.ask.answers import earlier, settle
from kamalstream.ask.questions import Asking
from kamalstream.ask.validators import defaults
from kamalstream.check.next_steps import next_steps
from kamalstream.edit.adoption import Adoption
from kamalstream.errors import INTERRUPTED, BadInput
from kamalstream.facts import ANSWERS, GUIDE, NEW_ANSWERS
from kamalstream.hooks import say
from kamalstream.hooks.report import report
from kamalstream.inspect.adopted import App
from kamalstream.inspect.app import inspect_app
from kamalstream.inspect.refusal import refusal
from kamalstream.regular_file import read_text
from kamalstream.render.apply import apply
from kamalstream.render.journal import take_back
from kamalstream.render.plan import Plan, plan
from kamalstream.render.show import by_hand, left_alone, overview
from kamalstream.render.with_copier import in_place, keep_source, render

_KEYS = ("bin/rails credentials:edit", "add access_key_id and secret_access_key below litestream:")


def after_copy(app: Path, template: Path, given: Collection[str]) -> int:
    """Adopt the app in the folder `app`; return the exit code for Copier.

    `template` is the folder that Copier renders from, `given` names the answers that it was given
    as data. Where the app is refused nothing is left behind.
    """
    new = app / NEW_ANSWERS
    try:
        told = read_text(new)
        new.unlink()
        take_back(app)
        problem = refusal(app)
        if problem:
            raise BadInput(problem)
        planned, kept = _adopt(app, template, told, given)
    except BadInput as error:
        say(f"\nkamalstream: {error}\nNothing was changed.")
        return 1
    except KeyboardInterrupt:
        # Copier, which the key reached as well, ends this process within a quarter of a second.
        say("\nkamalstream: nothing was changed.")
        return INTERRUPTED
    try:
        _say(planned, kept, app)
    except KeyboardInterrupt:
        say("\nkamalstream: the files are written; `git diff` shows them.")
        return INTERRUPTED
    return 0


def _adopt(
    app: Path, template: Path, told: str, given: Collection[str]
) -> tuple[Plan, Path | None]:
    answers: dict[str, Any] = yaml_input.load(told, ANSWERS)
    before = earlier(app)
    facts = inspect_app(app)
    known = known_answers(facts, _chosen(answers, given, before, app), before)
    uncertain_databases(facts, known, quietly=True)
    settle(known, True, app.resolve().name)
    say("\nkamalstream")
    for line in what_was_read(facts, known):
        say(f"  {line}")
    with tempfile.TemporaryDirectory(prefix="kamalstream-") as scratch:
        source = in_place(template)
        rendered, last = Path(scratch, "now", app.name), Path(scratch, "last", app.name)
        settled = render(source, rendered, Asking(known.given, known.offered))
        keep_source(rendered / ANSWERS, told)
        if before:
            render(source, last, Asking(before))
        planned = plan(Adoption(app, settled, rendered, last if before else None, facts.kamal))
    return planned, apply(planned, datetime.now())


def _chosen(
    answers: dict[str, Any], given: Collection[str], before: dict[str, Any], app: Path
) -> dict[str, Any]:
    """Return the answers that somebody chose: given as data, or typed at a prompt."""
    data = {name: answers[name] for name in given if name in answers}
    by_itself = {**defaults(data, app), **before}
    return {
        name: value
        for name, value in answers.items()
        if not name.startswith("_") and (name in data or value != by_itself.get(name))
    }


def _say(planned: Plan, kept: Path | None, app: Path) -> None:
    say()
    for line in overview(planned):
        say(f"  {line}")
    if kept:
        say(f"  What was replaced is kept in {kept.relative_to(app)}.")
    for line in ("", *left_alone(planned)):
        say(f"  {line}".rstrip())
    fine = report(app)
    say(f"\n{next_steps(App(app), [_KEYS], GUIDE not in planned.passed_over)}")
    if not fine:
        say("\nMend the errors above before you deploy.")
    left = "\n".join(by_hand(planned)).rstrip()
    if left:
        say(f"\n{left}")
