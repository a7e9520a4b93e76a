"""What happens in the app after Copier has written the template's files.

Everything imported here, directly or not, is the standard library or comes with Copier: a plain
`copier copy` has nothing else.
"""

from __future__ import annotations

import textwrap
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from kamalstream.check import check_files
from kamalstream.check.finding import as_text, ok, summary
from kamalstream.edit.production_rb import Setting, edit_file
from kamalstream.edit.wanted import new_settings, wanted_settings
from kamalstream.errors import BadInput
from kamalstream.facts import ANSWERS, APPLICATION_RB, EXECUTABLES, PRODUCTION_RB
from kamalstream.git import git, names
from kamalstream.hooks.take_back import remove_created, rendered_files
from kamalstream.inspect.adopted import App
from kamalstream.inspect.destination import refusal
from kamalstream.update.news import news
from kamalstream.update.outcome import as_lines
from kamalstream.update.owned import (
    keep_dropped,
    merge_unseen,
    move_file,
    put_ignored_back,
    rename_answer,
    restore_ignored,
    set_ignored_aside,
)


def after_render(app: Path, operation: str, template: Path) -> int:
    """Finish a rendering into the folder `app`; return the exit code for Copier.

    `operation` is Copier's: "copy" (also for recopy) or "update". `template` is the folder Copier
    renders from. On update this runs three times, twice in temporary trees that hold no app, and
    before the owner's edits are merged back: it only restores modes, and never fails, because
    Copier answers a failing task by reverting the owner's work.
    """
    if operation == "copy":
        problem = refusal(app)
        if problem:
            print(f"\nkamalstream: {problem}")
            print(remove_created(app, template))
            return 1
        return _unharmed(lambda: _finish_copy(app))
    if (app / APPLICATION_RB).is_file():
        _unharmed(lambda: restore_ignored(app))
        return _unharmed(lambda: _make_executable(app))
    return 0


def before_update(app: Path, template: Path) -> int:
    """Keep what Copier would replace without merging, before it writes; always returns 0."""
    if not (app / APPLICATION_RB).is_file():
        return 0
    _unharmed(lambda: _say_what_is_dangerous(app))
    return _unharmed(lambda: set_ignored_aside(app, rendered_files(template)))


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


def migrate(app: Path, template: Path, kind: str, old: str, new: str) -> int:
    """Carry out one migration, "rename_answer" or "move_file"; always returns 0."""
    if not (app / APPLICATION_RB).is_file():
        return 0
    if kind == "rename_answer":
        return _unharmed(lambda: rename_answer(app, old, new))
    return _unharmed(lambda: move_file(app, template, old, new))


def after_update(app: Path, template: Path, versions: tuple[str, str]) -> int:
    """Give the owner back what is theirs, and say what an update did; always returns 0.

    `versions` are those of the template before and now (PEP 440). This is the only hook that sees
    the app after its owner's edits were merged back.
    """
    if not (app / APPLICATION_RB).is_file():
        return 0
    print("\nkamalstream")
    _unharmed(lambda: _say_what_changed(app, template, versions))
    return _unharmed(lambda: _report(app))


def _say_what_changed(app: Path, template: Path, versions: tuple[str, str]) -> None:
    ignored = put_ignored_back(app)
    rendered = rendered_files(template)
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
    print(as_lines(app, rendered, ignored))


def _unharmed(work: Callable[[], object]) -> int:
    """Do `work`; a failure in it is said, and does not undo what Copier wrote."""
    try:
        work()
    except BadInput as error:
        print(f"kamalstream: {error}")
    except Exception:
        traceback.print_exc()
        print("kamalstream: the files are written, but a step after that failed. Please report it.")
    return 0


def _make_executable(app: Path) -> None:
    for file in EXECUTABLES:
        path = app / file
        if path.is_file():
            path.chmod(path.stat().st_mode | 0o111)


def _finish_copy(app: Path) -> None:
    _make_executable(app)
    print("\nkamalstream")
    _edit_production_rb(app, wanted_settings(app))
    if not _report(app):
        print("\nMend the errors above before you deploy.")
    print(_NEXT)


def _edit_production_rb(app: Path, settings: Sequence[Setting]) -> None:
    """Bring the settings into the app's file; what is left or refused is for the check to say."""
    if not settings or not (app / PRODUCTION_RB).is_file():
        return
    for change in edit_file(app / PRODUCTION_RB, settings).changed:
        print(f"  {change.kind:>11}  {PRODUCTION_RB}:{change.line}  {change.after}")


def _report(app: Path) -> bool:
    """Print what the fast checks find; return whether none of it is an error."""
    checked = App(app)
    findings = check_files(checked)
    to_mend = [finding for finding in findings if finding.fix]
    print(f"  checked: {_checked(checked)}")
    if to_mend:
        print(f"  {summary(to_mend)}\n")
        print(as_text(to_mend))
    else:
        print("  nothing to mend")
    print(
        "\n`kamalstream check` asks the real Kamal, Litestream, hadolint, shellcheck and Ruby too."
    )
    return ok(findings)


def _checked(app: App) -> str:
    backed_up = ", ".join(app.backed_up) or "no database"
    left_out = ", ".join(name for name in app.databases if name not in app.backed_up)
    return (
        "databases, litestream.yml, deploy.yml, secrets, image, production.rb\n"
        f"  backed up: {backed_up}" + (f"; left out on purpose: {left_out}" if left_out else "")
    )


_NEXT = """
What comes next:
  1. bin/rails credentials:edit    add your bucket's keys:

       litestream:
         access_key_id: ...
         secret_access_key: ...

  2. git add --all && git commit   (Kamal builds from the last commit)
  3. kamal setup

docs/DEPLOYMENT.md has the rest: first deploy, every day, restore."""
