"""Runs git in an app. The standard library only: Copier's hooks use it too."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kamalstream.errors import BadInput

#: What names another repository than that of the folder: git sets them for a hook of its own.
ELSEWHERE = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
)
# Settings under which Copier merges everything. With the user's own it loses edits in files that
# core.excludesFile names, fails on names that core.quotePath leaves as they are, and makes a
# conflict as large as its file where git changes line ends.
_FOR_COPIER = {
    "core.attributesFile": os.devnull,
    "core.autocrlf": "false",
    "core.excludesFile": os.devnull,
    "core.hooksPath": os.devnull,
    "core.quotePath": "true",
    "core.safecrlf": "false",
    "init.templateDir": "",
    "status.showUntrackedFiles": "normal",
}


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


@contextmanager
def settings_for_copier() -> Iterator[None]:
    """Have git, and the programs that run it, work with `_FOR_COPIER` on top of the user's."""
    before = dict(os.environ)
    count = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    for number, (name, value) in enumerate(_FOR_COPIER.items(), count):
        os.environ[f"GIT_CONFIG_KEY_{number}"] = name
        os.environ[f"GIT_CONFIG_VALUE_{number}"] = value
    os.environ["GIT_CONFIG_COUNT"] = str(count + len(_FOR_COPIER))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def names(folder: Path, *arguments: str) -> list[str]:
    """Return the paths that a git command with `-z` prints, as they stand below `folder`."""
    return sorted({name for name in git(folder, *arguments).split("\0") if name})


def is_repository(folder: Path) -> bool:
    """Tell whether `folder` is in the work tree of a repository; False where there is no git."""
    try:
        return git(folder, "rev-parse", "--is-inside-work-tree").strip() == "true"
    except (BadInput, OSError):
        return False


def committed(app: Path, file: str) -> bytes | None:
    """Return the content of `file` (relative to `app`) in the last commit, None without it."""
    try:
        return git_bytes(app, "show", f"HEAD:./{file}")
    except BadInput:
        return None
