"""Is this folder an app that the template can be rendered into."""

from __future__ import annotations

import re
from pathlib import Path

from kamalstream.facts import APPLICATION_RB, DATABASE_YML
from kamalstream.inspect.database_yml import production_databases
from kamalstream.inspect.railties import loads


def refusal(app: Path) -> str | None:
    """Return why the folder `app` cannot take the template, in one or two lines, or None.

    Refused are: what is no Rails app, an app without Gemfile.lock (its image cannot be built), and
    one without Active Record or whose production databases are all of another kind than SQLite.
    """
    if not (app / APPLICATION_RB).is_file():
        below = _apps_below(app)
        where = f"There is one in {' and in '.join(below)}: run" if below else "Run"
        return (
            f"{app} is not a Rails app (it has no {APPLICATION_RB}).\n"
            f"{where} this in the folder of your app."
        )
    if not (app / "Gemfile.lock").is_file():
        return (
            f"{app} has no Gemfile.lock, and the image is built from it.\n"
            "Run `bundle install`, commit Gemfile.lock, and run this again."
        )
    if not loads(app, "active_record/railtie") and not (app / DATABASE_YML).exists():
        return (
            f"{app} has no Active Record ({APPLICATION_RB} does not load it, and there is no "
            f"{DATABASE_YML}).\nLitestream backs up SQLite databases: there is nothing here for it "
            "to do."
        )
    opened = production_databases(app)
    if opened.other and not opened.sqlite and not opened.unreadable:
        adapters = ", ".join(sorted(set(opened.other.values())))
        return (
            f"production of {app} runs on {adapters}, not on SQLite (config/database.yml).\n"
            "Litestream backs up SQLite databases: there is nothing here for it to do."
        )
    return None


def _apps_below(folder: Path) -> list[str]:
    """Return the Rails apps one or two folders further in."""
    found = [*folder.glob(f"*/{APPLICATION_RB}"), *folder.glob(f"*/*/{APPLICATION_RB}")]
    names = sorted(file.parent.parent.relative_to(folder).as_posix() for file in found)
    # Those that an engine is tested with are deployed by nobody.
    return [f"{name}/" for name in names if not re.search(r"\b(?:dummy|node_modules)\b", name)]
