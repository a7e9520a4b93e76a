"""What happens in an app when Copier itself renders the template.

Everything imported below, directly or not, is the standard library or comes with Copier: a plain
`copier copy` has nothing else.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from kamalstream import atomic
from kamalstream.errors import BadInput
from kamalstream.facts import EXECUTABLES
from kamalstream.printable import printable


def say(text: object = "") -> None:
    """Print other people's text too, so that no terminal acts on it."""
    print(printable(str(text)))


def unharmed(work: Callable[[], object]) -> int:
    """Do `work`; return 0. A failure in it is said, and does not undo what Copier wrote."""
    try:
        work()
    except BadInput as error:
        say(f"kamalstream: {error}")
    except Exception:
        traceback.print_exc()
        say("kamalstream: the files are written, but a step after that failed. Please report it.")
    return 0


def make_executable(app: Path) -> None:
    """Give the programs of the template, where they are in `app`, their mode."""
    for file in EXECUTABLES:
        if (app / file).is_file():
            path = atomic.place(app, file)
            path.chmod(path.stat().st_mode | 0o111)
