"""The facts that templates, checks, tests and docs share, read from the YAML files beside."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parent
# libyaml's takes a tenth of the time, which every command and hook spends when it starts.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_own(text: str) -> Any:
    """Return what the YAML `text` of a file of the template's says; raise yaml.YAMLError."""
    return yaml.load(text, _LOADER)


def _load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = read_own((_FOLDER / f"{name}.yml").read_text("utf-8"))
    return loaded


PROVIDERS = _load("providers")
VERSIONS = _load("versions")
LITESTREAM_KEYS = _load("litestream")
IMAGE = _load("image")
REPLICATION = _load("replication")
_DATABASES = _load("databases")
DEFAULT_DATABASES: dict[str, str] = _DATABASES["default"]
EPHEMERAL: frozenset[str] = frozenset(_DATABASES["ephemeral"])
#: SQLite's WAL-reset bug: the release that mends it, and who brings an older one.
WAL_RESET: dict[str, Any] = _DATABASES["wal_reset"]

#: Where Rails lives in the image that the template renders, and where its volume is mounted.
RAILS_ROOT = "/rails"
STORAGE = f"{RAILS_ROOT}/storage"

# Files of an app, relative to its Rails root.
ANSWERS = ".copier-answers.yml"
#: What `copier copy` was told, until the hook after it has read the app.
NEW_ANSWERS = ".copier-answers.new.yml"
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
ONE_WRITER = "bin/one-writer"
RESTORE = "bin/restore"
# Rendered where uploaded files are copied too; the accessory that does it.
UPLOADS = "uploads"
COPY_UPLOADS = "bin/copy-uploads"
UPLOADED_FILES = "bin/uploaded-files"
RCLONE = "config/rclone.conf"
READ_SECRETS = ".kamal/read_secrets.rb"
GUIDE = "docs/DEPLOYMENT.md"
#: Rendered where the backups are to be verified on a schedule.
VERIFY_WORKFLOW = ".github/workflows/verify-backups.yml"
#: The last verification of the backups that went well; Rails keeps tmp/ out of git.
VERIFIED = "tmp/backups-verified.json"

#: Answer → what generators and recipes write where it belongs.
PLACEHOLDERS = {
    "server_ip": ("192.168.0.1", "YOUR_SERVER_IP"),
    "domain": ("app.example.com",),
    "registry_username": ("your-user", "your-username", "my-user"),
}

#: Secrets that the containers need to reach the bucket; Litestream reads them by these names.
BUCKET_KEYS = ("LITESTREAM_ACCESS_KEY_ID", "LITESTREAM_SECRET_ACCESS_KEY")

#: Rendered whole where they are as `rails new` or `kamal init` wrote them, else edited in place.
OWNABLE = (DOCKERFILE, ENTRYPOINT, DEPLOY, SECRETS, DOCKERIGNORE)
#: What `own_files` may name: the guide too, where its owner has one that is called like ours.
MAY_BE_OWN = (*OWNABLE, GUIDE)
#: What must not get into the image, for everyone who can pull it.
NEVER_IN_THE_IMAGE = (
    "config/master.key",
    "config/credentials/production.key",
    SECRETS,
    ".env",
    "storage/production.sqlite3",
    ".git/config",
)
#: Ours alone, and started in containers.
PROGRAMS = (BOOT_RESTORE, ONE_WRITER, RESTORE)
#: What containers start.
EXECUTABLES = (ENTRYPOINT, *PROGRAMS, COPY_UPLOADS, UPLOADED_FILES)


def litestream_of(destination: str) -> str:
    """Return the Litestream configuration of a destination that is not the main one."""
    return f"config/litestream.{destination}.yml"


def rclone_of(destination: str) -> str:
    """Return the rclone configuration of a destination that is not the main one."""
    return f"config/rclone.{destination}.conf"


def data_volumes(answers: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the volumes ("SOURCE:TARGET") that hold the databases of the main deployment."""
    given = answers.get("volumes") or ()
    storage = in_container("storage", answers.get("rails_root") or RAILS_ROOT)
    return tuple(map(str, given)) or (f"{answers.get('app_name')}_storage:{storage}",)


def in_container(path: str, rails_root: str = RAILS_ROOT) -> str:
    """Return the database `path` (below the Rails root, or absolute) as containers see it."""
    return posixpath.join(rails_root, path)


def backed_up(databases: Mapping[str, str], backup_ephemeral: bool) -> dict[str, str]:
    """Return those of `databases` (name → path below the Rails root) that Litestream replicates.

    The others (`EPHEMERAL`) are left out on purpose, unless `backup_ephemeral`.
    """
    return {
        name: path for name, path in databases.items() if backup_ephemeral or name not in EPHEMERAL
    }
