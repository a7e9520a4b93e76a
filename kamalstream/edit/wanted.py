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
from kamalstream.inspect.gemfile_lock import gemfile_lock
from kamalstream.inspect.railties import uses_active_storage

_NEEDS_GEM = {QUEUE_ADAPTER: "solid_queue", CACHE_STORE: "solid_cache"}


def wanted_settings(app: Path) -> tuple[Setting, ...]:
    """Return the settings for the Rails app in the folder `app`.

    Rails would not boot with a setting whose gem is not in Gemfile.lock, or whose railtie
    config/application.rb does not load: those are left out.
    """
    return tuple(
        setting
        for setting in DEFAULT
        if setting not in without_gem(app)
        and (setting is not ACTIVE_STORAGE or uses_active_storage(app))
    )


def new_settings(app: Path, last: str) -> tuple[Setting, ...]:
    """Return those of `wanted_settings` that came after the release `last` (PEP 440)."""
    return tuple(one for one in wanted_settings(app) if Version(one.since) > Version(last))


def without_gem(app: Path) -> dict[Setting, str]:
    """Return the settings that the app in the folder `app` lacks a gem for, and the gem."""
    gems = gemfile_lock(app).gems
    return {setting: gem for setting, gem in _NEEDS_GEM.items() if gem not in gems}
