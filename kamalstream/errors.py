"""The one exception whose text is meant for the user."""

from __future__ import annotations


class BadInput(Exception):
    """Input that cannot be worked on; its text says what is wrong, where, and what to do.

    The command prints the text without a traceback and exits with code 2.
    """
