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
LITESTREAM_KEYS = _load("litestream")
IMAGE = _load("image")
DEFAULT_DATABASES: dict[str, str] = _load("databases")["default"]
EPHEMERAL: frozenset[str] = frozenset(_load("databases")["ephemeral"])

#: Where Rails lives in the image that the template renders, and where its volume is mounted.
RAILS_ROOT = "/rails"
STORAGE = f"{RAILS_ROOT}/storage"

# Files of an app, relative to its Rails root.
ANSWERS = ".copier-answers.yml"
APPLICATION_RB = "config/application.rb"
DATABASE_YML = "config/database.yml"
PRODUCTION_RB = "config/environments/production.rb"
DOCKERFILE = "Dockerfile"
DOCKERIGNORE = ".dockerignore"
ENTRYPOINT = "bin/docker-entrypoint"
DEPLOY = "config/deploy.yml"
SECRETS = ".kamal/secrets"
# Ours alone.
LITESTREAM = "config/litestream.yml"
BOOT_RESTORE = "bin/boot-restore"
RESTORE = "bin/restore"
READ_SECRETS = ".kamal/read_secrets.rb"
GUIDE = "docs/DEPLOYMENT.md"

#: Rendered whole where they are as `rails new` or `kamal init` wrote them, else edited in place.
OWNABLE = (DOCKERFILE, ENTRYPOINT, DEPLOY, SECRETS, DOCKERIGNORE)
#: What the container starts.
EXECUTABLES = (ENTRYPOINT, BOOT_RESTORE, RESTORE)


def backed_up(databases: Mapping[str, str], backup_ephemeral: bool) -> dict[str, str]:
    """Return those of `databases` (name → path below the Rails root) that Litestream replicates.

    The others (`EPHEMERAL`) are left out on purpose, unless `backup_ephemeral`.
    """
    return {
        name: path for name, path in databases.items() if backup_ephemeral or name not in EPHEMERAL
    }
