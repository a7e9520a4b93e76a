"""Takes back what a refused `copier copy` has written."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from kamalstream.facts import ANSWERS


def remove_created(app: Path, template: Path) -> str:
    """Remove the files that this run of Copier created in `app`; return what to tell the user.

    Copier has no hook before it writes, so a destination that cannot be used is only seen
    afterwards. A file is removed only where it is certain that this run created it: it was born
    after `template`, the clone that Copier made for this run. What was there before stays; where
    the user let Copier replace it, its name is said.
    """
    files = [app / name for name in rendered_files(template)]
    present = [file for file in files if file.is_file()]
    # Only a clone is as young as the run; a template in a plain folder may be of any age.
    of_this_run = template.resolve().is_relative_to(Path(tempfile.gettempdir()).resolve())
    started = (template / "copier.yml").stat().st_mtime
    created = [f for f in present if of_this_run and (_born(f) or 0) >= started]
    for file in created:
        file.unlink()
    for folder in sorted({parent for f in created for parent in f.parents}, reverse=True):
        ours = folder != app and folder.is_relative_to(app) and (_born(folder) or 0) >= started
        if ours and not any(folder.iterdir()):
            folder.rmdir()
    replaced = [
        str(file.relative_to(app))
        for file in present
        if file not in created and file.stat().st_mtime >= started
    ]
    if replaced:
        names = " ".join(replaced)
        return f"These were replaced; `git checkout -- {names}` brings them back."
    return "Nothing was left behind."


def rendered_files(template: Path) -> list[str]:
    """Return the names, below the Rails root, of the files that the folder `template` renders."""
    source = template / "template"
    names = [
        ANSWERS if "_copier_conf" in path.name else str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_file()
    ]
    return sorted(name.removesuffix(".jinja") for name in names)


def _born(path: Path) -> float | None:
    """Return when `path` was created, in seconds since 1970, or None where that is not known."""
    born = getattr(path.stat(), "st_birthtime", None)
    if born is not None:
        return float(born)
    # Linux knows, but Python's os.stat does not ask (before 3.15).
    result = subprocess.run(
        ["stat", "--format", "%.W", path], capture_output=True, text=True, check=False
    )
    try:
        return float(result.stdout) or None
    except ValueError:
        return None
