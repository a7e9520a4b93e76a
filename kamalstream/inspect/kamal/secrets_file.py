"""Reads .kamal/secrets* as Kamal does: dotenv's format (dotenv 3.2, Dotenv::Parser::LINE)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(
    r"""
    ^\s*(?P<export>export\s+)?(?P<name>[\w.]+)
    (?:(?:\s*=\s*?|:\s+?)(?P<value>\s*'(?:\\'|[^'])*'|\s*"(?:\\"|[^"])*"|[^\#\n]+)?)?
    \s*(?:\#.*)?$
    """,
    re.VERBOSE | re.MULTILINE | re.ASCII,
)


@dataclass(frozen=True)
class Assignment:
    """A name that is set on the lines `line` to `end_line` (from 1).

    `value` is what stands there, quotes and all; `start` is where it begins in `normal(text)`.
    """

    name: str
    value: str
    line: int
    end_line: int
    start: int

    @property
    def quote(self) -> str:
        """The quote that the value is in: `"`, `'` or nothing."""
        quoted = re.fullmatch(r"(['\"]).*\1", self.value, re.DOTALL)
        return quoted[1] if quoted else ""

    @property
    def is_literal(self) -> bool:
        """Whether the value itself stands there, and not where to get it."""
        bare = self.value.strip("\"'")
        return bool(bare) and (self.quote == "'" or "$" not in self.value)


def assignments(text: str) -> list[Assignment]:
    """Return what a file of secrets sets, in its order; a name may be there more than once."""
    plain = normal(text)
    found = []
    for match in _LINE.finditer(plain):
        if match["value"] is None and match["export"]:
            # Dotenv only checks that this one is set.
            continue
        raw = match["value"] or ""
        start = match.end("name") if match["value"] is None else match.start("value")
        start += len(raw) - len(raw.lstrip())
        value = raw.strip()
        line = plain.count("\n", 0, match.start("name")) + 1
        end = plain.count("\n", 0, start + len(value)) + 1
        found.append(Assignment(match["name"], value, line, end, start))
    return found


def normal(text: str) -> str:
    """Return `text` as dotenv reads it: without a BOM, every line ending in LF."""
    return re.sub(r"\r\n?", "\n", text.removeprefix("\ufeff"))
