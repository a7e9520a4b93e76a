"""What rendering would change in an app, worked out beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kamalstream.edit.production_rb import Left, edit
from kamalstream.edit.wanted import wanted_settings
from kamalstream.errors import BadInput
from kamalstream.facts import ANSWERS, EXECUTABLES, PRODUCTION_RB
from kamalstream.render import carry
from kamalstream.render.lost import Lost


@dataclass(frozen=True)
class Change:
    """A file that gets other content: `before` is None for a new one; `mode` is what it gets."""

    file: str
    before: bytes | None
    after: bytes
    mode: int


@dataclass(frozen=True)
class Plan:
    """All that would change in the app, and what of the owner's would not be there any more.

    `left` are settings of production.rb that its owner chose otherwise, `paste` the lines for it
    where it cannot be edited with certainty (and `refused` why).
    """

    app: Path
    changes: tuple[Change, ...] = ()
    lost: tuple[Lost, ...] = ()
    left: tuple[Left, ...] = ()
    refused: str | None = None
    paste: str = field(default="", repr=False)


def plan(app: Path, rendered: Path) -> Plan:
    """Compare the app with what was rendered into the folder `rendered`; touches nothing.

    What the owner of the app added to a file that is replaced is carried over where there is room
    for it. Raises BadInput for a file of the app that cannot be read.
    """
    changes: list[Change] = []
    lost: list[Lost] = []
    for path in sorted(p for p in rendered.rglob("*") if p.is_file()):
        file = path.relative_to(rendered).as_posix()
        before = _read(app, file)
        if file == PRODUCTION_RB and before is not None:
            continue
        after = path.read_bytes()
        if before is not None and file != ANSWERS:
            text, gone = carry.over(file, _text(file, before), after.decode())
            after = text.encode()
            lost += gone
        changes += _change(app, file, before, after)
    source = _read(app, PRODUCTION_RB)
    if source is None:
        return Plan(app, tuple(changes), tuple(lost))
    outcome = edit(source, wanted_settings(app))
    changes += _change(app, PRODUCTION_RB, source, outcome.text)
    return Plan(app, tuple(changes), tuple(lost), outcome.left, outcome.refused, outcome.paste)


def _change(app: Path, file: str, before: bytes | None, after: bytes) -> Iterator[Change]:
    mode = (app / file).stat().st_mode & 0o7777 if before is not None else 0o644
    wanted = mode | 0o111 if file in EXECUTABLES else mode
    if before != after or mode != wanted:
        yield Change(file, before, after, wanted)


def _text(file: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadInput(
            f"{file}:{line} is not UTF-8.\nSave it as UTF-8, and run this again."
        ) from error


def _read(app: Path, file: str) -> bytes | None:
    path = app / file
    if not path.exists() and not path.is_symlink():
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}. Nothing was changed.") from error
