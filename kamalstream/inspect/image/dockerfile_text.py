"""The instructions of a Dockerfile and the lines they stand on, as Docker reads them.

Source: BuildKit, frontend/dockerfile/parser (continuations, comments and empty lines within them,
`# escape=`, heredocs).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_WORD = re.compile(r"(?:[^\s\"'\\]|\\.|\"(?:[^\"\\]|\\.)*\"|'[^']*'|[\"'\\])+", re.DOTALL)
_HEREDOC = re.compile(r"\d*<<(-?)([^<]+)")
# RUN <<EOF: what follows is the script itself.
_BEFORE_SCRIPT = re.compile(r"^(?:--\S+\s+)*(?:<<-?[\"']?[A-Za-z_]\w*[\"']? )?")
_WITH_HEREDOC = {"ADD", "COPY", "RUN", "ONBUILD"}


@dataclass(frozen=True)
class Instruction:
    """One instruction, on the lines `line` to `end` (from 1).

    `word` is in capitals. `head` is the rest of it, joined to one line; `body` is that and the
    lines of its heredocs, a `;` after each.
    """

    line: int
    end: int
    word: str
    head: str
    body: str

    @property
    def script(self) -> str:
        """The commands of a RUN, without its options."""
        return _BEFORE_SCRIPT.sub("", self.body, count=1)


def parse(text: str) -> Iterator[Instruction]:
    """Yield the instructions of the Dockerfile `text`."""
    lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    escape = _escape(lines)
    continued = re.compile(rf"(?:(?<!{escape})|^){escape}[ \t]*$")
    at = 0
    while at < len(lines):
        start = end = at
        at += 1
        if _is_nothing(lines[start]):
            continue
        parts = [continued.sub("", lines[start]).strip()]
        more = continued.search(lines[start])
        while more and at < len(lines):
            line = lines[at]
            at += 1
            if not _is_nothing(line):
                parts.append(continued.sub("", line).strip())
                more = continued.search(line)
                end = at - 1
        word, _, head = " ".join(parts).partition(" ")
        word = word.upper()
        scripts: list[str] = []
        for name, tabs in _heredocs(head) if word in _WITH_HEREDOC else ():
            while at < len(lines):
                line = lines[at]
                end = at
                at += 1
                if (line.lstrip("\t") if tabs else line) == name:
                    break
                if not _is_nothing(line):
                    bare = line.strip()
                    scripts.append(bare.removesuffix("\\") if bare.endswith("\\") else f"{bare};")
        head = head.strip()
        yield Instruction(start + 1, end + 1, word, head, " ".join([head, *scripts]).strip())


def words(text: str) -> list[str]:
    """Return the words of `text` as they stand there, quotes and all."""
    return _WORD.findall(text)


def unquoted(word: str) -> str:
    """Return a word without its quotes and backslashes."""
    return re.sub(
        r"\"((?:[^\"\\]|\\.)*)\"|'([^']*)'|\\(.)", lambda m: m[1] or m[2] or m[3] or "", word
    )


def _escape(lines: list[str]) -> str:
    for line in lines:
        directive = _DIRECTIVE.match(line.strip())
        if not directive:
            break
        if directive[1].lower() == "escape":
            return re.escape(directive[2])
    return re.escape("\\")


def _is_nothing(line: str) -> bool:
    bare = line.strip()
    return not bare or bare.startswith("#")


def _heredocs(head: str) -> Iterator[tuple[str, bool]]:
    """Yield the name that ends each heredoc, and whether tabs before it are taken away."""
    for word in words(head):
        match = _HEREDOC.fullmatch(word)
        if match:
            yield unquoted(match[2]), bool(match[1])
