"""What is mounted in a container that Kamal starts."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kamalstream.inspect.kamal.values import texts

#: Tells file and line of a path of keys.
Line = Callable[..., tuple[str, int]]


@dataclass(frozen=True)
class Mount:
    """A volume, or a folder of the server, in a container.

    `source` is empty for an anonymous volume, which does not outlive its container; `target` has
    no slash at its end. `str(mount)` is the form of `volumes:`.
    """

    source: str
    target: str
    options: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        """Return SOURCE:TARGET[:OPTIONS]."""
        return ":".join(filter(None, (self.source, self.target, self.options)))

    @property
    def folder(self) -> bool:
        """Whether the source is a folder of the server and not a volume that Docker names."""
        return self.source.startswith(("/", ".", "~", "$"))


def mount_of(mounts: Iterable[Mount], path: str) -> Mount | None:
    """Return the mount that holds the absolute container path `path`: the longest target."""
    path = posixpath.normpath(path)
    holding = [
        one for one in mounts if path == one.target or path.startswith(one.target.rstrip("/") + "/")
    ]
    return max(holding, key=lambda one: len(one.target), default=None)


def volume(written: str, file: str = "", line: int = 0) -> Mount:
    """Return the mount that `docker run --volume` makes of SOURCE:TARGET[:OPTIONS] or TARGET."""
    source, found, rest = written.partition(":")
    if not found:
        source, rest = "", written
    target, _, options = rest.partition(":")
    return Mount(source, posixpath.normpath(target), options, file, line)


def _mount_option(written: str, file: str, line: int) -> Mount | None:
    """Return the mount that `docker run --mount` makes of type=…,source=…,target=…."""
    parts = dict([*part.split("=", 1), ""][:2] for part in written.split(","))
    named = {key.strip().lower(): value.strip() for key, value in parts.items()}
    target = named.get("target") or named.get("destination") or named.get("dst")
    if not target or named.get("type", "volume") not in ("volume", "bind"):
        return None
    read_only = any(named.get(key) in ("", "true", "1") for key in ("readonly", "ro"))
    source = named.get("source") or named.get("src") or ""
    return Mount(source, posixpath.normpath(target), "ro" if read_only else "", file, line)


def mounts_of_options(options: Mapping[str, Any], line: Line) -> tuple[Mount, ...]:
    """Return the mounts among options of `docker run` (Kamal::Utils.optionize)."""
    volumes = [volume(one, *line("volume")) for one in texts(options.get("volume"))]
    mounts = [_mount_option(one, *line("mount")) for one in texts(options.get("mount"))]
    return (*volumes, *(one for one in mounts if one))
