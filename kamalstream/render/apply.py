"""Writes what was planned, all of it or nothing."""

from __future__ import annotations

import shlex
import tempfile
from datetime import datetime
from pathlib import Path

from kamalstream import atomic
from kamalstream.edit.adoption import read_bytes
from kamalstream.errors import BadInput
from kamalstream.render.plan import Change, Plan


def refuse_unwritable(app: Path) -> None:
    """Raise BadInput where files cannot be made in the folder `app`."""
    try:
        with tempfile.TemporaryFile(dir=app):
            pass
    except OSError as error:
        raise BadInput(f"{app} cannot be written to: {error.strerror}.") from error


def apply(plan: Plan, now: datetime) -> Path | None:
    """Write the changes of `plan`; return where replaced files are kept, None without any.

    Each file is replaced in one step, and what was there is kept below tmp/ of the app first, in a
    folder named after `now`. Raises BadInput where a file cannot be written, or was changed since
    the plan was made: then everything is as it was. So it is after Ctrl-C.
    """
    for change in plan.changes:
        if read_bytes(plan.app, change.file) != change.before:
            raise BadInput(f"{change.file} has changed meanwhile. Nothing was written; try again.")
    replaced = [change for change in plan.changes if change.before is not None]
    kept = plan.app / "tmp" / f"before-kamalstream-{now:%Y%m%d-%H%M%S}"
    targets = {change.file: atomic.place(plan.app, change.file) for change in plan.changes}
    atomic.place(plan.app, "tmp")
    at = ""
    folders: list[Path] = []
    copies: list[Path] = []
    done: list[tuple[Path, Change, int]] = []
    try:
        for change in replaced:
            copy = kept / change.file
            at = str(copy.relative_to(plan.app))
            _make_folder(copy.parent, plan.app, folders)
            copies.append(copy)
            atomic.replace(copy, change.before or b"", 0o600)
        for change in plan.changes:
            at = change.file
            target = targets[change.file]
            _make_folder(target.parent, plan.app, folders)
            mode = target.stat().st_mode & 0o7777 if change.before is not None else 0
            done.append((target, change, mode))
            atomic.replace(target, change.after, change.mode)
    except BaseException as error:
        for target, change, mode in reversed(done):
            if read_bytes(plan.app, change.file) == change.before:
                continue
            if change.before is None:
                target.unlink(missing_ok=True)
            else:
                atomic.replace(target, change.before, mode)
        for copy in copies:
            copy.unlink(missing_ok=True)
        for folder in reversed(folders):
            folder.rmdir()
        if isinstance(error, OSError):
            raise BadInput(
                f"{at} cannot be written: {error.strerror}. Everything is as it was."
            ) from error
        raise
    return kept if replaced else None


def undo(plan: Plan, kept: Path | None) -> str:
    """Return the command that takes the changes of `plan` back, in the app's folder.

    `kept` is what `apply` returned: files that were never committed come back from there too.
    """
    new = [change.file for change in plan.changes if change.before is None]
    back = [f"cp -R {shlex.quote(str(kept.relative_to(plan.app)))}/. ."] if kept else []
    return " && ".join([*back, *([f"rm -f -- {shlex.join(new)}"] if new else [])])


def _make_folder(folder: Path, app: Path, made: list[Path]) -> None:
    """Make `folder` and those above it that are missing, and note them in `made`."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir()
        made.append(one)
