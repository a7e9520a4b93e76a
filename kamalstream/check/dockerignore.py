"""Docker's own matching of .dockerignore patterns."""

from __future__ import annotations

import posixpath
import re


def excluded(text: str, path: str) -> bool:
    """Return whether a .dockerignore of this `text` keeps `path` out of the build context.

    `path` is relative to the context. As Docker does it (moby/patternmatcher): patterns are
    cleaned and anchored at the root, `*` and `?` stop at a slash, `**` does not, a directory's
    match covers what is in it, `!` takes back, and the last pattern that fits decides.
    """
    out = False
    for line in text.removeprefix("\ufeff").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        pattern = line.strip()
        back = pattern.startswith("!")
        pattern = posixpath.normpath(pattern.removeprefix("!").strip()).lstrip("/")
        if pattern == ".":
            continue
        if re.match(_expression(pattern), path):
            out = not back
    return out


def _expression(pattern: str) -> str:
    """Return the regular expression for `pattern`, fitting the path and all below it."""
    out = ""
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if pattern.startswith("**", at):
            at += 2
            if pattern.startswith("/", at):
                at += 1
                out += "(.*/)?"
            else:
                out += ".*"
            continue
        if character == "*":
            out += "[^/]*"
        elif character == "?":
            out += "[^/]"
        elif character == "[" and "]" in pattern[at + 2 :]:
            end = pattern.index("]", at + 2)
            inner = pattern[at + 1 : end].replace("\\", "\\\\")
            out += "[" + ("^" + inner[1:] if inner.startswith("^") else inner) + "]"
            at = end
        elif character == "\\" and at + 1 < len(pattern):
            at += 1
            out += re.escape(pattern[at])
        else:
            out += re.escape(character)
        at += 1
    return out + r"(/.*)?\Z"
