"""Which of the production.rb settings an app can have."""

from __future__ import annotations

from pathlib import Path

from packaging.version import Version

from kamalstream.edit.production_rb import (
    ACTIVE_STORAGE,
    CACHE_STORE,
    DEFAULT,
    QUEUE_ADAPTER,
    Setting,
)
from kamalstream.inspect.railties import loads
from kamalstream.inspect.solid import solid_gems

#: The gem that each of these settings hands the work to.
OF_SOLID = {CACHE_STORE: "solid_cache", QUEUE_ADAPTER: "solid_queue"}


def wanted_settings(app: Path) -> tuple[Setting, ...]:
    """Return the settings for the Rails app in the folder `app`.

    Rails would not boot with a setting whose railtie config/application.rb does not load, and no
    job and no cached value would be kept by a gem that is not installed: those are left out.
    """
    solid = solid_gems(app)
    return tuple(
        setting
        for setting in DEFAULT
        if (setting not in OF_SOLID or solid[OF_SOLID[setting]].works)
        and (setting is not ACTIVE_STORAGE or loads(app, "active_storage/engine"))
    )


def new_settings(app: Path, last: str) -> tuple[Setting, ...]:
    """Return those of `wanted_settings` that came after the release `last` (PEP 440)."""
    return tuple(one for one in wanted_settings(app) if Version(one.since) > Version(last))
