"""What `apply` is about to do, noted before it does it: a run that was killed can be taken back.

A repository may hold such a note that somebody made up. So nothing in git's own folder is touched,
nothing outside of the app, and only a file that holds what the note says was written there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from kamalstream import atomic
from kamalstream.edit.adoption import read_bytes
from kamalstream.errors import BadInput

FILE = "tmp/kamalstream.journal"


@dataclass(frozen=True)
class Entry:
    """A `file` of the app that gets the content with the hash `after`, or goes (None).

    `copy` is where its present content is kept, None for a new file; `mode` is its present mode.
    """

    file: str
    copy: str | None
    mode: int
    after: str | None


def digest(content: bytes) -> str:
    """Return the hash that stands for `content` in an Entry."""
    return hashlib.sha256(content).hexdigest()


def begin(app: Path, entries: Sequence[Entry], folders: Sequence[str]) -> None:
    """Note what will be written, and the `folders` that are made for it, outermost first."""
    noted = {"files": [asdict(one) for one in entries], "folders": list(folders)}
    atomic.sweep(app / FILE)
    atomic.replace(app / FILE, json.dumps(noted, indent=1).encode(), 0o600)


def end(app: Path) -> None:
    """Forget the note: all of it is done."""
    (app / FILE).unlink()


def take_back(app: Path) -> bool:
    """Take back the `apply` that was killed in `app`; return whether one was.

    A file that was changed since stays, and so does the copy of what it was. Raises BadInput where
    the note cannot be followed, or the run goes on still.
    """
    if not (app / FILE).is_file():
        return False
    with atomic.alone(app):
        return undo(app)


def undo(app: Path) -> bool:
    """Do the same for whoever holds the lock of the app already."""
    atomic.sweep(app / FILE)
    noted = read_bytes(app, FILE)
    if noted is None:
        return False
    try:
        loaded = json.loads(noted)
        entries = [Entry(**one) for one in loaded["files"]]
        paths = [path for one in entries for path in (one.file, one.copy) if path]
        if any(".git" in Path(path.lower()).parts for path in [*paths, *loaded["folders"]]):
            raise ValueError
        for entry in entries:
            _take_back(app, entry)
        folders = [atomic.place(app, folder) for folder in loaded["folders"]]
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise BadInput(f"{FILE} is not as kamalstream writes it: remove it.") from error
    end(app)
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()
    return True


def _take_back(app: Path, entry: Entry) -> None:
    target = atomic.place(app, entry.file)
    copy = atomic.place(app, entry.copy) if entry.copy else None
    for one in (target, copy):
        if one:
            atomic.sweep(one)
    before = read_bytes(app, entry.copy) if entry.copy else None
    now = read_bytes(app, entry.file)
    if (None if now is None else digest(now)) == entry.after:
        if copy is None:
            target.unlink(missing_ok=True)
        elif before is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            atomic.replace(target, before, entry.mode)
            now = before
    if copy and now == before:
        copy.unlink(missing_ok=True)
