"""How a command ends early: the one exception whose text is meant for the user, and Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

#: The exit code after Ctrl-C.
INTERRUPTED = 130


class BadInput(Exception):
    """Input that cannot be worked on; its text says what is wrong, where, and what to do.

    The command prints the text without a traceback and exits with code 2.
    """


class Interrupted(Exception):
    """Ctrl-C or Ctrl-D; its text says what was changed by then. The exit code is INTERRUPTED."""


@contextmanager
def leaving_says(changed: str) -> Iterator[None]:
    """What is left with Ctrl-C or Ctrl-D inside is left with the text `changed`.

    Raises Interrupted. Outside, the command says that nothing was changed.
    """
    try:
        yield
    except (KeyboardInterrupt, EOFError):
        raise Interrupted(changed) from None
