"""Who owns a folder of the image: what a new volume that is mounted there takes over.

Docker copies the owner of the image's folder onto a volume that is still empty; where the image
has no such folder, the volume is root's. Whoever cannot be told counts as a stranger.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable
from fnmatch import fnmatchcase

from kamalstream.inspect.image.built import Stage, Stages, Step, operands
from kamalstream.inspect.image.dockerfile import commands
from kamalstream.inspect.image.dockerfile_text import unquoted

#: Nobody that we know of.
STRANGER = "?"
_OPTIONS = re.compile(r"((?:--\S+\s+)*)")


def folder_owner(
    stages: Stages, path: str, context_has: Callable[[str], bool], stage: Stage | None = None
) -> str | None:
    """Return the uid that owns the folder `path` in the image; None where it is not there.

    `context_has` says whether something below a folder of the app gets into the build; `stage` is
    the one to look into, by default the final one.
    """
    looked_into = stage or stages.final
    owner: str | None = None
    for one, step in stages.steps(looked_into):
        word = step.instruction.word
        if word == "WORKDIR" and owner is None:
            made = step.path(step.instruction.head)
            owner = "0" if made and _is_in(made, path) else None
        elif word in ("COPY", "ADD"):
            owner = _copied(stages, one, step, path, owner, context_has)
        elif word == "RUN":
            owner = _run(stages, step, path, owner)
    return owner


def _is_in(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def _copied(
    stages: Stages,
    stage: Stage,
    step: Step,
    path: str,
    owner: str | None,
    context_has: Callable[[str], bool],
) -> str | None:
    head = step.instruction.head
    *sources, target = operands(head) or [""]
    place = step.path(target) if sources else None
    options = _OPTIONS.match(head)
    chown = re.search(r"--chown=(\S+)", options[1]) if options else None
    for source in sources:
        filled = step.fill(unquoted(source))
        if place is None or filled is None or not _is_in(path, place):
            continue
        below = posixpath.relpath(path, place)
        origin = stages.source(stage, step)
        if isinstance(origin, Stage):
            from_path = posixpath.normpath(posixpath.join("/", filled, below))
            there = folder_owner(stages, from_path, context_has, origin) is not None
        elif origin is None and not re.search(r"[*?\[]", filled):
            from_path = posixpath.normpath(posixpath.join(filled.lstrip("/"), below))
            there = from_path != "." and context_has(from_path)
        else:
            continue
        if there and below == ".":
            owner = owner or STRANGER
        elif there and chown:
            owner = _uid(stages, step.fill(unquoted(chown[1])))
        elif there:
            owner = STRANGER if origin else "0"
    return owner


def _run(stages: Stages, step: Step, path: str, owner: str | None) -> str | None:
    folder = step.workdir
    user = _uid(stages, step.user)
    for _, command, _ in commands(step.instruction.script):
        try:
            said = shlex.split(command, comments=True)
        except ValueError:
            continue
        ends = [at for at, word in enumerate(said) if re.match(r"\|\|?$|&$|\d*[<>]", word)]
        said = said[: min(ends, default=len(said))]
        if not said:
            continue
        program, plain = said[0], [word for word in said[1:] if not word.startswith("-")]
        flags = "".join(word for word in said[1:] if re.fullmatch(r"-[A-Za-z]+", word))
        if program == "cd" and plain:
            folder = _path(step, folder, plain[0])
        elif program == "rm" and re.search("[rR]", flags):
            owner = None if any(_covers(step, folder, word, path) for word in plain) else owner
        elif program == "mkdir" and owner is None:
            made = [_path(step, folder, word) for word in plain]
            owner = user if any(one and _is_in(one, path) for one in made) else None
        elif program == "chown" and owner is not None and plain:
            recursive = "R" in flags or "--recursive" in said
            places = [word for word in plain[1:] if _covers(step, folder, word, path)]
            if not recursive:
                places = [word for word in places if _path(step, folder, word) == path]
            owner = _uid(stages, step.fill(plain[0])) if places else owner
    return owner


def _path(step: Step, folder: str | None, word: str) -> str | None:
    filled = step.fill(word)
    if filled is None or (folder is None and not filled.startswith("/")):
        return None
    return posixpath.normpath(posixpath.join(folder or "/", filled))


def _covers(step: Step, folder: str | None, word: str, path: str) -> bool:
    """Whether `word` names, perhaps with `*`, the folder `path` or one that it lies in."""
    named = _path(step, folder, word)
    if named is None:
        return False
    ours, theirs = path.strip("/").split("/"), [part for part in named.split("/") if part]
    return len(theirs) <= len(ours) and all(
        fnmatchcase(one, pattern) and (pattern.startswith(".") or not one.startswith("."))
        for one, pattern in zip(ours, theirs, strict=False)
    )


def _uid(stages: Stages, user: str | None) -> str:
    uid = stages.accounts.numbers(user)[0] if user and not user.startswith(":") else None
    return STRANGER if uid is None else str(uid)
