"""What an adoption would change in an app, worked out beside it."""

from __future__ import annotations

import difflib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kamalstream import atomic
from kamalstream.edit.adoption import Adoption, read_bytes
from kamalstream.edit.edited import ByHand
from kamalstream.edit.own_files import edits
from kamalstream.edit.production_rb import Left, edit
from kamalstream.edit.wanted import wanted_settings
from kamalstream.facts import ANSWERS, EXECUTABLES, GUIDE, OWNABLE, PRODUCTION_RB
from kamalstream.inspect.stock import owned

#: `whole` are files that were as Rails or Kamal wrote them, `ours` all others that are rendered;
#: `without` those that get lines of ours taken out, and `gone` those that go.
Kind = Literal["new", "ours", "whole", "edited", "without", "gone"]


@dataclass(frozen=True)
class Change:
    """A file that gets other content: `before` is None for a new one; `mode` is what it gets.

    `after` is None for one that goes.
    """

    file: str
    before: bytes | None
    after: bytes | None
    mode: int
    kind: Kind

    @property
    def counts(self) -> tuple[int, int]:
        """How many lines come and how many go."""
        before, after = (
            (content or b"").decode("utf-8", "replace").splitlines()
            for content in (self.before, self.after)
        )
        moves = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        return (
            sum(j2 - j1 for tag, _, _, j1, j2 in moves if tag != "equal"),
            sum(i2 - i1 for tag, i1, i2, _, _ in moves if tag != "equal"),
        )


@dataclass(frozen=True)
class Plan:
    """All that would change in the app, and what its owner has to put in by hand.

    `left` are settings of production.rb that its owner chose otherwise, `passed_over` files of
    theirs that have nothing to do with the template's of the same name.
    """

    app: Path
    changes: tuple[Change, ...] = ()
    by_hand: tuple[ByHand, ...] = ()
    left: tuple[Left, ...] = ()
    passed_over: tuple[str, ...] = ()


def plan(adoption: Adoption) -> Plan:
    """Compare the app with what was rendered beside it; touches nothing.

    A file of its owner's gets the few lines it needs. One that the template rendered before is
    merged with what its owner has made of it since. Raises BadInput for a file of the app that
    cannot be read, or is a link out of it.
    """
    app = adoption.app
    changes: list[Change] = []
    by_hand: list[ByHand] = []
    edited = {one.file: one for one in edits(adoption)}
    stock = {*OWNABLE} - {*owned(app)}
    for path in sorted(p for p in adoption.rendered.rglob("*") if p.is_file()):
        file = path.relative_to(adoption.rendered).as_posix()
        before = read_bytes(app, file)
        if file in edited or adoption.is_own(file):
            continue
        if before is not None and file == PRODUCTION_RB:
            continue
        after = path.read_bytes()
        if before is not None and file != ANSWERS and adoption.last:
            after = _merged(adoption, file, before, after, by_hand)
        kind: Kind = "new" if before is None else "whole" if file in stock else "ours"
        changes += _change(app, file, before, after, kind)
    for one in edited.values():
        by_hand += one.edited.by_hand
        old = None if one.before is None else one.before.encode()
        if one.edited.text or old is not None:
            kind = "new" if old is None else "edited"
            changes += _change(app, one.file, old, one.edited.text.encode(), kind)
    left: tuple[Left, ...] = ()
    source = read_bytes(app, PRODUCTION_RB)
    if source is not None:
        outcome = edit(source, wanted_settings(app))
        left = outcome.left
        if outcome.refused:
            by_hand.append(ByHand(PRODUCTION_RB, 0, outcome.refused, outcome.paste.rstrip()))
        changes += _change(app, PRODUCTION_RB, source, outcome.text, "edited")
    guide = (GUIDE,) if adoption.is_own(GUIDE) and (app / GUIDE).exists() else ()
    return Plan(app, tuple(changes), tuple(by_hand), left, guide)


def _merged(
    adoption: Adoption, file: str, mine: bytes, ours: bytes, by_hand: list[ByHand]
) -> bytes:
    """Return what the owner has made of our file, with what is new in it."""
    last = (adoption.was(file) or "").encode()
    if mine in (last, ours) or not last:
        return ours
    merged = merge(mine, last, ours)
    if merged is None:
        why = "changed by you in the lines that change now; it stays as it is"
        difference = difflib.unified_diff(
            last.decode().splitlines(), ours.decode().splitlines(), lineterm="", n=0
        )
        lines = [line for line in difference if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        by_hand.append(ByHand(file, 0, why, "\n".join(lines)))
        return mine
    return merged


def merge(mine: bytes, base: bytes, theirs: bytes) -> bytes | None:
    """Return `mine` with the changes from `base` to `theirs`, None where both changed one place."""
    with tempfile.TemporaryDirectory(prefix="kamalstream-") as scratch:
        files = [Path(scratch, name) for name in ("mine", "base", "theirs")]
        for file, content in zip(files, (mine, base, theirs), strict=True):
            file.write_bytes(content)
        result = subprocess.run(
            ["git", "merge-file", "-p", *files], capture_output=True, check=False
        )
    return result.stdout if result.returncode == 0 else None


def _change(
    app: Path, file: str, before: bytes | None, after: bytes, kind: Kind
) -> Iterator[Change]:
    mode = (app / file).stat().st_mode & 0o7777 if before is not None else 0o644
    wanted = mode | 0o111 if file in EXECUTABLES else mode
    if before != after or mode != wanted:
        atomic.place(app, file)
        yield Change(file, before, after, wanted, kind)
