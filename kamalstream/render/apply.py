"""Writes what was planned, all of it or nothing."""

from __future__ import annotations

import shlex
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from kamalstream import atomic
from kamalstream.edit.adoption import read_bytes
from kamalstream.errors import BadInput
from kamalstream.render import journal
from kamalstream.render.plan import Plan


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
    the plan was made: then everything is as it was. So it is after Ctrl-C, and after a SIGKILL once
    `journal.take_back` is called.
    """
    with atomic.alone(plan.app):
        for change in plan.changes:
            if read_bytes(plan.app, change.file) != change.before:
                raise BadInput(
                    f"{change.file} has changed meanwhile. Nothing was written; try again."
                )
        return _apply(plan, f"tmp/before-kamalstream-{now:%Y%m%d-%H%M%S}")


def _apply(plan: Plan, kept: str) -> Path | None:
    app = plan.app
    atomic.place(app, "tmp")
    targets = {change.file: atomic.place(app, change.file) for change in plan.changes}
    replaced = [change for change in plan.changes if change.before is not None]
    copies = {change.file: f"{kept}/{change.file}" for change in replaced}
    entries = [
        journal.Entry(
            change.file,
            copies.get(change.file),
            targets[change.file].stat().st_mode & 0o7777 if change.before is not None else 0,
            None if change.after is None else journal.digest(change.after),
        )
        for change in plan.changes
    ]
    written = [app / journal.FILE, *(app / one for one in copies.values()), *targets.values()]
    folders = [one for one in _above(written) if not one.exists()]
    at = journal.FILE
    try:
        (app / journal.FILE).parent.mkdir(exist_ok=True)
        journal.begin(app, entries, [str(one.relative_to(app.resolve())) for one in folders])
        for change in replaced:
            at = copies[change.file]
            (app / at).parent.mkdir(parents=True, exist_ok=True)
            # One that goes comes back from there as it was.
            mode = 0o600 if change.after is not None else change.mode
            atomic.replace(app / at, change.before or b"", mode)
        for change in plan.changes:
            at = change.file
            if change.after is None:
                targets[at].unlink()
                continue
            targets[at].parent.mkdir(parents=True, exist_ok=True)
            atomic.replace(targets[at], change.after, change.mode)
        journal.end(app)
    except BaseException as error:
        journal.undo(app)
        for folder in reversed(folders):
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise BadInput(
                f"{at} cannot be written: {error.strerror}. Everything is as it was."
            ) from error
        raise
    _without_empty(app, [targets[one.file] for one in plan.changes if one.after is None])
    if not replaced and app.resolve() / "tmp" in folders:
        (app / "tmp").rmdir()
    return app / kept if replaced else None


def undo(plan: Plan, kept: Path | None) -> str:
    """Return the command that takes the changes of `plan` back, in the app's folder.

    `kept` is what `apply` returned: files that were never committed come back from there too.
    """
    new = [change.file for change in plan.changes if change.before is None]
    back = [f"cp -R {shlex.quote(str(kept.relative_to(plan.app)))}/. ."] if kept else []
    return " && ".join([*back, *([f"rm -f -- {shlex.join(new)}"] if new else [])])


def _without_empty(app: Path, gone: list[Path]) -> None:
    """Remove the folders of the app that nothing is in any more; git keeps none either."""
    for folder in reversed(_above(gone)):
        if app.resolve() in folder.parents:
            with suppress(OSError):
                folder.rmdir()


def _above(files: list[Path]) -> list[Path]:
    """Return the folders that `files` are in, and those above them, outermost first."""
    found = {folder.resolve() for file in files for folder in file.parents}
    return sorted(found, key=lambda folder: len(folder.parts))
