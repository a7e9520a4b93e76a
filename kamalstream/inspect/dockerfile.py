"""The Debian packages that an app's own Dockerfile installs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FILE = "Dockerfile"
_INSTALL = re.compile(r"\bapt(?:-get)?\s+(?:-\S+\s+)*install\s+([^&;|]*)")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]+(?:[:=][\w.+:~-]+)?")


@dataclass(frozen=True)
class DockerfilePackages:
    """Packages of the image itself, and of the stages that only build something for it."""

    image: tuple[str, ...] = ()
    build: tuple[str, ...] = ()


def dockerfile_packages(app: Path) -> DockerfilePackages:
    """Read the Dockerfile in the folder `app`; without one there are none."""
    try:
        source = (app / FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return DockerfilePackages()
    source = re.sub(r"^\s*#.*\n", "", source, flags=re.MULTILINE).replace("\\\n", " ")
    stages: dict[str, list[str]] = {}
    parents: dict[str, str] = {}
    stage = ""
    for line in source.splitlines():
        start = re.match(r"\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", line, re.IGNORECASE)
        if start:
            stage = (start[2] or "").lower() or f"stage {len(stages)}"
            parents[stage] = start[1].lower()
            stages[stage] = []
        elif stage and re.match(r"\s*RUN\s", line, re.IGNORECASE):
            words = " ".join(_INSTALL.findall(line)).split()
            stages[stage] += [word for word in words if _PACKAGE.fullmatch(word)]
    image: list[str] = []
    while stage in stages:
        image += stages.pop(stage)
        stage = parents[stage]
    return DockerfilePackages(
        _sorted(image), _sorted([package for rest in stages.values() for package in rest])
    )


def _sorted(packages: list[str]) -> tuple[str, ...]:
    return tuple(sorted(set(packages)))
