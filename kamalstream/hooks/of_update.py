"""`copier update` in an app: what is its owner's stays, and our lines in it move along.

None of these ever fails an update: Copier answers a failing hook by reverting the owner's work.
"""

from __future__ import annotations

import re
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
from kamalstream.git import git, names
from kamalstream.hooks import make_executable, report, unharmed
from kamalstream.inspect.adopted import App
from kamalstream.inspect.kamal.deployment import kamal
from kamalstream.render.files import rendered_files
from kamalstream.update.copier_process import render
from kamalstream.update.news import news
from kamalstream.update.outcome import as_lines
from kamalstream.update.owned import (
    keep_dropped,
    merge_unseen,
    move_file,
    put_ignored_back,
    rename_answer,
    rendered_last_time,
    restore_ignored,
    set_ignored_aside,
)


def before_update(app: Path, template: Path) -> int:
    """Keep what Copier would replace without merging, before it writes; always returns 0."""
    if not (app / APPLICATION_RB).is_file():
        return 0
    unharmed(lambda: _say_what_is_dangerous(app))
    unharmed(lambda: _answer_own_files(app))
    return unharmed(lambda: set_ignored_aside(app, rendered_files(template, app)))


def _answer_own_files(app: Path) -> None:
    """Say in the answers of a release that replaced all files that none is its owner's."""
    file = app / ANSWERS
    text = file.read_text("utf-8")
    if not re.search(r"^own_files:", text, re.MULTILINE):
        atomic.replace(file, (text.rstrip("\n") + "\nown_files: []\n").encode())


def _say_what_is_dangerous(app: Path) -> None:
    """Say where the user's settings of git are such that Copier or the way back would do harm."""
    untracked = names(app, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    if untracked:
        print(
            f"kamalstream: not committed: {', '.join(untracked)}. `git clean` in the command above "
            "would delete them too;\nthe command at the end of this update does not."
        )
    quoted = git(app, "config", "--type=bool", "--default=true", "--get", "core.quotePath").strip()
    odd = [name for name in names(app, "ls-files", "-z") if not name.isascii()]
    if quoted == "false" and odd:
        print(
            f"kamalstream: with core.quotePath off, Copier fails on names like {odd[0]}. Take this "
            "update back and run:\n  GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=core.quotePath "
            "GIT_CONFIG_VALUE_0=true copier update --trust"
        )


def during_update(app: Path) -> int:
    """Restore modes and ignored files once Copier has written; always returns 0.

    This runs three times, twice in temporary trees that hold no app, and before the owner's edits
    are merged back.
    """
    if not (app / APPLICATION_RB).is_file():
        return 0
    unharmed(lambda: restore_ignored(app))
    return unharmed(lambda: make_executable(app))


def migrate(app: Path, template: Path, kind: str, old: str, new: str) -> int:
    """Carry out one migration, "rename_answer" or "move_file"; always returns 0."""
    if not (app / APPLICATION_RB).is_file():
        return 0
    if kind == "rename_answer":
        return unharmed(lambda: rename_answer(app, old, new))
    return unharmed(lambda: move_file(app, template, old, new))


def after_update(app: Path, template: Path, versions: tuple[str, str]) -> int:
    """Give the owner back what is theirs, and say what an update did; always returns 0.

    `versions` are those of the template before and now (PEP 440). This is the only hook that sees
    the app after its owner's edits were merged back.
    """
    if not (app / APPLICATION_RB).is_file():
        return 0
    print("\nkamalstream")
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
        print(f"  new in the template:\n{textwrap.indent(new, '    ')}")
    for file in ignored:
        print(f"  {file}: left as it is, because git ignores it and cannot merge it")
    for file in kept:
        print(f"  {file}: kept, though the template has it no more; it is yours now")
    for file in removed:
        print(f"  {file}: removed, the template has it no more and you had not changed it")
    _edit_production_rb(app, new_settings(app, versions[0]))
    by_hand = _edit_own_files(app, template)
    if by_hand:
        print(f"\n{BY_HAND}\n{textwrap.indent(chr(10).join(map(str, by_hand)), '  ')}\n")
    print(as_lines(app, rendered, ignored))


def _edit_production_rb(app: Path, settings: tuple[Setting, ...]) -> None:
    """Bring the settings into the app's file; what is left or refused is for the check to say."""
    if not settings or not (app / PRODUCTION_RB).is_file():
        return
    for change in edit_file(app / PRODUCTION_RB, settings).changed:
        print(f"  {change.kind:>11}  {PRODUCTION_RB}:{change.line}  {change.after}")


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
        text = (app / ANSWERS).read_text("utf-8")
        render(text, str(template), rendered, version="HEAD")
        for one in edits(Adoption(app, answers, rendered, last, deployment)):
            by_hand += one.edited.by_hand
            if one.edited.text != (one.before or ""):
                atomic.replace((app / one.file).resolve(), one.edited.text.encode())
                print(f"  {one.file}: our lines in it were brought up to date")
    return by_hand
