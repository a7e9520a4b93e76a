"""What the commands print, and how they end, on a terminal and without one."""

from __future__ import annotations

import os
import re
import sys
import termios
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any

from prompt_toolkit.application import get_app
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Window
from prompt_toolkit.widgets import ValidationToolbar
from questionary import Question
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from kamalstream.inspect.literal_secrets import masked
from kamalstream.printable import printable

# Ctrl-D leaves as Ctrl-C does: also a list, and a question of Copier's, which pass over it.
ANSI_SEQUENCES["\x04"] = Keys.ControlC


class _Refusal(ValidationToolbar):
    """What is wrong with an answer, on as many lines as it takes; prompt_toolkit has one, cut."""

    def __init__(self, show_position: bool = False) -> None:
        super().__init__(show_position)
        words = FormattedTextControl(self._words, style="class:validation-toolbar")
        self.container.content = Window(words, dont_extend_height=True)

    def _words(self) -> str:
        error = get_app().current_buffer.validation_error
        # Copier says before it which question it is, and that stands right above.
        said = re.sub(
            r"\AValidation error for question '\w+': ", "", error.message if error else ""
        )
        return _folded(said, get_app().output.get_size().columns, indent=0)


# The name in the package is that of a function in the module.
vars(import_module("prompt_toolkit.shortcuts.prompt"))["ValidationToolbar"] = _Refusal

_STYLES = {"+++": "bold", "---": "bold", "@@": "cyan", "+": "green", "-": "red"}


class Terminal(Console):
    """Where commands print: other people's text comes out `printable`, without their `secrets`."""

    def __init__(self, secrets: tuple[str, ...] = (), **settings: Any) -> None:
        """Take what is to be masked, and what rich.console.Console takes."""
        super().__init__(highlight=False, **settings)
        self.secrets = secrets

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Render as rich does, and make each piece fit to be seen."""
        for one in super().render(renderable, options):
            text = one.text if one.control else printable(masked(one.text, self.secrets))
            yield Segment(text, one.style, one.control)


def asked(question: Question) -> Any:
    """Ask; keys that were typed before the question stood there are no answer to it.

    Raises KeyboardInterrupt where the user leaves.
    """
    forget_keys()
    return question.unsafe_ask()


def forget_keys() -> None:
    """Forget what was typed ahead, while something else was done."""
    with suppress(OSError, ValueError, termios.error):
        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def fold(text: str, console: Console) -> str:
    """Return prose folded at blanks where the terminal ends; unchanged where there is none."""
    if not console.is_terminal:
        return text
    return "\n".join(_folded(line, console.width) for line in text.splitlines())


def _folded(line: str, width: int, indent: int = 4) -> str:
    if len(line) <= width:
        return line
    return textwrap.fill(
        line,
        width,
        subsequent_indent=" " * (len(line) - len(line.lstrip()) + indent),
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def page(text: Text, console: Console) -> None:
    """Print `text`; on a terminal that it does not fit, through the user's pager."""
    if console.is_terminal and len(text.plain.splitlines()) > console.height - 2:
        # Colours, and back at once where it fits after all; what the user set stays.
        os.environ.setdefault("LESS", "-FRX")
        with console.pager(styles=not console.no_color):
            console.print(text, soft_wrap=True)
    else:
        console.print(text, soft_wrap=True)


def diff_line(line: str) -> Text:
    """Return a line of a unified diff in its colour."""
    return Text(line, next((s for start, s in _STYLES.items() if line.startswith(start)), ""))
