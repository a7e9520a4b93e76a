"""The facts that templates, checks, tests and docs share, read from the YAML files beside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parent


def _load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((_FOLDER / f"{name}.yml").read_text("utf-8"))
    return loaded


PROVIDERS = _load("providers")
VERSIONS = _load("versions")
LITESTREAM = _load("litestream")
IMAGE = _load("image")
DEFAULT_DATABASES: dict[str, str] = _load("databases")["default"]
EPHEMERAL: frozenset[str] = frozenset(_load("databases")["ephemeral"])

#: Where the volume is mounted, in the app's container and in the accessory's.
RAILS_ROOT = "/rails"


def backed_up(databases: Mapping[str, str], backup_ephemeral: bool) -> dict[str, str]:
    """Return those of `databases` (name → path below the Rails root) that Litestream replicates.

    The others (`EPHEMERAL`) are left out on purpose, unless `backup_ephemeral`.
    """
    return {
        name: path for name, path in databases.items() if backup_ephemeral or name not in EPHEMERAL
    }
