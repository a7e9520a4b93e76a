"""Are jobs, cached values and broadcasts kept: is each of the Solid gems there whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from packaging.version import InvalidVersion, Version

from kamalstream.check.deployed import deployments
from kamalstream.check.finding import Finding
from kamalstream.edit.production_rb import CACHE_STORE, QUEUE_ADAPTER, Setting
from kamalstream.edit.wanted import OF_SOLID
from kamalstream.facts import APPLICATION_RB, DATABASE_YML, PRODUCTION_RB
from kamalstream.inspect.adopted import App
from kamalstream.inspect.code_lines import code_lines
from kamalstream.inspect.database_yml import with_further
from kamalstream.inspect.railties import loads
from kamalstream.inspect.solid import CABLE_YML, Solid, cable_adapter

_PUMA = "config/puma.rb"
_PLUGIN = 'plugin :solid_queue if ENV["SOLID_QUEUE_IN_PUMA"]'
# What the gems of today ask for in their gemspecs: 1.7, 1.0 and 4.1.
_SINCE = {"solid_queue": "7.1", "solid_cache": "7.2", "solid_cable": "7.2"}
# As their installers write it.
_TOLD_BY = {
    "solid_queue": (
        PRODUCTION_RB,
        "config.solid_queue.connects_to = { database: { writing: :queue } }",
    ),
    "solid_cache": ("config/cache.yml", "production:\n  database: cache"),
    "solid_cable": (
        CABLE_YML,
        "production:\n  connects_to:\n    database:\n      writing: cable",
    ),
}
_BROADCASTS = re.compile(r"\b(?:broadcast\w*|stream_from|stream_for|turbo_stream_from)\b")


@dataclass(frozen=True)
class _Lacking:
    """A gem that does not do its work, and what is said of it."""

    solid: Solid
    said: Finding


def check(app: App) -> Iterator[Finding]:
    """Yield what is lost or fails for want of a Solid gem, or of a part of it."""
    lacking = [*_settings(app), *_cable(app)]
    remedy = _remedy(app, [one.solid for one in lacking])
    for one in lacking:
        fix = f"Recommended:\n{remedy}" if one.said.level == "note" else remedy
        yield one.said if one.said.fix else replace(one.said, fix=fix)
    yield from _untold(app)


def _settings(app: App) -> Iterator[_Lacking]:
    for setting in (CACHE_STORE, QUEUE_ADAPTER):
        solid = app.inspected.solid[OF_SOLID[setting]]
        if solid.works or not solid.loaded or _is_untold(app, solid):
            continue
        line = app.line_of(PRODUCTION_RB, rf"^\s*config\.{re.escape(setting.name)}\b")
        live = _is_set(app, setting)
        if not solid.locked and live:
            message = f"needs the gem {solid.gem}, which is not in Gemfile.lock"
            yield _Lacking(solid, Finding("gems.missing", "error", PRODUCTION_RB, line, message))
        elif not solid.locked and _takes(app, solid):
            message = (
                f"config.{setting.name} is left as it is: the gem {solid.gem} is not in "
                "Gemfile.lock"
            )
            found = Finding("production.no-gem", "note", PRODUCTION_RB, line, message)
            yield _Lacking(solid, found)
        elif solid.locked:
            what = "every job" if setting is QUEUE_ADAPTER else "every write to the cache"
            rest = f"{what} fails" if live else f"config.{setting.name} is left as it is"
            yield _Lacking(solid, _half(solid, PRODUCTION_RB, line, rest))


def _cable(app: App) -> Iterator[_Lacking]:
    solid = app.inspected.solid["solid_cable"]
    adapter = cable_adapter(app.root)
    if solid.works or not loads(app.root, "action_cable/engine") or _is_untold(app, solid):
        return
    line = app.line_of(CABLE_YML, rf"^\s+adapter:\s*[\"']?{adapter}\b")
    if adapter == "solid_cable" and solid.locked:
        yield _Lacking(solid, _half(solid, CABLE_YML, line, "every broadcast fails"))
    elif adapter == "solid_cable":
        message = "needs the gem solid_cable, which is not in Gemfile.lock"
        yield _Lacking(solid, Finding("gems.missing", "error", CABLE_YML, line, message))
    elif adapter == "redis" and (why := _no_redis(app)):
        # One process serves all: `async` reaches whoever is connected.
        fix = "" if solid.loaded and _takes(app, solid) else "Write there: adapter: async"
        message = f"the first broadcast fails: {why}"
        found = Finding("cable.redis", "note", CABLE_YML, line, message, fix)
        yield _Lacking(solid, replace(found, level="warning") if _broadcasts(app) else found)


def _half(solid: Solid, file: str, line: int, rest: str) -> Finding:
    if not solid.tables:
        why = f"is in Gemfile.lock but not installed: no schema below db/ has its tables; {rest}"
    else:
        why = (
            f"keeps its tables in the database {solid.database}, and {DATABASE_YML} has none of "
            f"that name in production; {rest}"
        )
    return Finding("solid.not-installed", "warning", file, line, f"{solid.title} {why}")


def _no_redis(app: App) -> str:
    """Return why no Redis answers; empty where one may."""
    if "redis" not in app.lockfile.gems:
        return "it is for Redis, and the gem redis is not in Gemfile.lock"
    text = app.text(CABLE_YML) or ""
    urls = [one.variable("REDIS_URL") for one in deployments(app)]
    named = re.search(r"\bENV\b[^\n]*REDIS_URL", text) and re.search(
        r"localhost|127\.0\.0\.1", text
    )
    if named and urls and not any(url is None or url for url in urls):
        return "no REDIS_URL is set, and no Redis answers at localhost in the container"
    return ""


def _broadcasts(app: App) -> bool:
    """Whether code of the app sends or awaits broadcasts."""
    files = (file for file in (app.root / "app").rglob("*") if file.suffix in (".rb", ".erb"))
    return any(_BROADCASTS.search(line) for file in files for _, line in code_lines(file))


def _is_set(app: App, setting: Setting) -> bool:
    said = re.compile(rf"^\s*config\.{re.escape(setting.name)}\s*=\s*{setting.value}\b")
    files = (APPLICATION_RB, PRODUCTION_RB)
    return any(said.match(code) for file in files for _, code in code_lines(app.root / file))


def _takes(app: App, solid: Solid) -> bool:
    """Whether the gem can be had for the app's version of Rails."""
    try:
        return Version(app.inspected.rails_version or "") >= Version(_SINCE[solid.gem])
    except InvalidVersion:
        return False


