"""What an update did to an app, read from its working tree against its last commit.

Copier refuses to update where anything is uncommitted, so every difference is the update's.
The standard library and PyYAML only: Copier's hook says it, and the command does.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kamalstream.edit.edited import BY_HAND
from kamalstream.facts import (
    ANSWERS,
    COPY_UPLOADS,
    DEPLOY,
    LITESTREAM,
    ONE_WRITER,
    RCLONE,
    litestream_of,
    rclone_of,
)
from kamalstream.git import committed, names
from kamalstream.inspect.adopted import load_mapping
from kamalstream.inspect.kamal.deployment import kamal
from kamalstream.inspect.kamal.files import destination_file, merged
from kamalstream.regular_file import read_text

#: Takes an update back, in the app's folder. All that it removes was not there before.
UNDO = "git reset -q . && git checkout -q . && git clean -fdq ."

# Read by Kamal and Litestream: what changed in them says what to run.
_CONFIGURATION = re.compile(r"config/(?:deploy|litestream)(?:\..+)?\.yml")
# Not part of the running app.
_ON_PAPER = re.compile(rf"docs/|{re.escape(ANSWERS)}$|.*\.(?:rej|md)$")
_MARKER = re.compile(r"<<<<<<< ")
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True)
class Conflict:
    """A file that was changed by its owner and by the template in the same `lines` (from 1).

    `rejects` names the file that holds the owner's side where that is not in `file` itself.
    """

    file: str
    lines: tuple[int, ...]
    rejects: str | None = None

    def __str__(self) -> str:
        """Return one line for the user."""
        where = f"line{'s' if len(self.lines) > 1 else ''} {', '.join(map(str, self.lines))}"
        if self.rejects:
            return f"{self.file}: your changes around {where} are in {self.rejects} now"
        return f"{self.file}: conflict at {where}" if self.lines else f"{self.file}: conflict"


def changed(app: Path) -> list[str]:
    """Return the files of `app` that differ from its last commit, new ones too."""
    new = names(app, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    rest = names(app, "diff", "--name-only", "--relative", "-z", "HEAD", "--", ".")
    return sorted({*new, *rest})


def conflicts(app: Path) -> list[Conflict]:
    """Return what could not be merged, by file."""
    unmerged = names(app, "diff", "--name-only", "--relative", "--diff-filter=U", "-z", "--", ".")
    found = [Conflict(file, _lines(app / file, _MARKER)) for file in unmerged]
    for file in names(app, "ls-files", "-z", "--", "."):
        rejects = f"{file}.rej"
        if (app / rejects).is_file():
            found.append(Conflict(file, _lines(app / rejects, _HUNK), rejects))
    return found


def to_run(app: Path) -> list[str]:
    """Return the Kamal commands that bring the changes to the servers, in their order."""
    files = changed(app)
    image = any(not (_CONFIGURATION.fullmatch(file) or _ON_PAPER.match(file)) for file in files)
    found = kamal(app)
    steps = []
    for name in [one.name for one in found.deployments] if found else [None]:
        option = f" -d {name}" if name else ""
        before, after = _configuration(name, _before(app)), _configuration(name, _after(app))
        config = litestream_of(name) if name else LITESTREAM
        config = config if (app / config).is_file() else LITESTREAM
        replicated = load_mapping(_before(app)(config)) != load_mapping(_text(app, config))
        if replicated or before[0] != after[0] or ONE_WRITER in files:
            steps.append(f"kamal accessory reboot litestream{option}")
        copying = rclone_of(name) if name and (app / rclone_of(name)).is_file() else RCLONE
        if {COPY_UPLOADS, copying} & {*files} and (app / copying).is_file():
            steps.append(f"kamal accessory reboot uploads{option}")
        if image or config in files or before[1] != after[1]:
            steps.append(f"kamal deploy{option}")
    return steps


def by_hand(said: str) -> str:
    """Return what the hooks of an update `said` is to be put in by hand, "" for nothing."""
    found = re.search(rf"^{BY_HAND}\n((?:  .*\n)+)", said, re.MULTILINE)
    return found[1].rstrip() if found else ""


def new_history(app: Path) -> str | None:
    """Return what a change of Litestream's release series means for the backups, if there is one.

    Seen with 0.3.13 and 0.5.17 on one bucket and path; 0.5 reads 0.3's backups and never removes
    them (Litestream 0.5: v3.go only reads).
    """
    before = load_mapping((committed(app, ANSWERS) or b"").decode("utf-8", "replace")) or {}
    after = load_mapping(_text(app, ANSWERS)) or {}
    series = [str(answers.get("litestream_version")) for answers in (before, after)]
    if series == ["0.3", "0.5"]:
        folder = f"{after.get('app_name')}/…/generations/"
        return (
            "Litestream 0.5 starts a new history, with a snapshot of every database, beside that "
            "of 0.3.\nWhat 0.3 backed up stays in the bucket and is restored as before: "
            'bin/restore --timestamp "TIME", with a time\nbefore the change. 0.5 never removes it: '
            f"delete {folder} in the bucket when the\n{after.get('retention')} after the change "
            "are over. Going back to 0.3 means losing what 0.5 has backed up by then."
        )
    if series == ["0.5", "0.3"]:
        return (
            "Litestream 0.3 cannot read what 0.5 backed up: before the first backup of 0.3 is "
            "there,\nnothing is restorable but by hand, with Litestream 0.5."
        )
    return None


def undo(app: Path, written: Collection[str], kept: Collection[str] = ()) -> str:
    """Return the command that takes an update back, which may have written the files `written`.

    It is UNDO, except in two cases. Untracked files may have come before the update: Copier
    overlooks them where the user has git not show them. And git may ignore files that came with it,
    which `git clean` leaves; those `kept` were there before.
    """
    others = ("ls-files", "--others", "--exclude-standard", "-z")
    untracked = names(app, *others, "--", ".")
    new = [file for file in untracked if file.removesuffix(".rej") in written]
    command = UNDO
    if new != untracked:
        command = UNDO.rpartition(" && ")[0]
        command += f" && git clean -fdq -- {shlex.join(new)}" if new else ""
    may_be = [*written, *(f"{file}.rej" for file in written)]
    ignored = names(app, *others, "--ignored", "--", *may_be) if may_be else []
    left = [file for file in ignored if file not in kept]
    return f"{command} && git clean -fdqx -- {shlex.join(left)}" if left else command


def as_lines(app: Path, rendered: Collection[str], kept: Collection[str]) -> str:
    """Return what there is to resolve, to run and to know, and how to take the update back.

    `rendered` names the files that the template has, `kept` those of them that git ignores.
    """
    files = changed(app)
    if not files:
        return "  nothing changed"
    found = conflicts(app)
    lines = [f"  changed: {', '.join(files)}"]
    if found:
        lines += ["", "To resolve, by you:", *(f"  {conflict}" for conflict in found)]
    return "\n".join([*lines, "", what_next(app, undo(app, rendered, kept))])


def what_next(app: Path, command: str = UNDO) -> str:
    """Return what a new series of Litestream means, what to run, and `command`, the way back."""
    history, steps = new_history(app), to_run(app)
    lines = [history, ""] if history else []
    if steps:
        lines += [f"When it is committed, run: {' && '.join(steps)}", ""]
    return "\n".join([*lines, "To undo the update, in the app's folder:", f"  {command}", ""])


def _before(app: Path) -> Callable[[str], str]:
    return lambda file: (committed(app, file) or b"").decode("utf-8", "replace")


def _after(app: Path) -> Callable[[str], str]:
    return lambda file: _text(app, file)


def _configuration(name: str | None, text: Callable[[str], str]) -> tuple[Any, Any]:
    """Return what Kamal is told for the destination `name`: of the sidecar, and all else.

    The texts in full are either where they are no plain YAML.
    """
    texts = [text(file) for file in (DEPLOY, *([destination_file(name)] if name else []))]
    loaded: dict[str, Any] = {}
    for one in texts:
        mapping = load_mapping(one)
        if one.strip() and mapping is None:
            return texts, texts
        loaded = merged(loaded, mapping or {})
    accessories = loaded.get("accessories")
    if not isinstance(accessories, dict):
        return None, loaded
    others = {key: value for key, value in accessories.items() if key != "litestream"}
    return accessories.get("litestream"), {**loaded, "accessories": others}


def _lines(path: Path, pattern: re.Pattern[str]) -> tuple[int, ...]:
    """Return the numbers in the lines that fit: the line's own, or the one it names."""
    text = read_text(path, "replace") if path.is_file() else ""
    fitting = [(n, m) for n, line in enumerate(text.splitlines(), 1) if (m := pattern.match(line))]
    return tuple(int(m[1]) if m.re.groups else number for number, m in fitting)


def _text(app: Path, file: str) -> str:
    path = app / file
    return read_text(path, "replace") if path.is_file() else ""
