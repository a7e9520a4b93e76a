"""What comes of editing a file that belongs to the app's owner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

#: Stands above what is by hand, wherever it is said.
BY_HAND = "To put in by hand, because it cannot be done with certainty here"


@dataclass(frozen=True)
class ByHand:
    """Lines that their owner has to put into `file` near `line` (from 1; 0: anywhere in it).

    `why` is a clause that says what kept us from it, `lines` what to write; "" for nothing.
    """

    file: str
    line: int
    why: str
    lines: str

    def __str__(self) -> str:
        """Return place and reason in one line, and the lines below it."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return "\n".join(
            [f"{place}: {self.why}", *(f"    {one}" for one in self.lines.splitlines())]
        )


@dataclass(frozen=True)
class Edited:
    """The whole new `text` of a file, and what could not be put into it with certainty."""

    text: str
    by_hand: tuple[ByHand, ...] = ()

    def and_by_hand(self, more: Iterable[ByHand]) -> Edited:
        """Return the same with `more` to be done by hand."""
        return replace(self, by_hand=(*self.by_hand, *more))


class UnsureError(Exception):
    """A text that cannot be edited with certainty: `why`, a clause, and the `line` (0: none)."""

    def __init__(self, why: str, line: int = 0) -> None:
        """Say why, and where."""
        super().__init__(f"line {line}: {why}" if line else why)
        self.why = why
        self.line = line
