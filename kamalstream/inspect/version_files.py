"""The files in which version managers keep the versions of languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kamalstream.regular_file import read_text

MISE = ("mise.toml", ".mise.toml", ".config/mise.toml", "mise/config.toml", ".mise/config.toml")


@dataclass(frozen=True)
class Stated:
    """A version as a file states it, with the place."""

    text: str
    file: str
    line: int


def own_file(app: Path, file: str) -> Iterator[Stated]:
    """Yield the first line with content of a file such as .ruby-version."""
    for number, line in lines_of(app, file):
        content = line.split("#")[0].strip()
        if content:
            yield Stated(content, file, number)
            return


def managers(app: Path, names: tuple[str, ...]) -> Iterator[Stated]:
    """Yield what .tool-versions (asdf) and mise's files say of the tool with one of the `names`."""
    for number, line in lines_of(app, ".tool-versions"):
        words = line.split("#")[0].split()
        if len(words) > 1 and words[0] in names:
            yield Stated(words[1], ".tool-versions", number)
    for file in MISE:
        in_tools = False
        for number, line in lines_of(app, file):
            if line.lstrip().startswith("["):
                in_tools = bool(re.match(r"\s*\[\s*tools\s*\]", line))
                continue
            pair = re.match(r"\s*\"?([\w:-]+)\"?\s*=\s*(.+)", line)
            if in_tools and pair and pair[1].removeprefix("core:") in names:
                # A string, a list of them (the first is the default), or a table with a version.
                version = re.match(r"(?:\[|\{.*?\bversion\s*=)?\s*[\"']([^\"']+)[\"']", pair[2])
                yield Stated(version[1] if version else pair[2].strip(), file, number)


def lines_of(app: Path, file: str) -> list[tuple[int, str]]:
    """Return the lines of a file of the app with their numbers; none where it cannot be read."""
    try:
        return list(enumerate(read_text(app / file).splitlines(), 1))
    except (OSError, UnicodeDecodeError):
        return []
