"""Is the SQLite on both sides of the databases free of a bug that loses commits."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.version import InvalidVersion, Version

from kamalstream.check.finding import Finding
from kamalstream.facts import LITESTREAM, WAL_RESET
from kamalstream.inspect.adopted import App
from kamalstream.inspect.gemfile_lock import FILE as GEMFILE_LOCK

_GEM = WAL_RESET["gem"]


def check(app: App) -> Iterator[Finding]:
    """Yield which of the app and Litestream still has SQLite's WAL-reset bug.

    It takes two connections of which one begins the write-ahead log anew, as an app and the
    Litestream beside it are (https://sqlite.org/wal.html#walresetbug).
    """
    bug = (
        f"a bug that can damage a database which two programs write to, as the app and Litestream "
        f"do; SQLite {WAL_RESET['fixed']} mends it (https://sqlite.org/wal.html#walresetbug)"
    )
    if has_bug(app.lockfile.gems.get("sqlite3")):
        yield Finding(
            "sqlite.wal-reset",
            "warning",
            GEMFILE_LOCK,
            app.line_of(GEMFILE_LOCK, r"^    sqlite3 \("),
            f"the gem sqlite3 {app.lockfile.gems['sqlite3']} brings an SQLite with {bug}",
            f"bundle update --conservative sqlite3\nWhere that brings no {_GEM} or newer, the "
            f'Gemfile holds it back: gem "sqlite3", ">= {_GEM}"',
        )
    if app.series in WAL_RESET["litestream"]:
        yield Finding(
            "sqlite.wal-reset",
            "warning",
            LITESTREAM,
            0,
            f"Litestream {app.series} brings an SQLite with {bug}",
            "kamalstream update --data litestream_version=0.5\n"
            "Then: kamal accessory reboot litestream && kamal deploy",
        )


def has_bug(gem: str | None) -> bool:
    """Tell whether the gem sqlite3 of version `gem` has it; False for a version of another form."""
    try:
        return gem is not None and Version(gem) < Version(_GEM)
    except InvalidVersion:
        return False
