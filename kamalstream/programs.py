"""Finds the real programs: Kamal, Litestream, hadolint, SeaweedFS and what the system has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path


def _folders() -> list[Path]:
    """Folders to look in: PATH as the user set it, then where wheels put programs."""
    scripts = Path(sys.executable).parent
    on_path = [Path(entry) for entry in os.get_exec_path() if entry]
    return [*on_path, scripts, scripts.parent / "litestream-0.3" / "bin"]


def find(name: str) -> Path | None:
    """Return the program called `name`, or None where the machine has none.

    PATH comes first, so that what the user runs by hand is what is run here.
    """
    found = shutil.which(name, path=os.pathsep.join(map(str, _folders())))
    return Path(found) if found else None


def litestream(series: str) -> Path | None:
    """Return a Litestream of the release series `series` ("0.5" or "0.3"), or None.

    The two series neither read each other's configuration nor (0.3) each other's backups, so the
    first program on PATH is not good enough: `litestream version` decides.
    """
    for folder in _folders():
        program = folder / "litestream"
        if os.access(program, os.X_OK) and litestream_version(program).startswith(series + "."):
            return program
    return None


@cache
def litestream_version(program: Path) -> str:
    """Return what `litestream version` says, without the `v` that 0.3 puts before it."""
    result = subprocess.run([program, "version"], capture_output=True, text=True, check=False)
    return result.stdout.strip().removeprefix("v")
