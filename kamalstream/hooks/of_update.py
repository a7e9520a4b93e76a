"""`copier update` while it writes: what would be lost is kept.

Copier starts these five times an update: they import little. None of them ever fails an update:
Copier answers a failing hook by reverting the owner's work.
"""

from __future__ import annotations

import re
from pathlib import Path

from kamalstream import atomic
from kamalstream.facts import ANSWERS, APPLICATION_RB
from kamalstream.git import git, names
from kamalstream.hooks import make_executable, say, unharmed
from kamalstream.regular_file import read_text
from kamalstream.render.files import rendered_files
from kamalstream.update.owned import (
    move_file,
    rename_answer,
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
    file = atomic.place(app, ANSWERS)
    text = read_text(file)
    if not re.search(r"^own_files:", text, re.MULTILINE):
        atomic.replace(file, (text.rstrip("\n") + "\nown_files: []\n").encode())


def _say_what_is_dangerous(app: Path) -> None:
    """Say where the user's settings of git are such that Copier or the way back would do harm."""
    untracked = names(app, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    if untracked:
        say(
            f"kamalstream: not committed: {', '.join(untracked)}. `git clean` in the command above "
            "would delete them too;\nthe command at the end of this update does not."
        )
    quoted = git(app, "config", "--type=bool", "--default=true", "--get", "core.quotePath").strip()
    odd = [name for name in names(app, "ls-files", "-z") if not name.isascii()]
    if quoted == "false" and odd:
        say(
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
