"""Replaces a file in one step. The standard library only: Copier's hooks use it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def replace(target: Path, content: bytes, mode: int | None = None) -> None:
    """Make `content` what the file `target` holds; a reader sees the old file or the new one.

    `mode` is what the file gets; without it, it keeps its own, and a new file gets 0644. A symbolic
    link is replaced: resolve it first where its target is meant. Raises OSError, with the file as
    it was and nothing left beside it.
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
