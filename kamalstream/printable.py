"""Other people's text, fit to be printed. The standard library only: Copier's hooks use it too."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return `text` with what a terminal would act on, or not show, as an escape: \x1b.

    That is every character that Unicode does not call printable, but for tabs and line ends.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\t\n" else _escaped(one) for one in text)


def shown(value: object, most: int = 60) -> str:
    """Return `value` for a message: on one line, cut after `most` characters."""
    text = str(value)
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(one if one.isprintable() else _escaped(one) for one in cut)


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode()
