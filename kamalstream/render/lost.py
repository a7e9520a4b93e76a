"""What the owner of an app wrote into a file, and what has no place in the new one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lost:
    """Line number `line` (0: the file as a whole) of `file` says `text`; `why` is a clause."""

    file: str
    line: int
    text: str
    why: str

    def __str__(self) -> str:
        """Return one line for the user."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.text}" + (f" ({self.why})" if self.why else "")
