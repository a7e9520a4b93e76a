"""What of a database's backup is in the bucket: how old, how far back, how much."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kamalstream.prove.fetch import Litestream, listed_03

#: The level of snapshots (litestream.go: SnapshotLevel).
_SNAPSHOTS = 9


@dataclass(frozen=True)
class Stored:
    """Sizes in bytes, times by the storage's clock (ISO 8601, UTC).

    `since` is the oldest state that can be restored, `newest` when something was uploaded last,
    `files` how many objects there are by level (0.3: snapshots and WAL), `position` the last
    transaction of 0.5, or the generation of 0.3. `problem` says why nothing is known.
    """

    newest: str = ""
    since: str = ""
    size: int = 0
    files: Mapping[str, int] = field(default_factory=dict)
    position: str = ""
    problem: str = ""


def stored(litestream: Litestream, series: str, config: Path, database: str) -> Stored:
    """List what is uploaded of `database`, by Litestream of `series` with `config`."""
    listed = _listed_05 if series == "0.5" else _listed_03
    return listed(litestream, config, database)


def _listed_05(litestream: Litestream, config: Path, database: str) -> Stored:
    answer = litestream("ltx", "-level", "all", "-json", "-config", config, database)
    if answer.problem:
        return Stored(problem=answer.problem)
    files = json.loads(answer.output[answer.output.index("[") :])
    if not files:
        return Stored()
    by_level = Counter(file["level"] for file in files)
    snapshots = [file["timestamp"] for file in files if file["level"] == _SNAPSHOTS]
    return Stored(
        max(file["timestamp"] for file in files),
        min(snapshots or [file["timestamp"] for file in files]),
        sum(file["size"] for file in files),
        {
            "snapshots" if level == _SNAPSHOTS else f"level {level}": count
            for level, count in sorted(by_level.items())
        },
        max(file["max_txid"] for file in files),
    )


def _listed_03(litestream: Litestream, config: Path, database: str) -> Stored:
    listed = listed_03(litestream, config, database)
    if isinstance(listed, str):
        return Stored(problem=listed)
    snapshots, segments = listed
    if not snapshots:
        return Stored()
    rows = [*snapshots, *segments]
    return Stored(
        max(row["created"] for row in rows),
        min(row["created"] for row in snapshots),
        sum(int(row["size"]) for row in rows),
        {"snapshots": len(snapshots), "WAL": len(segments)},
        max(snapshots, key=lambda row: row["created"])["generation"],
    )
