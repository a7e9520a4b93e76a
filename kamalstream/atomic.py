"""Replaces a file in one step. The standard library only: Copier's hooks use it."""

from __future__ import annotations

import fcntl
import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kamalstream.errors import BadInput
from kamalstream.printable import shown

_MARK = ".kamalstream-"


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
    temporary = target.parent / f".{target.name}{_MARK}{secrets.token_hex(8)}"
    try:
        # Its name is known before it is there, so that no interruption leaves it.
        with open(temporary, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(content)
        temporary.chmod(mode)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def alone(app: Path) -> Iterator[None]:
    """Hold the folder `app` against every other run that would write there.

    Raises BadInput where another holds it. The lock is gone with the process, whatever ends it.
    """
    handle = os.open(app, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(
                f"another kamalstream is writing to {app}. Nothing was written: try again then."
            ) from None
        except OSError:
            # A file system without locks.
            pass
        yield
    finally:
        os.close(handle)


def sweep(target: Path) -> None:
    """Remove what a `replace` of `target` that was killed has left; hold the lock of the app."""
    for left in target.parent.glob(f".{glob.escape(target.name)}{_MARK}*"):
        left.unlink(missing_ok=True)
