"""What an inspection could not read with certainty, or only by assuming, as the user is told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_USERINFO = re.compile(r"(?<=://)[^@/\s]+(?=@)")


@dataclass(frozen=True)
class Unreadable:
    """A place in the app that cannot be read without running its code.

    `file` is relative to the Rails root, `line` counts from 1 (0: the file as a whole), `text` is
    the line that stands there (without the user and password of a URL), `why` is a clause that
    says what stopped the reading.
    """

    file: str
    line: int
    text: str
    why: str

    def __str__(self) -> str:
        """Return one line for the user: place, reason, and what stands there."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.why}" + (f" ({self.text})" if self.text else "")


@dataclass(frozen=True)
class Assumed:
    """A value read as if the environment variable `variable` were unset.

    `default` is what then takes its place; `file` and `line` are as in Unreadable.
    """

    file: str
    line: int
    variable: str
    default: str

    def __str__(self) -> str:
        """Return one line for the user."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: read as if {self.variable} were unset, so as {self.default!r}"


class UnreadableError(Exception):
    """A whole file cannot be read; `unreadable` says where and why."""

    def __init__(self, unreadable: Sequence[Unreadable]) -> None:
        """Carry at least one Unreadable."""
        super().__init__("\n".join(map(str, unreadable)))
        self.unreadable = tuple(unreadable)


def source_line(source: str, line: int) -> str:
    """Return line number `line` (from 1) of `source` for display, without credentials in URLs."""
    lines = source.splitlines()
    shown = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    return _USERINFO.sub("…", shown)
