"""Docker's own matching of .dockerignore patterns (moby/patternmatcher, as BuildKit walks)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class _Pattern:
    """One line: `fits` a path, and what fits is taken `back` (a line with `!`) or left out."""

    back: bool
    fits: Callable[[str], bool]


def excluded(text: str, path: str) -> bool:
    """Return whether a .dockerignore of this `text` keeps `path` out of the build context."""
    return verdict(text, path)[0]


def verdict(text: str, path: str) -> tuple[bool, int]:
    """Return whether `path` is kept out, and the line (from 1) that decides it; 0 where none does.

    `path` is relative to the context. The last pattern that fits the path or a folder above it
    decides. A pattern is only tried where it would change something, also for the folders above:
    so `!config` does not bring back what `config/*.key` left out.
    """
    lines = _lines(text)
    patterns = [_pattern(line) for _, line in lines]
    above = [False] * len(patterns)
    out, by = False, 0
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        here = "/".join(parts[:depth])
        out, by = False, 0
        for index, pattern in enumerate(patterns):
            if not above[index]:
                above[index] = pattern.back == out and pattern.fits(here)
            if above[index]:
                out, by = not pattern.back, lines[index][0]
    return out, by


def patterns(text: str) -> list[str]:
    """Return the patterns of a .dockerignore, cleaned as Docker cleans them."""
    return [pattern for _, pattern in _lines(text)]


def _lines(text: str) -> list[tuple[int, str]]:
    """Return the patterns and their lines (moby/patternmatcher: ignorefile.ReadAll)."""
    cleaned = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        pattern = line.strip()
        if line.startswith("#") or pattern in ("", "!"):
            continue
        back = pattern.startswith("!")
        pattern = posixpath.normpath(pattern.removeprefix("!").strip())
        cleaned.append((number, "!" * back + (pattern.lstrip("/") or "/")))
    return cleaned


def _pattern(line: str) -> _Pattern:
    """Read a pattern: `*` and `?` stop at a slash, `**` does not (Pattern.compile)."""
    text = line.removeprefix("!")
    expression, kind, at = "", "exact", 0
    while at < len(text):
        character = text[at]
        first = at == 0
        at += 1
        if character == "*" and text.startswith("*", at):
            at += 2 if text.startswith("/", at + 1) else 1
            if at < len(text):
                expression += "(.*/)?"
                kind = "expression"
            elif kind == "exact":
                kind = "beginning"
            else:
                expression += ".*"
                kind = "expression"
            if first:
                kind = "end"
            continue
        if character == "\\" and at < len(text):
            expression += re.escape(text[at])
            at += 1
        elif character in "*?":
            expression += "[^/]" + ("*" if character == "*" else "")
        elif character in "[]":
            expression += character
        else:
            # Not in a set: there, - and ^ mean what they mean to Docker.
            expression += re.escape(character) if character in ".+()|{}$" else character
            continue
        kind = "expression"
    return _Pattern(line.startswith("!"), _matcher(kind, text, expression))


def _matcher(kind: str, text: str, expression: str) -> Callable[[str], bool]:
    if kind == "exact":
        return lambda path: path == text
    if kind == "beginning":
        return lambda path: path.startswith(text[:-2])
    if kind == "end":
        return lambda path: path.endswith(text[2:]) or "/" + path == text[2:]
    try:
        compiled = re.compile(expression + r"\Z", re.DOTALL)
    except re.error:
        # Docker refuses to build with it.
        return lambda path: False
    return lambda path: compiled.match(path) is not None
