"""Reads a litestream.yml and turns it to a scratch disk and a scratch S3 server.

Only the few values that must differ are replaced, in the text itself. The rest reaches Litestream
byte for byte: what is proven is the app's own file.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from kamalstream.errors import BadInput
from kamalstream.prove.rows import loss_bound

FILE = "config/litestream.yml"

# Top-level settings that reach outside the drill: a watchdog told that backups are alive, a
# program started, a port taken. Empty means off (Litestream 0.5: cmd/litestream/main.go).
_OUTWARD = ("heartbeat-url", "exec", "addr", "mcp-addr")
_ON_DISK = ("path", "dir", "meta-path", "meta-dir")


@dataclass(frozen=True)
class Replicated:
    """One entry of `dbs`: where it stands, where its backups go, what may be lost (seconds)."""

    path: str
    line: int
    bucket: str
    key: str
    loss_bound: float


def replicated(text: str) -> tuple[Replicated, ...]:
    """Return the entries of `dbs` in a litestream.yml, in their order.

    Raises:
        BadInput: the text is not the YAML of a litestream.yml, or a replica is not on S3.
    """
    root, entries = _read(text)
    return tuple(
        Replicated(
            path=posixpath.normpath(_value(database, "path") or _value(database, "dir")),
            line=database.start_mark.line + 1,
            bucket=_value(replica, "bucket") or _value(root, "bucket"),
            key=_value(replica, "path").strip("/"),
            loss_bound=loss_bound(
                _seconds(_value(replica, "sync-interval") or _value(root, "sync-interval")),
                _seconds(_value(database, "monitor-interval")),
            ),
        )
        for database, replica in entries
    )


def redirect(
    text: str, disk: Path, endpoint: str, access_key: str, secret_key: str, lane: str = ""
) -> str:
    """Return the text with its databases below `disk` and its replicas at `endpoint`.

    Replaced are the database paths, `endpoint` (added where there is none), `force-path-style`
    (a loopback address has no bucket subdomains), keys written into the file, and the settings
    that would reach outside the drill (heartbeat, exec, ports, control socket). Buckets, replica
    paths and everything else stay; only where several drills share one server do bucket names end
    in the `lane` of each.

    Raises:
        BadInput: as `replicated`.
    """
    root, entries = _read(text)
    edits: dict[tuple[int, int], str] = {}

    def replace(node: yaml.Node | None, value: str) -> None:
        if node is not None:
            start, end = node.start_mark.index, node.end_mark.index
            edits[start, end] = value if start < end else f" {value}"

    for key in _OUTWARD:
        replace(_entries(root).get(key), '""')
    socket = _entries(root).get("socket")
    if isinstance(socket, yaml.MappingNode):
        replace(_entries(socket).get("path"), json.dumps(f"{disk}.sock"))
    for holder in (root, *(replica for _, replica in entries)):
        replace(_entries(holder).get("access-key-id"), access_key)
        replace(_entries(holder).get("secret-access-key"), secret_key)
        replace(_entries(holder).get("force-path-style"), "true")
        if lane:
            bucket = _value(holder, "bucket")
            replace(_entries(holder).get("bucket"), json.dumps(bucket + lane))
    for database, replica in entries:
        for key in _ON_DISK:
            replace(_entries(database).get(key), json.dumps(on_disk(disk, _value(database, key))))
        if "endpoint" in _entries(replica):
            replace(_entries(replica)["endpoint"], endpoint)
        else:
            mark = replica.value[0][0].start_mark
            after = ", " if replica.flow_style else "\n" + " " * mark.column
            edits[mark.index, mark.index] = f"endpoint: {endpoint}{after}"
    for (start, end), value in sorted(edits.items(), reverse=True):
        text = text[:start] + value + text[end:]
    return text


def on_disk(disk: Path, path: str) -> str:
    """Return where the absolute `path` of the server lies on the scratch `disk`."""
    return f"{disk}{posixpath.normpath('/' + path.lstrip('/'))}"


def _read(text: str) -> tuple[yaml.MappingNode, list[tuple[yaml.MappingNode, yaml.MappingNode]]]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise BadInput(f"{FILE}{where}: not valid YAML: {problem}") from None
    if not isinstance(root, yaml.MappingNode):
        raise BadInput(f"{FILE} is empty, so nothing is backed up.")
    databases = _entries(root).get("dbs")
    if not isinstance(databases, yaml.SequenceNode) or not databases.value:
        raise BadInput(f"{FILE}: `dbs` lists no database, so nothing is backed up.")
    pairs = [
        (_mapping(database), replica)
        for database in databases.value
        for replica in _replicas(_mapping(database))
    ]
    return root, pairs


def _replicas(database: yaml.MappingNode) -> Iterator[yaml.MappingNode]:
    entries = _entries(database)
    found = entries.get("replica") or entries.get("replicas")
    nodes = found.value if isinstance(found, yaml.SequenceNode) else [found] if found else []
    if not nodes:
        raise BadInput(
            f"{FILE} line {database.start_mark.line + 1}: this database has no replica.\n"
            "Give it one (0.5: `replica:`, 0.3: `replicas:`)."
        )
    for node in map(_mapping, nodes):
        kind = _value(node, "type") or "file"
        if kind != "s3" or "url" in _entries(node):
            raise BadInput(
                f"{FILE} line {node.start_mark.line + 1}: the drill stands in for S3 only.\n"
                "Write the replica as `type: s3` with `bucket` and `path`, without `url`."
            )
        yield node


def _mapping(node: yaml.Node) -> yaml.MappingNode:
    if not isinstance(node, yaml.MappingNode):
        raise BadInput(f"{FILE} line {node.start_mark.line + 1}: `key: value` lines belong here.")
    return node


def _entries(node: yaml.MappingNode) -> dict[str, yaml.Node]:
    entries: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if key.value == "<<":
            merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for other in map(_mapping, merged):
                entries = {**_entries(other), **entries}
    return {**entries, **{key.value: value for key, value in node.value if key.value != "<<"}}


def _value(node: yaml.MappingNode, key: str) -> str:
    found = _entries(node).get(key)
    return str(found.value) if isinstance(found, yaml.ScalarNode) else ""


def _seconds(duration: str) -> float:
    """Read a Go duration ("1m30s", "500ms"); the default of both intervals where there is none."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    parts = re.findall(r"([\d.]+)(h|ms|m|s)", duration)
    return sum(float(number) * units[unit] for number, unit in parts) if parts else 1.0
