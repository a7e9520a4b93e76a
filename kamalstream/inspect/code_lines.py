"""Ruby files as lines of code without comments, for what stands on one line."""

from __future__ import annotations

import re
from pathlib import Path

from kamalstream.regular_file import read_text

# Up to a comment: strings are passed over, so that a # in one starts none.
_CODE = re.compile(
    r"(?:[^#'\"]|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|(?<!\s)#|['\"](?=[^'\"]*$))*"
)


def code_lines(path: Path) -> list[tuple[int, str]]:
    """Return number (from 1) and text of each line of the Ruby file that holds code.

    Without such a file there are none.
    """
    try:
        source = read_text(path, "replace")
    except OSError:
        return []
    lines = []
    in_comment = False
    for number, line in enumerate(source.splitlines(), 1):
        if line.rstrip() == "__END__":
            break
        if line.startswith(("=begin", "=end")):
            in_comment = line.startswith("=begin")
            continue
        code = _CODE.match(line)
        if not in_comment and code and code[0].strip() and not line.lstrip().startswith("#"):
            lines.append((number, code[0].rstrip()))
    return lines
