"""Does Litestream read what stands in config/litestream.yml, and does it cover the databases."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from kamalstream import facts
from kamalstream.check.deployed import deployments
from kamalstream.check.finding import Finding
from kamalstream.facts import LITESTREAM
from kamalstream.inspect.adopted import App, child, items, line, yaml_error

_DURATION = re.compile(r"([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+\Z")


def check(app: App) -> Iterator[Finding]:
    """Yield what is wrong with config/litestream.yml and those of the destinations."""
    found = [one for one in deployments(app) if one.answered]
    databases = {one.litestream: dict(one.databases) for one in found}
    # Without a main deployment there is nothing it could be compared with.
    for file in dict.fromkeys((LITESTREAM, *databases)):
        text = app.text(file)
        if text is None:
            message = "the file is not there: nothing is backed up"
            fix = f"git checkout HEAD -- {file}, or: kamalstream init"
            yield Finding("litestream.missing", "error", file, 0, message, fix)
        elif wrong := yaml_error(file, text):
            yield Finding("yaml.invalid", "error", file, wrong[0], wrong[1], "Mend that line.")
        elif (root := app.tree(file)) is None:
            message = "the file is no mapping with `dbs:` in it: nothing is backed up"
            yield Finding("litestream.empty", "error", file, 0, message, "Write dbs: entries.")
        else:
            yield from _keys(file, root, app.series)
            yield from _coverage(app, file, databases.get(file, app.databases))
    yield from _targets(app, tuple(dict.fromkeys((LITESTREAM, *databases))))


def _keys(file: str, root: yaml.Node, series: str) -> Iterator[Finding]:
    known = facts.LITESTREAM_KEYS[series]
    yield from _unknown(file, root, known["top"] + known["settings"], series)
    for section in ("validation", "snapshot", "retention", "logging", "socket"):
        yield from _unknown(file, child(root, section), known.get(section, []), series)
    for level in _entries(child(root, "levels")):
        yield from _unknown(file, level, known.get("levels", []), series)
    for db in _entries(child(root, "dbs")):
        yield from _unknown(file, db, known["db"], series)
        yield from _unknown(file, child(db, "snapshot"), known.get("snapshot", []), series)
        replicas = [*_entries(child(db, "replicas")), *_entries(child(db, "replica"))]
        for replica in replicas:
            yield from _unknown(file, replica, known["replica"] + known["settings"], series)
            yield from _unknown(file, child(replica, "age"), known["age"], series)
        if len(replicas) != 1 and (child(db, "path") or child(db, "dir")):
            yield Finding(
                "litestream.replicas",
                "error" if not replicas or series == "0.5" else "warning",
                file,
                line(db),
                f"this database has {len(replicas)} replicas; Litestream {series} wants one",
                f"Give it one {'replica: mapping' if series == '0.5' else 'item in replicas:'}.",
            )
        if directory := child(db, "dir"):
            yield Finding(
                "litestream.dir",
                "error",
                file,
                line(directory),
                "databases of a `dir:` entry cannot be restored by their path",
                "List each database with its own path.",
            )


def _entries(node: yaml.Node | None) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    return [node] if isinstance(node, yaml.MappingNode) else []


def _unknown(file: str, node: yaml.Node | None, known: list[str], series: str) -> Iterator[Finding]:
    rules = facts.LITESTREAM_KEYS[series]
    for key, value in items(node):
        name = str(key.value)
        if name not in known or name in rules["without_effect"]:
            instead = rules["instead"].get(name)
            yield Finding(
                "litestream.key",
                "error",
                file,
                line(key),
                f"Litestream {series} ignores `{name}` here, without a word",
                f"Write {instead}." if instead else "Remove it, or mend its spelling.",
            )
        elif name in facts.LITESTREAM_KEYS["secrets"]:
            yield Finding(
                "litestream.secret",
                "error",
                file,
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
                file,
                line(key),
                f"`{name}: {value.value}` is not a duration that Litestream reads",
                "Use h, m and s: seven days are 168h.",
            )


def _coverage(app: App, file: str, databases: dict[str, str]) -> Iterator[Finding]:
    wanted = {app.in_container(path): name for name, path in databases.items()}
    backed_up = facts.backed_up(databases, bool(app.answers.get("backup_ephemeral")))
    places = app.replicated_by(file)
    replicated = [place.value for place in places]
    for inside, name in wanted.items():
        if inside not in replicated and name in backed_up:
            message = f"the database {name} ({databases[name]}) is not among the dbs: it is not "
            fix = f"Add an entry with path: {inside}"
            yield Finding("databases.not-replicated", "error", file, 0, f"{message}backed up", fix)
        elif inside not in replicated:
            message = f"the database {name} ({databases[name]}) is left out on purpose: Rails fills"
            yield Finding("databases.left-out", "note", file, 0, f"{message} it again")
    for place in places:
        if place.value not in wanted:
            yield Finding(
                "databases.not-opened",
                "error",
                file,
                place.line,
                f"{place.value} is no database of the answers: Litestream waits for it for ever",
                f"Mend the path, or add it to `databases` in {facts.ANSWERS}: {_UPDATE}",
            )
        if replicated.count(place.value) > 1:
            yield Finding(
                "litestream.twice",
                "error",
                file,
                place.line,
                f"{place.value} is listed more than once",
                "Keep one entry per database.",
            )


_UPDATE = "kamalstream init, or kamalstream update --data databases='{name: path, …}'"


def _targets(app: App, files: tuple[str, ...]) -> Iterator[Finding]:
    """Two databases replicated to one place would overwrite each other's backups."""
    seen: dict[tuple[str, ...], str] = {}
    for file in files:
        for db in _entries(child(app.tree(file), "dbs")):
            path = child(db, "path")
            name = path.value if isinstance(path, yaml.ScalarNode) else "an entry"
            for replica in [*_entries(child(db, "replicas")), *_entries(child(db, "replica"))]:
                values = [child(replica, key) for key in ("endpoint", "bucket", "path", "url")]
                target = tuple(v.value if isinstance(v, yaml.ScalarNode) else "" for v in values)
                if target in seen:
                    yield Finding(
                        "litestream.same-target",
                        "error",
                        file,
                        line(replica),
                        f"{name} goes to the same place in the bucket as {seen[target]}",
                        "Give each replica a path of its own.",
                    )
                seen.setdefault(target, name if file == LITESTREAM else f"{name} of {file}")
