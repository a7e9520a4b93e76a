"""A program that asks questions, at a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import yaml

# A question of yes and no takes the letter alone.
ENTER = "\r"


class Terminal:
    """A terminal with a program in it that asks about `app`; `seen` is all that was waited for."""

    def __init__(self, app: Path, child: pexpect.spawn) -> None:
        self.app, self.child = app, child
        self.seen = ""

    def sees(self, text: str) -> None:
        """Wait until `text` is on the screen, whatever the terminal puts between words."""
        words = [re.escape(word) for word in text.split()]
        self.child.expect(r"(?:\s|\x1b\[[0-9;?]*[A-Za-z])+".join(words))
        self.seen += str(self.child.before) + str(self.child.after)

    def answers(self, question: str, answer: str = "", end: str = ENTER) -> None:
        self.sees(question)
        self.child.send(answer + end)

    def ends(self) -> int:
        self.child.expect(pexpect.EOF)
        self.seen += str(self.child.before)
        self.child.close()
        return int(self.child.exitstatus)

    @property
    def stored(self) -> dict[str, object]:
        loaded: dict[str, object] = yaml.safe_load((self.app / ".copier-answers.yml").read_text())
        return loaded
