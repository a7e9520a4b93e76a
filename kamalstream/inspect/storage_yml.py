"""Where Active Storage keeps files: the service of production, by config/storage.yml."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kamalstream import yaml_input
from kamalstream.errors import BadInput
from kamalstream.regular_file import read_text

STORAGE_YML = "config/storage.yml"
_JOINED = re.compile(r"<%=\s*Rails\.root(?:\.join\(([^()]*)\)|\.to_s)?\s*%>")


@dataclass(frozen=True)
class StorageService:
    """One service of config/storage.yml.

    `kind` is what it says as `service:`, in lower case. `root` is the folder of a Disk service in
    the container, None where code decides it.
    """

    name: str
    kind: str
    root: str | None = None

    @property
    def on_disk(self) -> bool:
        """Whether its files lie on the disk of the server."""
        return self.kind == "disk"


def storage_service(app: Path, name: str | None, rails_root: str) -> StorageService | None:
    """Return the service `name` of the app in the folder `app`; None where it is not to be read.

    `rails_root` is where Rails lives in the container.
    """
    try:
        text = read_text(app / STORAGE_YML, "replace")
    except OSError:
        return None
    # ERB stands in values there; what kind of service it is hardly ever depends on it.
    rooted = _JOINED.sub(lambda found: _joined(found[1], rails_root), text)
    try:
        services: Any = yaml_input.load(re.sub(r"<%.*?%>", "ERB", rooted, flags=re.S), STORAGE_YML)
    except BadInput:
        return None
    entry = services.get(name) if isinstance(services, dict) else None
    if name is None or not isinstance(entry, dict) or "ERB" in str(entry.get("service")):
        return None
    root = str(entry.get("root") or "")
    known = root and "ERB" not in root
    kind = str(entry.get("service")).lower()
    return StorageService(name, kind, posixpath.join(rails_root, root) if known else None)


def path_of(key: str) -> str:
    """Return where a Disk service keeps the blob `key` (ActiveStorage::Service::DiskService)."""
    return f"{key[:2]}/{key[2:4]}/{key}"


def _joined(words: str | None, rails_root: str) -> str:
    parts = [part.strip() for part in (words or "").split(",") if part.strip()]
    if not all(re.fullmatch(r"([\"'])[^\"'#]*\1", part) for part in parts):
        return "<%= code %>"
    return posixpath.join(rails_root, *(part[1:-1] for part in parts))
