"""Runs git in an app. The standard library only: Copier's hooks use it too."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from kamalstream.errors import BadInput


def git(folder: Path, *arguments: str, given: str | None = None) -> str:
    """Return what `git ARGUMENTS` prints in `folder`, with `given` as its input.

    The user's own git hooks do not run. Raises BadInput with git's words where it fails.
    """
    return git_bytes(folder, *arguments, given=(given or "").encode()).decode("utf-8", "replace")


def git_bytes(
    folder: Path, *arguments: str, given: bytes = b"", index: Path | None = None
) -> bytes:
    """Do the same with bytes; `index` is used in place of the repository's own index."""
    result = subprocess.run(
        ["git", "-c", f"core.hooksPath={os.devnull}", *arguments],
        cwd=folder,
        input=given,
        capture_output=True,
        env={**os.environ, **({"GIT_INDEX_FILE": str(index)} if index else {})},
        check=False,
    )
    if result.returncode:
        said = result.stderr.decode("utf-8", "replace").strip()
        raise BadInput(f"git {arguments[0]} failed in {folder}: {said or result.returncode}")
    return result.stdout


def names(folder: Path, *arguments: str) -> list[str]:
    """Return the paths that a git command with `-z` prints, as they stand below `folder`."""
    return sorted({name for name in git(folder, *arguments).split("\0") if name})


def committed(app: Path, file: str) -> bytes | None:
    """Return the content of `file` (relative to `app`) in the last commit, None without it."""
    try:
        return git_bytes(app, "show", f"HEAD:./{file}")
    except BadInput:
        return None
