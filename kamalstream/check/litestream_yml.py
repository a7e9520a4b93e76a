"""Does Litestream read what stands in config/litestream.yml, and does it cover the databases."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from kamalstream import facts
from kamalstream.check.finding import Finding
from kamalstream.facts import LITESTREAM
from kamalstream.inspect.adopted import App, child, items, line, yaml_error

_DURATION = re.compile(r"([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+\Z")


def check(app: App) -> Iterator[Finding]:
    """Yield what is wrong with config/litestream.yml."""
    text = app.text(LITESTREAM)
    if text is None:
        yield Finding(
            "litestream.missing",
            "error",
            LITESTREAM,
            0,
            "the file is not there: nothing is backed up",
            "Run `copier recopy` to get it back.",
        )
        return
    if wrong := yaml_error(LITESTREAM, text):
        yield Finding("yaml.invalid", "error", LITESTREAM, wrong[0], wrong[1], "Mend that line.")
        return
    if app.litestream is None:
        message = "the file is no mapping with `dbs:` in it: nothing is backed up"
        yield Finding("litestream.empty", "error", LITESTREAM, 0, message, "Write dbs: entries.")
        return
    yield from _keys(app.litestream, app.series)
    yield from _coverage(app)


def _keys(root: yaml.Node, series: str) -> Iterator[Finding]:
    known = facts.LITESTREAM_KEYS[series]
    yield from _unknown(root, known["top"] + known["settings"], series)
    for section in ("validation", "snapshot", "retention", "logging", "socket"):
        yield from _unknown(child(root, section), known.get(section, []), series)
    for level in _entries(child(root, "levels")):
        yield from _unknown(level, known.get("levels", []), series)
    for db in _entries(child(root, "dbs")):
        yield from _unknown(db, known["db"], series)
        yield from _unknown(child(db, "snapshot"), known.get("snapshot", []), series)
        replicas = [*_entries(child(db, "replicas")), *_entries(child(db, "replica"))]
        for replica in replicas:
            yield from _unknown(replica, known["replica"] + known["settings"], series)
            yield from _unknown(child(replica, "age"), known["age"], series)
        if len(replicas) != 1 and (child(db, "path") or child(db, "dir")):
            yield Finding(
                "litestream.replicas",
                "error" if not replicas or series == "0.5" else "warning",
                LITESTREAM,
                line(db),
                f"this database has {len(replicas)} replicas; Litestream {series} wants one",
                f"Give it one {'replica: mapping' if series == '0.5' else 'item in replicas:'}.",
            )
        if directory := child(db, "dir"):
            yield Finding(
                "litestream.dir",
                "error",
                LITESTREAM,
                line(directory),
                "databases of a `dir:` entry cannot be restored by their path",
                "List each database with its own path.",
            )


def _entries(node: yaml.Node | None) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    return [node] if isinstance(node, yaml.MappingNode) else []


def _unknown(node: yaml.Node | None, known: list[str], series: str) -> Iterator[Finding]:
    rules = facts.LITESTREAM_KEYS[series]
    for key, value in items(node):
        name = str(key.value)
        if name not in known or name in rules["without_effect"]:
            instead = rules["instead"].get(name)
            yield Finding(
                "litestream.key",
                "error",
                LITESTREAM,
                line(key),
                f"Litestream {series} ignores `{name}` here, without a word",
                f"Write {instead}." if instead else "Remove it, or mend its spelling.",
            )
        elif name in facts.LITESTREAM_KEYS["secrets"]:
            yield Finding(
                "litestream.secret",
                "error",
                LITESTREAM,
                line(key),
                f"`{name}` does not belong in a file that is committed and put into the image",
                "Remove the line: Litestream reads LITESTREAM_ACCESS_KEY_ID and "
                "LITESTREAM_SECRET_ACCESS_KEY, which come from .kamal/secrets.",
            )
        elif (
            name in facts.LITESTREAM_KEYS["durations"]
            and isinstance(value, yaml.ScalarNode)
            and not _DURATION.match(value.value)
        ):
            yield Finding(
                "litestream.duration",
                "error",
                LITESTREAM,
                line(key),
                f"`{name}: {value.value}` is not a duration that Litestream reads",
                "Use h, m and s: seven days are 168h.",
            )


def _coverage(app: App) -> Iterator[Finding]:
    wanted = {f"{facts.RAILS_ROOT}/{path}": name for name, path in app.databases.items()}
    replicated = [place.value for place in app.replicated]
    for name, path in app.backed_up.items():
        if f"{facts.RAILS_ROOT}/{path}" not in replicated:
            yield Finding(
                "databases.not-replicated",
                "error",
                LITESTREAM,
                0,
                f"the database {name} ({path}) is not among the dbs: it is not backed up",
                f"Add an entry with path: {facts.RAILS_ROOT}/{path}",
            )
    for place in app.replicated:
        if place.value not in wanted:
            yield Finding(
                "databases.not-opened",
                "error",
                LITESTREAM,
                place.line,
                f"{place.value} is no database of the answers: Litestream waits for it for ever",
                f"Mend the path, or add it to `databases` ({_update(app)}).",
            )
        if replicated.count(place.value) > 1:
            yield Finding(
                "litestream.twice",
                "error",
                LITESTREAM,
                place.line,
                f"{place.value} is listed more than once",
                "Keep one entry per database.",
            )
    yield from _targets(app)
    for name, path in app.databases.items():
        if name not in app.backed_up and f"{facts.RAILS_ROOT}/{path}" not in replicated:
            yield Finding(
                "databases.left-out",
                "note",
                LITESTREAM,
                0,
                f"the database {name} ({path}) is left out on purpose: Rails fills it again",
            )


def _targets(app: App) -> Iterator[Finding]:
    """Two databases replicated to one place would overwrite each other's backups."""
    seen: dict[tuple[str, ...], str] = {}
    for db in _entries(child(app.litestream, "dbs")):
        for replica in [*_entries(child(db, "replicas")), *_entries(child(db, "replica"))]:
            values = [child(replica, key) for key in ("endpoint", "bucket", "path", "url")]
            target = tuple(v.value if isinstance(v, yaml.ScalarNode) else "" for v in values)
            path = child(db, "path")
            name = path.value if isinstance(path, yaml.ScalarNode) else "an entry"
            if target in seen:
                yield Finding(
                    "litestream.same-target",
                    "error",
                    LITESTREAM,
                    line(replica),
                    f"{name} goes to the same place in the bucket as {seen[target]}",
                    "Give each replica a path of its own.",
                )
            seen.setdefault(target, name)


def _update(app: App) -> str:
    return "copier update --trust --data databases='{name: storage/file.sqlite3, …}'"
