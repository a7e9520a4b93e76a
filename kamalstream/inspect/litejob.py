"""The queue of the gem litestack: a SQLite file that config/database.yml does not name.

litestack 0.4: Litejobqueue::DEFAULT_OPTIONS, Litesupport.detect_root, Liteconnection#configure.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from kamalstream import yaml_input
from kamalstream.errors import BadInput
from kamalstream.facts import RAILS_ROOT
from kamalstream.inspect.code_lines import code_lines
from kamalstream.inspect.gemfile_lock import gemfile_lock
from kamalstream.inspect.ruby_expression import Environment
from kamalstream.regular_file import read_text

#: What its database is called, and where its file is written down.
NAME = "litejob"
#: The first is where the gem looks; apps that have the other read it themselves.
_FILES = ("litejob.yml", "config/litejob.yml")
_USED = re.compile(r"\bqueue_adapter\s*=\s*:litejob\b|\binclude\s+(?:::)?Litejob\b")


def litejob(app: Path, env: Environment, root: str = RAILS_ROOT) -> dict[str, str]:
    """Return NAME → the file of the queue where the app in the folder `app` uses it, else nothing.

    `env` are the variables of a deployment, `root` is where Rails lives in its image; the file is a
    path below that, or absolute. A folder that is not known counts as the default.
    """
    if "litestack" not in gemfile_lock(app).gems:
        return {}
    files = [file for folder in ("config", "app") for file in (app / folder).rglob("*.rb")]
    if not any(_USED.search(code) for file in files for _, code in code_lines(file)):
        return {}
    environment = env.get("RAILS_ENV") or "production"
    folder = env.get("LITESTACK_DATA_PATH") or "./db"
    path = _written(app, environment) or posixpath.join(folder, environment, "queue.sqlite3")
    return {NAME: posixpath.normpath(posixpath.join(root, path)).removeprefix(f"{root}/")}


def litejob_yml(app: Path) -> str:
    """Return the file that names the queue's, below the folder of the app."""
    return next((file for file in _FILES if (app / file).is_file()), _FILES[0])


def _written(app: Path, environment: str) -> str | None:
    file = litejob_yml(app)
    try:
        loaded = yaml_input.load(read_text(app / file), file)
    except (OSError, ValueError, BadInput):
        return None
    settings = loaded.get(environment, loaded) if isinstance(loaded, dict) else {}
    path = settings.get("path") if isinstance(settings, dict) else None
    return path if isinstance(path, str) else None
