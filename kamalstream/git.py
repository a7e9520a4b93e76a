"""Runs git in an app. The standard library only: Copier's hooks use it too."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
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


# What git would run because a repository's own settings say so, which come with a copied folder.
_NOTHING_RUNS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "protocol.ext.allow": "never",
    "safe.bareRepository": "explicit",
    "submodule.recurse": "false",
}
# Those of them that have names of their own, or that the user's own settings may have for good
# reasons: pattern of the key → what it is where the repository sets it.
_WHERE_SET = {
    r"core\.(askpass|gitproxy|alternaterefscommand)": "",
    r"core\.sshcommand": "ssh",
    r"credential\.(.*\.)?helper": "",
    r"filter\..*\.(clean|smudge|process)": "",
    r"filter\..*\.required": "false",
    r"merge\..*\.driver": "git merge-file --marker-size=%L %A %O %B",
}


def git(folder: Path, *arguments: str, given: str | None = None) -> str:
    """Return what `git ARGUMENTS` prints in `folder`, with `given` as its input.

    Neither hooks nor what else the repository's settings name are run, and nothing is fetched.
    Raises BadInput with git's words where it fails.
    """
    return git_bytes(folder, *arguments, given=(given or "").encode()).decode("utf-8", "replace")


def git_bytes(
    folder: Path, *arguments: str, given: bytes = b"", index: Path | None = None
) -> bytes:
    """Do the same with bytes; `index` is used in place of the repository's own index."""
    result = _run(folder, arguments, harmless(folder), given, index)
    if result.returncode:
        said = result.stderr.decode("utf-8", "replace").strip()
        raise BadInput(f"git {arguments[0]} failed in {folder}: {said or result.returncode}")
    return result.stdout


def _run(
    folder: Path,
    arguments: tuple[str, ...],
    settings: dict[str, str],
    given: bytes = b"",
    index: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        input=given,
        capture_output=True,
        env={
            **os.environ,
            **as_environment(settings),
            "GIT_ALLOW_PROTOCOL": "",
            **({"GIT_INDEX_FILE": str(index)} if index else {}),
        },
        check=False,
    )


@cache
def harmless(folder: Path) -> dict[str, str]:
    """Return settings under which git runs no program that the repository of `folder` names.

    What the user has set for all repositories stays, for it is their own.
    """
    listed = ("config", "--list", "--show-scope", "--name-only", "-z")
    fields = _run(folder, listed, _NOTHING_RUNS).stdout.decode("utf-8", "replace").split("\0")
    own = [
        key
        for scope, key in zip(fields[::2], fields[1::2], strict=False)
        if scope in ("local", "worktree")
    ]
    found = {
        key: value
        for key in own
        for pattern, value in _WHERE_SET.items()
        if re.fullmatch(pattern, key, re.IGNORECASE)
    }
    return {**found, **_NOTHING_RUNS}


def as_environment(settings: dict[str, str]) -> dict[str, str]:
    """Return the variables that have git, and the programs that run it, use the `settings`."""
    count = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    variables = {"GIT_CONFIG_COUNT": str(count + len(settings))}
    for number, (name, value) in enumerate(settings.items(), count):
        variables[f"GIT_CONFIG_KEY_{number}"] = name
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables


@contextmanager
def settings_for_copier(app: Path) -> Iterator[None]:
    """Have git work with `_FOR_COPIER`, and run nothing of the repository of `app`."""
    before = dict(os.environ)
    os.environ.update(as_environment({**harmless(app), **_FOR_COPIER}))
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


def below_top(folder: Path) -> str:
    """Return where `folder` is in its repository; empty for the top, and where there is none."""
    try:
        return git(folder, "rev-parse", "--show-prefix").strip().rstrip("/")
    except (BadInput, OSError):
        return ""


def committed(app: Path, file: str) -> bytes | None:
    """Return the content of `file` (relative to `app`) in the last commit, None without it."""
    try:
        return git_bytes(app, "show", f"HEAD:./{file}")
    except BadInput:
        return None
