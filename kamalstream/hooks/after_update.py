"""`copier update` at its end: what is its owner's stays, and our lines in it move along.

This never fails an update: Copier answers a failing hook by reverting the owner's work.
"""

from __future__ import annotations

import tempfile
import textwrap
from pathlib import Path

from kamalstream import atomic
from kamalstream.edit.adoption import Adoption
from kamalstream.edit.edited import BY_HAND, ByHand
from kamalstream.edit.own_files import edits
from kamalstream.edit.production_rb import Setting, edit_file
from kamalstream.edit.wanted import new_settings
from kamalstream.facts import ANSWERS, APPLICATION_RB, PRODUCTION_RB
from kamalstream.hooks import say, unharmed
from kamalstream.hooks.report import report
from kamalstream.inspect.adopted import App
from kamalstream.inspect.kamal.deployment import kamal
from kamalstream.regular_file import read_text
from kamalstream.render.files import rendered_files
from kamalstream.update.copier_process import render
from kamalstream.update.news import news
from kamalstream.update.outcome import as_lines
from kamalstream.update.owned import (
    keep_dropped,
    merge_unseen,
    put_ignored_back,
    rendered_last_time,
)


def after_update(app: Path, template: Path, versions: tuple[str, str]) -> int:
    """Give the owner back what is theirs, and say what an update did; always returns 0.

    `versions` are those of the template before and now (PEP 440). This is the only hook that sees
    the app after its owner's edits were merged back.
    """
    if not (app / APPLICATION_RB).is_file():
        return 0
    say("\nkamalstream")
    unharmed(lambda: _say_what_changed(app, template, versions))
    return unharmed(lambda: report(app))


def _say_what_changed(app: Path, template: Path, versions: tuple[str, str]) -> None:
    ignored = put_ignored_back(app)
    rendered = rendered_files(template, app)
    merge_unseen(app, template, sorted({*rendered} - {ANSWERS, *ignored}))
    kept, removed = keep_dropped(app, template)
    changelog = template / "CHANGELOG.md"
    new = news(changelog.read_text("utf-8"), *versions) if changelog.is_file() else ""
    if new:
        say(f"  new in the template:\n{textwrap.indent(new, '    ')}")
    for file in ignored:
        say(f"  {file}: left as it is, because git ignores it and cannot merge it")
    for file in kept:
        say(f"  {file}: kept, though the template has it no more; it is yours now")
    for file in removed:
        say(f"  {file}: removed, the template has it no more and you had not changed it")
    _edit_production_rb(app, new_settings(app, versions[0]))
    by_hand = _edit_own_files(app, template)
    if by_hand:
        say(f"\n{BY_HAND}\n{textwrap.indent(chr(10).join(map(str, by_hand)), '  ')}\n")
    say(as_lines(app, rendered, ignored))


def _edit_production_rb(app: Path, settings: tuple[Setting, ...]) -> None:
    """Bring the settings into the app's file; what is left or refused is for the check to say."""
    if not settings or not (app / PRODUCTION_RB).is_file():
        return
    for change in edit_file(app, PRODUCTION_RB, settings).changed:
        say(f"  {change.kind:>11}  {PRODUCTION_RB}:{change.line}  {change.after}")


def _edit_own_files(app: Path, template: Path) -> list[ByHand]:
    """Move our lines in the owner's files along; return what could not be put in."""
    deployment = kamal(app)
    answers = App(app).answers
    own = [*(answers.get("own_files") or ())]
    own += [one.file for one in (deployment.deployments if deployment else ()) if one.name]
    if not own:
        return []
    by_hand: list[ByHand] = []
    with (
        rendered_last_time(app, template) as last,
        tempfile.TemporaryDirectory(prefix="kamalstream-") as scratch,
    ):
        if last is None:
            why = "the release that you come from cannot be had, so our lines stay as they are"
            return [ByHand(", ".join(own), 0, why, "kamalstream check says what is missing")]
        rendered = Path(scratch) / app.resolve().name
        text = read_text(app / ANSWERS)
        render(text, str(template), rendered, version="HEAD")
        for one in edits(Adoption(app, answers, rendered, last, deployment)):
            by_hand += one.edited.by_hand
            if one.edited.text != (one.before or ""):
                atomic.replace(atomic.place(app, one.file), one.edited.text.encode())
                say(f"  {one.file}: our lines in it were brought up to date")
    return by_hand
