"""Whether a file is as its generator wrote it: `rails new` (7.1 and later) or `kamal init`.

The steps of the generators' own templates (stock_templates.py) are run over the file: what a flag
of the generator decides is the same throughout one file, so a file is stock only where one run of
the generator wrote all of it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kamalstream import facts
from kamalstream.inspect.stock_templates import APP_NAME, MEANS, Jump, Template, Value, templates
from kamalstream.regular_file import read_bytes


def is_stock(file: str, text: str) -> bool:
    """Tell whether `text` is as some `rails new` or `kamal init` wrote `file`.

    `file` is one of facts.OWNABLE (anything else is a KeyError). Aside from line ends, a byte order
    mark, blanks at the end of a line and blank lines at the end, only values may differ that the
    generator took from where it ran (name of the app, versions) or left to be filled in
    (`FILLED_IN` of stock_templates.py).
    """
    text = _plain(text.removeprefix("\ufeff"))
    return any(_matches(template, text) for template in templates(file))


def owned(app: Path) -> tuple[str, ...]:
    """Return the files of facts.OWNABLE in the folder `app` that have anything of their owner's.

    So has whatever is no regular file at its own place (a folder, a link) or cannot be read.
    """
    return tuple(file for file in facts.OWNABLE if _has_an_owner(app, file))


def _has_an_owner(app: Path, file: str) -> bool:
    path = app / file
    try:
        mode = path.lstat().st_mode
        # Also where the folder it is in is a link.
        if not stat.S_ISREG(mode) or os.path.realpath(path) != f"{os.path.realpath(app)}/{file}":
            return True
        return not is_stock(file, read_bytes(path).decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, UnicodeDecodeError):
        return True


def _plain(text: str) -> str:
    """Return `text` without what an editor or git may change by itself."""
    # Line by line: a pattern for blanks at line ends takes quadratic time on many blanks.
    return "\n".join(line.rstrip(" \t\r") for line in text.rstrip(" \t\r\n").split("\n"))


# --- Running them over a file ---------------------------------------------------------------------


def _matches(template: Template, text: str) -> bool:
    """Tell whether some flags make `template` write `text`, blank lines at the end aside.

    Tries both ways of a condition where it is met first; a wrong one ends at the next difference.
    """
    steps = template.steps
    end = len(text)
    text += "\n" * 8
    pending: list[tuple[int, int, dict[str, bool], str]] = [(0, 0, template.decided, "")]
    while pending:
        at, position, flags, app_name = pending.pop()
        while at < len(steps):
            step = steps[at]
            at += 1
            if isinstance(step, Jump):
                holds = _holds(step.unless, flags)
                if isinstance(holds, str):
                    pending.append((at - 1, position, {**flags, holds: True}, app_name))
                    flags = {**flags, holds: False}
                    at -= 1
                elif holds is step.negated:
                    at = step.to
                continue
            found = _found(step, text, position, app_name)
            if found is None:
                break
            if isinstance(step, Value) and step.name == APP_NAME:
                app_name = found
            position += len(found)
        else:
            if position >= end:
                return True
    return False


def _found(step: str | Value, text: str, position: int, app_name: str) -> str | None:
    """Return what `step` takes of `text` at `position`; None where it does not fit."""
    if isinstance(step, Value):
        if step.name != APP_NAME or not app_name:
            found = step.pattern.match(text, position)
            return found[0] if found else None
        step = app_name
    return step if text.startswith(step, position) else None


def _holds(condition: str, flags: dict[str, bool]) -> bool | str:
    """Return whether `condition` holds, or the name of a flag that decides and is not known."""
    for alternative in condition.split(" || "):
        for part in alternative.split(" && "):
            name = part.removeprefix("!")
            holds = _holds(MEANS[name], flags) if name in MEANS else flags.get(name, name)
            if isinstance(holds, str):
                return holds
            if holds == part.startswith("!"):
                break
        else:
            return True
    return False
