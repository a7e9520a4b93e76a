"""How a command ends early: the one exception whose text is meant for the user, and Ctrl-C."""

from __future__ import annotations

#: The exit code after Ctrl-C.
INTERRUPTED = 130


class BadInput(Exception):
    """Input that cannot be worked on; its text says what is wrong, where, and what to do.

    The command prints the text without a traceback and exits with code 2.
    """


class Interrupted(Exception):
    """Ctrl-C or Ctrl-D; its text says what was changed by then. The exit code is INTERRUPTED."""
