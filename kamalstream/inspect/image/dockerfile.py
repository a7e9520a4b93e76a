"""What an app's own Dockerfile says: instructions, variables and Debian packages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kamalstream.inspect.image.dockerfile_text import parse
from kamalstream.regular_file import read_text

FILE = "Dockerfile"
_INSTALL = re.compile(r"\bapt(?:-get)?\s+(?:-\S+\s+)*install\s+([^&;|]*)")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]+(?:[:=][\w.+:~-]+)?")
# Commands and what separates them; quoted, a separator is none.
_SHELL = re.compile(r"&&|;|(?:'[^']*'|\"(?:[^\"\\]|\\.)*\"|\\.|(?!&&|;).)+", re.DOTALL)
# RUN <<EOF: what follows is the script itself.
_SCRIPT = re.compile(r"^((?:--\S+ )*)<<-?[\"']?[A-Za-z_]\w*[\"']? ")
_SOURCE = re.compile(r"/etc/apt/sources|\badd-apt-repository\b|deb\.nodesource\.com/setup")


@dataclass(frozen=True)
class DockerfilePackages:
    """Packages of the image itself, and of the stages that only build something for it."""

    image: tuple[str, ...] = ()
    build: tuple[str, ...] = ()


def instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line (from 1), instruction in capitals and the rest of it, joined to one line."""
    for one in parse(text):
        body = _SCRIPT.sub(r"\1", one.body) if one.word == "RUN" else one.body
        yield one.line, one.word, body


def env_pairs(body: str) -> dict[str, str]:
    """Return the variables of an ENV instruction."""
    name, _, value = body.partition(" ")
    if "=" not in name:
        # The older form without = holds one variable.
        return {name: value.strip().strip("\"'")}
    pairs = re.findall(r"(\w+)=(\"(?:[^\"\\]|\\.)*\"|'[^']*'|\S*)", body)
    return {key: text.strip("\"'") for key, text in pairs}


def commands(run: str) -> Iterator[tuple[str, str, bool]]:
    """Yield what stands before each command of a RUN, the command, and whether it is sourced.

    That is: whether a command before it gave apt another source than Debian's.
    """
    sourced = False
    before = ""
    for part in _SHELL.findall(run):
        if part in ("&&", ";"):
            before = part
        elif part.strip():
            yield before, part.strip(), sourced
            sourced = sourced or bool(_SOURCE.search(part))


def dockerfile_env(app: Path) -> dict[str, str]:
    """Return the variables that the Dockerfile in the folder `app` sets in any of its stages."""
    variables: dict[str, str] = {}
    for _, word, body in instructions(_text(app)):
        if word == "ENV":
            variables |= env_pairs(body)
    return variables


def dockerfile_args(app: Path) -> dict[str, str]:
    """Return the arguments of the Dockerfile in the folder `app` that have a default."""
    said = [body.partition("=") for _, word, body in instructions(_text(app)) if word == "ARG"]
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in said if equals}


def dockerfile_runs(app: Path, said: str) -> bool:
    """Tell whether a RUN of the Dockerfile in the folder `app` has the text `said` in it."""
    return any(word == "RUN" and said in body for _, word, body in instructions(_text(app)))


def dockerfile_packages(app: Path) -> DockerfilePackages:
    """Return what the Dockerfile in the folder `app` installs from Debian."""
    stages: dict[str, list[str]] = {}
    parents: dict[str, str] = {}
    stage = ""
    for _, word, body in instructions(_text(app)):
        start = re.match(r"(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", body, re.IGNORECASE)
        if word == "FROM" and start:
            stage = (start[2] or "").lower() or f"stage {len(stages)}"
            parents[stage] = start[1].lower()
            stages[stage] = []
        elif stage and word == "RUN":
            debian = " ; ".join(command for _, command, sourced in commands(body) if not sourced)
            words = " ".join(_INSTALL.findall(debian)).split()
            stages[stage] += [word for word in words if _PACKAGE.fullmatch(word)]
    image: list[str] = []
    while stage in stages:
        image += stages.pop(stage)
        stage = parents[stage]
    return DockerfilePackages(
        _sorted(image), _sorted([package for rest in stages.values() for package in rest])
    )


def _text(app: Path) -> str:
    try:
        return read_text(app / FILE, "replace")
    except OSError:
        return ""


def _sorted(packages: list[str]) -> tuple[str, ...]:
    return tuple(sorted(set(packages)))
