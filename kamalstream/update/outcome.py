"""What an update did to an app, read from its working tree against its last commit.

Copier refuses to update where anything is uncommitted, so every difference is the update's.
The standard library and PyYAML only: Copier's hook says it, and the command does.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kamalstream.facts import ANSWERS, DEPLOY, LITESTREAM
from kamalstream.git import committed, names
from kamalstream.inspect.adopted import load_mapping

#: Takes an update back, in the app's folder. All that it removes was not there before.
UNDO = "git reset -q . && git checkout -q . && git clean -fdq ."

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
    """Return the Kamal commands that bring the changes to the server, in their order."""
    files = changed(app)
    sidecar = any(
        file in files and _before(app, file, *keys) != _after(app, file, *keys)
        for file, keys in ((LITESTREAM, ()), (DEPLOY, ("accessories", "litestream")))
    )
    deploy_yml_alone = DEPLOY in files and _rest(app, before=True) != _rest(app, before=False)
    image = any(file != DEPLOY and not _ON_PAPER.match(file) for file in files)
    reboot = ["kamal accessory reboot litestream"] if sidecar else []
    return reboot + (["kamal deploy"] if image or deploy_yml_alone else [])


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


def _before(app: Path, file: str, *keys: str) -> Any:
    return _part((committed(app, file) or b"").decode("utf-8", "replace"), keys)


def _after(app: Path, file: str, *keys: str) -> Any:
    return _part(_text(app, file), keys)


def _rest(app: Path, *, before: bool) -> Any:
    """Return config/deploy.yml without the sidecar, which `kamal deploy` does not touch."""
    loaded = _before(app, DEPLOY) if before else _after(app, DEPLOY)
    if not isinstance(loaded, dict):
        return loaded
    others = {k: v for k, v in (loaded.get("accessories") or {}).items() if k != "litestream"}
    return {**loaded, "accessories": others}


def _part(text: str, keys: tuple[str, ...]) -> Any:
    """Return what the YAML `text` says below `keys`; `text` itself where it is no plain YAML."""
    try:
        value: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _lines(path: Path, pattern: re.Pattern[str]) -> tuple[int, ...]:
    """Return the numbers in the lines that fit: the line's own, or the one it names."""
    text = path.read_text("utf-8", errors="replace") if path.is_file() else ""
    fitting = [(n, m) for n, line in enumerate(text.splitlines(), 1) if (m := pattern.match(line))]
    return tuple(int(m[1]) if m.re.groups else number for number, m in fitting)


def _text(app: Path, file: str) -> str:
    path = app / file
    return path.read_text("utf-8", errors="replace") if path.is_file() else ""
