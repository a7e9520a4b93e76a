"""Puts lines into a text and leaves every other byte of it as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def split(text: str) -> list[str]:
    """Return the lines of `text` with their ends; joined, they are the text."""
    return _LINE.findall(text)


def insert(text: str, after: int, new: Sequence[str]) -> str:
    """Put the lines `new` behind line `after` (from 1; 0: before the first).

    They get the line ends of `text`. Where its last line has none, the new last one has none.
    """
    lines = split(text)
    end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    before, behind = lines[:after], lines[after:]
    if before and not before[-1].endswith("\n"):
        before[-1] += end
        return "".join([*before, end.join(new)])
    return "".join([*before, *(line + end for line in new), *behind])


def paragraph(text: str, after: int, new: Sequence[str]) -> list[str]:
    """Return the lines `new` with what it takes to set them off by blank lines behind `after`."""
    lines = [line.strip() for line in split(text)]
    above = [""] if lines[after - 1 : after] and lines[after - 1] else []
    below = [""] if lines[after : after + 1] and lines[after] else []
    return [*above, *new, *below]


def remove(text: str, first: int, last: int, comment: str = "") -> str:
    """Take the lines `first` to `last` (from 1) out, and the line `comment` right above them.

    Of two blank lines that meet then, one goes too.
    """
    lines = split(text)
    start = first - 1
    if comment and start and lines[start - 1].strip() == comment:
        start -= 1
    before, behind = lines[:start], lines[last:]
    if behind and not behind[0].strip() and (not before or not before[-1].strip()):
        behind = behind[1:]
    elif before and not behind and not before[-1].strip():
        before = before[:-1]
    return "".join([*before, *behind])
