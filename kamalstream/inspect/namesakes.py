"""Files of an app's owner that are called like one that only the template has."""

from __future__ import annotations

from pathlib import Path

from kamalstream.facts import (
    ANSWERS,
    BOOT_RESTORE,
    COPY_UPLOADS,
    GUIDE,
    ONE_WRITER,
    RESTORE,
    UPLOADED_FILES,
)
from kamalstream.regular_file import read_text

#: What every release of the template has written near the top of each.
_OURS = {
    GUIDE: "[Kamal](https://kamal-deploy.org) builds this app",
    RESTORE: "# Brings databases back from their backups",
    BOOT_RESTORE: "# Brings back the databases that this server lacks",
    ONE_WRITER: "# Lets one server at a time write to a backup",
    COPY_UPLOADS: "# Copies the files that people upload",
    UPLOADED_FILES: "# Looks whether the uploaded files",
}


def namesakes(app: Path) -> tuple[str, ...]:
    """Return the files of facts.GUIDE and facts.PROGRAMS in `app` that are its owner's.

    Once there is an answers file, whatever is there was rendered.
    """
    if (app / ANSWERS).exists():
        return ()
    return tuple(file for file, mark in _OURS.items() if _is_another(app / file, mark))


def _is_another(path: Path, mark: str) -> bool:
    if not path.exists() and not path.is_symlink():
        return False
    try:
        return mark not in read_text(path, "replace")
    except OSError:
        return True
