"""Is this folder an app that the template can be rendered into."""

from __future__ import annotations

from pathlib import Path

from kamalstream.facts import APPLICATION_RB
from kamalstream.inspect.database_yml import production_databases


def refusal(app: Path) -> str | None:
    """Return why the folder `app` cannot take the template, in one or two lines, or None.

    Refused are: what is no Rails app, an app without Gemfile.lock (its image cannot be built), and
    one whose production databases are all of another kind than SQLite.
    """
    if not (app / APPLICATION_RB).is_file():
        return (
            f"{app} is not a Rails app (it has no {APPLICATION_RB}).\n"
            "Run this in the folder of your app."
        )
    if not (app / "Gemfile.lock").is_file():
        return (
            f"{app} has no Gemfile.lock, and the image is built from it.\n"
            "Run `bundle install`, commit Gemfile.lock, and run this again."
        )
    opened = production_databases(app)
    if opened.other and not opened.sqlite and not opened.unreadable:
        adapters = ", ".join(sorted(set(opened.other.values())))
        return (
            f"production of {app} runs on {adapters}, not on SQLite (config/database.yml).\n"
            "Litestream backs up SQLite databases: there is nothing here for it to do."
        )
    return None
