"""Is a conflict of a merge left in a file: whatever else is said of that file hangs on it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kamalstream.check.finding import Finding
from kamalstream.facts import (
    APPLICATION_RB,
    DATABASE_YML,
    EXECUTABLES,
    LITESTREAM,
    MAY_BE_OWN,
    PRODUCTION_RB,
    READ_SECRETS,
)
from kamalstream.inspect.adopted import App

_FILES = (
    *MAY_BE_OWN,
    *EXECUTABLES,
    *(LITESTREAM, READ_SECRETS, DATABASE_YML, PRODUCTION_RB, APPLICATION_RB),
)
_MARK = r"<<<<<<< "


def check(app: App) -> Iterator[Finding]:
    """Yield one finding for each file with both sides of a conflict in it."""
    destinations = app.kamal.files if app.kamal else ()
    for file in dict.fromkeys((*_FILES, *destinations)):
        lines = (app.text(file) or "").splitlines()
        marked = [number for number, line in enumerate(lines, 1) if re.match(_MARK, line)]
        if marked and any(line.startswith(">>>>>>> ") for line in lines):
            more = f", and {len(marked) - 1} more" if len(marked) > 1 else ""
            yield Finding(
                "file.conflict",
                "error",
                file,
                marked[0],
                f"a conflict begins here{more}: both sides stand in the file, up to >>>>>>>",
                f"Keep what is right and take out the three marks. Then: git add {file}",
            )
