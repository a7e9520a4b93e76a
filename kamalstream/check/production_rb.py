"""Has config/environments/production.rb the settings that this deployment relies on."""

from __future__ import annotations

from collections.abc import Iterator

from kamalstream.check.finding import Finding
from kamalstream.edit.production_rb import ASSUME_SSL, FORCE_SSL, edit
from kamalstream.edit.wanted import wanted_settings
from kamalstream.facts import PRODUCTION_RB
from kamalstream.inspect.adopted import App
from kamalstream.regular_file import read_bytes


def check(app: App) -> Iterator[Finding]:
    """Yield the settings that are missing, or that the owner of the app chose differently."""
    path = app.root / PRODUCTION_RB
    if not path.is_file():
        message = "the file is not there"
        fix = f"git checkout HEAD -- {PRODUCTION_RB}, or: kamalstream init"
        yield Finding("production.missing", "error", PRODUCTION_RB, 0, message, fix)
        return
    outcome = edit(read_bytes(path), wanted_settings(app.root))
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
