"""What CHANGELOG.md says about the releases between two versions."""

from __future__ import annotations

import re
from itertools import zip_longest

from packaging.version import InvalidVersion, Version

_HEADING = re.compile(r"^## \[?([^\]\s]+)\]?.*$", re.MULTILINE)


def news(changelog: str, old: str, new: str) -> str:
    """Return the sections after the release `old`, up to `new`, newest first; "" for none.

    Versions are as Copier gives them (PEP 440); one between two releases (0.1.0.post3) stands for
    the release before it as `old`, and for what is unreleased too as `new`.
    """
    found = list(_HEADING.finditer(changelog))
    sections: list[str] = []
    for heading, following in zip_longest(found, found[1:]):
        end = following.start() if following else len(changelog)
        name = heading[1]
        if name == _release(old) or _is_before(name, old):
            break
        if _is_before(new, name):
            continue
        if name.lower() == "unreleased" and _release(new) == new.removeprefix("v"):
            continue
        text = re.sub(r"\n\[[^\]]+\]: \S+", "", changelog[heading.end() : end]).strip()
        if text:
            sections.append(f"{name}\n{_indented(text)}")
    return "\n\n".join(sections)


def _release(version: str) -> str:
    found = re.match(r"v?(\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?)", version)
    return found[1] if found else version


def _is_before(one: str, other: str) -> bool:
    """Whether `one` is a release before `other`. CHANGELOG.md may lack a section for either."""
    try:
        return Version(one) < Version(other)
    except InvalidVersion:
        return False


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines() if line.strip())
