"""Carries over what the owner of an app has in a file that the template replaces."""

from __future__ import annotations

import re
from collections.abc import Callable

from kamalstream.facts import DEPLOY, DOCKERFILE, ENTRYPOINT, LITESTREAM, SECRETS
from kamalstream.render.carry_deploy import deploy
from kamalstream.render.lost import Lost
from kamalstream.render.own_instructions import own_instructions

DOCKERIGNORE = ".dockerignore"
_ADDED = "# Carried over from the file that was here before."
# A quoted value may have several lines.
_ASSIGNMENT = re.compile(
    r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)="
    r"((?:\"(?:[^\"\\]|\\.)*\"(?=\s|\Z)|'[^']*'(?=\s|\Z))?.*)",
    re.MULTILINE,
)

# What Rails 7.1 to 8.2 generate, by the beginning of the line.
_STOCK = {
    LITESTREAM: re.compile(
        r"dbs:|replicas?:$|(- )?type: s3$|(access-key-id|secret-access-key): *\$"
    ),
    ENTRYPOINT: re.compile(
        r"set -e$|fi$|if \[ .*(LD_PRELOAD|libjemalloc|\./bin/rails.*server)"
        r"|export LD_PRELOAD|LD_PRELOAD=|\./bin/rails db:prepare$|exec \"\$\{?@\}?\"$"
    ),
}


def over(file: str, before: str, after: str) -> tuple[str, list[Lost]]:
    """Return the rendered text `after` with the owner's additions, and those without room in it.

    `before` is what the app has in `file` (relative to the Rails root) now.
    """
    carriers: dict[str, Callable[[str, str], tuple[str, list[Lost]]]] = {
        DEPLOY: deploy,
        SECRETS: _secrets,
        DOCKERIGNORE: _dockerignore,
    }
    if file in carriers:
        return carriers[file](before, after)
    if file == DOCKERFILE:
        own = own_instructions(before, after)
        return after, [Lost(file, line, _short(text), "") for line, text in own]
    if file in _STOCK:
        return after, _gone(file, before, after)
    return after, _first_gone(file, before, after)


def _secrets(before: str, after: str) -> tuple[str, list[Lost]]:
    """Keep the assignments of other names, and those that they are made of."""
    ours = {found[1] for found in _ASSIGNMENT.finditer(after)}
    theirs = [
        (before.count("\n", 0, found.start()) + 1, found[0], found[1], found[2])
        for found in _ASSIGNMENT.finditer(before)
    ]
    needed = {name for _, _, name, _ in theirs} - ours
    while True:
        used = {
            name
            for _, _, user, value in theirs
            if user in needed
            for name in re.findall(r"\$\{?(\w+)", value)
        }
        used &= {name for _, _, name, _ in theirs}
        if used <= needed:
            break
        needed |= used
    kept = [
        line for _, line, name, _ in theirs if name in needed and f"\n{line}\n" not in f"\n{after}"
    ]
    lost = [
        Lost(SECRETS, number, f"{name}=…", "read by .kamal/read_secrets.rb now: see there")
        for number, line, name, value in theirs
        if name not in needed
        and line not in after
        and not re.search(rf"master\.key|\$\{{?{name}\}}?[\"']?$|credentials:fetch", value)
    ]
    return _added(after, kept), lost


def _dockerignore(before: str, after: str) -> tuple[str, list[Lost]]:
    """Keep the patterns that are not there. They come last, so that they decide as they did."""
    here = {line.strip().rstrip("/*").removeprefix("/") for line in after.splitlines()}
    kept = [
        line
        for line in before.splitlines()
        if line.strip()
        and not line.startswith("#")
        and line.strip().rstrip("/*").removeprefix("/") not in here
    ]
    return _added(after, kept), []


def _added(text: str, lines: list[str]) -> str:
    if not lines:
        return text
    return "\n".join([text.rstrip("\n"), "", _ADDED, *lines]) + "\n"


def _gone(file: str, before: str, after: str) -> list[Lost]:
    """Return the lines of `before` that neither `after` nor Rails' generator has."""

    def plain(line: str) -> str:
        # Litestream's databases are the same below another root.
        return _plain(re.sub(r"^(\s*- path: ).*/", r"\1", line))

    here = {plain(line) for line in after.splitlines()}
    return [
        Lost(file, number, _short(line.strip()), "")
        for number, line in enumerate(before.splitlines(), 1)
        if line.strip()
        and not line.strip().startswith("#")
        and plain(line) not in here
        and not _STOCK[file].match(line.strip())
    ]


def _first_gone(file: str, before: str, after: str) -> list[Lost]:
    """Name the first line of `before` that is not in `after`: of prose and programs, it tells."""
    here = {line.strip() for line in after.splitlines()}
    lines = [line.strip() for line in before.splitlines()]
    gone = [(n, line) for n, line in enumerate(lines, 1) if line and line not in here]
    more = f"and {len(gone) - 1} more" if len(gone) > 1 else ""
    return [Lost(file, number, _short(line), more) for number, line in gone[:1]]


def _plain(text: str) -> str:
    return re.sub(r"[\s\"']+", " ", text).strip()


def _short(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:160]}…"
