"""What a check found, on a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console
from rich.style import Style
from rich.text import Text

from kamalstream.check.finding import Finding, as_text
from kamalstream.render.source import every_check
from kamalstream.terminal import fold


def linked(findings: Sequence[Finding], console: Console) -> Text:
    """Return the findings, folded; on a terminal the id of each links to docs/checks.md."""
    text = Text(fold(as_text(findings), console))
    page = every_check() if console.is_terminal else ""
    for found in re.finditer(r"\[([a-z][\w.-]*)\]$", text.plain, re.M) if page else ():
        # What GitHub and GitLab make of a heading.
        anchor = re.sub(r"[^\w-]", "", found[1])
        text.stylize(Style(link=f"{page}#{anchor}"), *found.span(1))
    return text
