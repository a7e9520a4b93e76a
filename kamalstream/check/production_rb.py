"""Has config/environments/production.rb the settings that this deployment relies on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kamalstream.check.finding import Finding
from kamalstream.edit.production_rb import ASSUME_SSL, FORCE_SSL, edit
from kamalstream.edit.wanted import wanted_settings, without_gem
from kamalstream.facts import APPLICATION_RB, PRODUCTION_RB
from kamalstream.inspect.adopted import App


def check(app: App) -> Iterator[Finding]:
    """Yield the settings that are missing, or that the owner of the app chose differently."""
    path = app.root / PRODUCTION_RB
    if not path.is_file():
        message = "the file is not there"
        yield Finding("production.missing", "error", PRODUCTION_RB, 0, message, "copier recopy")
        return
    outcome = edit(path.read_bytes(), wanted_settings(app.root))
    if outcome.refused:
        yield Finding(
            "production.unsure",
            "warning",
            PRODUCTION_RB,
            0,
            f"could not be read with certainty: {outcome.refused}",
            f"Make sure that these lines are in it:\n{outcome.paste.rstrip()}",
        )
    for change in outcome.changed:
        yield Finding(
            "production.setting",
            "warning",
            PRODUCTION_RB,
            0,
            f"config.{change.setting.name} is not set to {change.setting.value}",
            f"Write: {change.setting.line}",
        )
    for left in outcome.left:
        yield Finding(
            "production.chosen",
            "warning" if left.setting in (ASSUME_SSL, FORCE_SSL) else "note",
            PRODUCTION_RB,
            left.line,
            f"left as you wrote it ({left.why}): {left.stands}",
            left.write and f"Recommended: {left.write}",
        )
    for setting, gem in without_gem(app.root).items():
        yield Finding(
            "production.no-gem",
            "note",
            PRODUCTION_RB,
            app.line_of(PRODUCTION_RB, rf"^\s*config\.{re.escape(setting.name)}\b"),
            f"config.{setting.name} is left as it is: the gem {gem} is not in Gemfile.lock",
            f"Recommended: bundle add {gem}, then {setting.line}",
        )
    yield from _queue_database(app)


def _queue_database(app: App) -> Iterator[Finding]:
    """Solid Queue looks for its tables in the primary database unless it is told otherwise."""
    if "solid_queue" not in app.lockfile.gems or "queue" not in app.opened.sqlite:
        return
    told = re.compile(r"^\s*config\.solid_queue\.connects_to\b", re.MULTILINE)
    if not any(told.search(app.text(file) or "") for file in (PRODUCTION_RB, APPLICATION_RB)):
        yield Finding(
            "production.queue-database",
            "warning",
            PRODUCTION_RB,
            app.line_of(PRODUCTION_RB, r"queue_adapter"),
            "production has a queue database, but Solid Queue is not told to use it: it looks for "
            "its tables in the primary one",
            "Write: config.solid_queue.connects_to = { database: { writing: :queue } }",
        )
