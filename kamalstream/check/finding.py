"""What a check says, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing a check found.

    `id` is stable and may be relied on by scripts; `file` is relative to the Rails root and `line`
    counts from 1 (0: the file as a whole, or no file); `message` says what is wrong, `fix` what to
    do about it (empty for a note that asks for nothing).
    """

    id: str
    level: Level
    file: str
    line: int
    message: str
    fix: str = ""


def ok(findings: Iterable[Finding]) -> bool:
    """Return whether none of `findings` is an error."""
    return all(finding.level != "error" for finding in findings)


def as_json(app: Path, findings: Sequence[Finding]) -> str:
    """Return the one JSON object that `kamalstream check --format json` prints; no line is null."""
    said = [{**asdict(finding), "line": finding.line or None} for finding in findings]
    answer = {"app": str(app), "ok": ok(findings), "findings": said}
    return json.dumps(answer, indent=2)


#: Level → the command of a GitHub workflow.
_ANNOTATIONS = {"error": "error", "warning": "warning", "note": "notice"}


def as_github(folder: str, findings: Sequence[Finding]) -> str:
    """Return the findings as commands of a GitHub workflow, which annotate the lines they are of.

    `folder` is where the app is below the root of the repository, "" for the root itself. Source:
    docs.github.com, "Workflow commands for GitHub Actions"; what is escaped is from its toolkit,
    packages/core/src/command.ts.
    """
    return "\n".join(_annotation(folder, finding) for finding in findings)


def _annotation(folder: str, finding: Finding) -> str:
    place = {
        "file": f"{folder}/{finding.file}".lstrip("/") if finding.file else "",
        "line": str(finding.line or ""),
        "title": finding.id,
    }
    said = ",".join(f"{name}={_escaped(value, ',:')}" for name, value in place.items() if value)
    text = "\n→ ".join([finding.message, *finding.fix.splitlines()])
    return f"::{_ANNOTATIONS[finding.level]} {said}::{_escaped(text)}"


def _escaped(text: str, more: str = "") -> str:
    return "".join(f"%{ord(one):02X}" if one in f"%\r\n{more}" else one for one in text)


def as_text(findings: Sequence[Finding]) -> str:
    """Return the findings grouped by file, the worst first in each, without colour.

    A remedy that findings one below the other share is printed once.
    """
    lines: list[str] = []
    said = ""
    for file in dict.fromkeys(finding.file for finding in findings):
        lines.append(file or "the app as a whole")
        here = [finding for finding in findings if finding.file == file]
        for finding in sorted(here, key=lambda f: (LEVELS.index(f.level), f.line)):
            place = f"line {finding.line}: " if finding.line else ""
            lines.append(f"  {finding.level}: {place}{finding.message} [{finding.id}]")
            fix = "as above" if finding.fix and finding.fix == said else finding.fix
            lines.extend(f"    → {line}" for line in fix.splitlines())
            said = finding.fix or said
    return "\n".join(lines)


def summary(findings: Sequence[Finding]) -> str:
    """Return the counts in words: `2 errors, 1 warning`."""
    counts = [(sum(f.level == level for f in findings), level) for level in LEVELS]
    words = [f"{count} {level}{'s' if count > 1 else ''}" for count, level in counts if count]
    return ", ".join(words) or "nothing to say"