def _remedy(app: App, gems: Sequence[Solid]) -> str:
    """Return how to have all of `gems`: commands, each a line, and what goes into which file."""
    add = [one.gem for one in gems if not one.locked]
    install = [f"{one.gem}:install" for one in gems if not (one.locked and one.tables)]
    lines = [f"bundle add {' '.join(add)}"] * bool(add)
    lines += [f"bin/rails {' '.join(install)}"] * bool(install)
    opened = app.opened
    there = {*opened.sqlite, *opened.other, *opened.unread}
    names = [one.database if one.told and one.database else one.own for one in gems]
    further = {name: f"storage/production_{name}.sqlite3" for name in names if name not in there}
    if further:
        lines += [f"In {DATABASE_YML}:", with_further(app.root, further).rstrip()]
    in_puma = any(re.match(r"\s*plugin\b.*\bsolid_queue\b", line) for line in _puma(app))
    if any(one.gem == "solid_queue" for one in gems) and not in_puma:
        lines += [f"In {_PUMA}:", _PLUGIN]
    return "\n".join([*lines, "Then: kamalstream init again"])


def _puma(app: App) -> list[str]:
    return [code for _, code in code_lines(app.root / _PUMA)]


def _is_untold(app: App, solid: Solid) -> bool:
    has = solid.own in solid.holders and solid.own in app.opened.sqlite
    return solid.locked and solid.loaded and has and not solid.told and not solid.works


def _untold(app: App) -> Iterator[Finding]:
    """A Solid gem looks for its tables in the primary database unless it is told otherwise."""
    for gem, (file, line) in _TOLD_BY.items():
        solid = app.inspected.solid[gem]
        if _is_untold(app, solid):
            yield Finding(
                f"production.{solid.own}-database",
                "warning",
                file,
                app.line_of(file, r"queue_adapter|^production:"),
                f"production has a {solid.own} database, but {solid.title} is not told to use it: "
                "it looks for its tables in the primary one",
                f"Write: {line}",
            )
