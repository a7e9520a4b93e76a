"""What Litestream would fetch to restore a database, before anything is fetched."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kamalstream.prove.real_bucket import Answer

#: Runs Litestream with a command and its arguments.
Litestream = Callable[..., Answer]
#: What 0.3 prints in columns, by its headings.
Rows = list[dict[str, str]]

_NOTHING = "nothing is backed up there"


@dataclass(frozen=True)
class Fetch:
    """The objects of one restore: how many, their bytes, and when the newest was written.

    `newest` is Litestream's own time (UTC, ISO 8601), set on the server; `position` is the last
    transaction of 0.5, or generation and index of 0.3. `problem` says why there is no restore.
    """

    files: int = 0
    size: int = 0
    newest: str = ""
    position: str = ""
    problem: str = ""


def fetch_of(litestream: Litestream, series: str, config: Path, database: str) -> Fetch:
    """Ask Litestream of `series` what a restore of `database` by `config` takes; fetch nothing."""
    plan = _plan_05 if series == "0.5" else _plan_03
    return plan(litestream, config, database)


def _plan_05(litestream: Litestream, config: Path, database: str) -> Fetch:
    answer = litestream("restore", "-config", config, "-dry-run", "-json", "-o", _NOWHERE, database)
    if answer.problem:
        return Fetch(problem=_said(answer.problem, "no matching backup files available"))
    # Its log goes to the same place.
    start = answer.output.find("{\n")
    plan: dict[str, Any] = json.loads(answer.output[start:])
    files = plan["files"]
    return Fetch(
        len(files),
        sum(file["size"] for file in files),
        max(file["timestamp"] for file in files),
        plan["max_txid"],
    )


def _plan_03(litestream: Litestream, config: Path, database: str) -> Fetch:
    listed = listed_03(litestream, config, database)
    if isinstance(listed, str):
        return Fetch(problem=listed)
    snapshots, segments = listed
    if not snapshots:
        return Fetch(problem=_NOTHING)
    first = max(snapshots, key=lambda row: row["created"])
    after = [
        row
        for row in segments
        if row["generation"] == first["generation"] and int(row["index"]) >= int(first["index"])
    ]
    files = [first, *after]
    last = max(files, key=lambda row: (int(row["index"]), row["created"]))
    return Fetch(
        len(files),
        sum(int(row["size"]) for row in files),
        max(row["created"] for row in files),
        f"{last['generation']}/{last['index']}",
    )


# Litestream wants a place that is free; with -dry-run it writes nothing there.
_NOWHERE = "/nonexistent/restored.sqlite3"


def listed_03(litestream: Litestream, config: Path, database: str) -> tuple[Rows, Rows] | str:
    """Return the snapshots and the pieces of WAL that 0.3 lists, or what went wrong."""
    snapshots = _table(litestream("snapshots", "-config", config, database))
    if isinstance(snapshots, str):
        return snapshots
    segments = _table(litestream("wal", "-config", config, database))
    return segments if isinstance(segments, str) else (snapshots, segments)


def _table(answer: Answer) -> Rows | str:
    """Return the rows of what 0.3 prints in columns, or what went wrong."""
    if answer.problem:
        return _said(answer.problem, "no snapshots available")
    heads, *rows = [line.split() for line in answer.output.splitlines() if line.strip()] or [[]]
    return [dict(zip(heads, row, strict=False)) for row in rows]


def _said(problem: str, empty: str) -> str:
    return _NOTHING if empty in problem else problem
