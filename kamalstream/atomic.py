"""Replaces a file in one step. The standard library only: Copier's hooks use it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from kamalstream.errors import BadInput
from kamalstream.printable import shown


def place(app: Path, file: str) -> Path:
    """Return where `file` of the folder `app` is written, which a link may have elsewhere in it.

    Raises BadInput where a link leads out of `app`, as in a repository that someone else made.
    """
    try:
        target, top = (app / file).resolve(), app.resolve()
    except (OSError, RuntimeError) as error:
        raise BadInput(f"{file} is a link that leads nowhere. Nothing was written.") from error
    if not target.is_relative_to(top):
        raise BadInput(
            f"{file} leads out of the app, to {shown(target, 200)}: nothing was written.\n"
            "Put a file of its own there in place of the link, and run this again."
        )
    return target


def replace(target: Path, content: bytes, mode: int | None = None) -> None:
    """Make `content` what the file `target` holds; a reader sees the old file or the new one.

    `mode` is what the file gets; without it, it keeps its own, and a new file gets 0644. A symbolic
    link is replaced: `place` says where its target is. Raises OSError, with the file as it was and
    nothing left beside it.
    """
    if mode is None:
        mode = target.stat().st_mode & 0o7777 if target.exists() else 0o644
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(mode)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
