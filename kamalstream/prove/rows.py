"""What a database held before the loss, what came back, and whether that is within the promise."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Row = tuple[int, str, float]  # writer, body, seconds since the epoch at which it was written


@dataclass(frozen=True)
class Contents:
    """One database as read: its rows by id, the count kept beside them, PRAGMA integrity_check."""

    rows: Mapping[int, Row]
    counted: int
    integrity: str


@dataclass(frozen=True)
class Comparison:
    """Row by row, by id: what is not as it was; `holes` lack although later rows came back."""

    same: int
    missing: tuple[int, ...]
    holes: tuple[int, ...]
    changed: tuple[int, ...]
    extra: tuple[int, ...]
    miscounted: bool
    seconds_lost: float


def read(database: Path, table: str) -> Contents:
    """Read `table` of `database` as `writer.create` made it, recovering its WAL where there is one.

    Raises:
        sqlite3.Error: the file is no database, is damaged, or holds another table.
    """
    connection = sqlite3.connect(database)
    try:
        integrity = "; ".join(line for (line,) in connection.execute("PRAGMA integrity_check"))
        rows = {
            number: (writer, body, written_at)
            for number, writer, body, written_at in connection.execute(
                f'SELECT id, writer, body, written_at FROM "{table}"'
            )
        }
        ((counted,),) = connection.execute(f'SELECT rows FROM "{table}_count"')
        return Contents(rows, counted, integrity)
    finally:
        connection.close()


NOTHING = Contents({}, 0, "nothing came back")


def compare(before: Contents, after: Contents, lost_at: float) -> Comparison:
    """Compare every row's content; `lost_at` is the loss, in seconds since the epoch."""
    missing = sorted(before.rows.keys() - after.rows.keys())
    newest = max(after.rows, default=0)
    oldest = min((before.rows[number][2] for number in missing), default=lost_at)
    both = before.rows.keys() & after.rows.keys()
    changed = sorted(number for number in both if before.rows[number] != after.rows[number])
    return Comparison(
        same=len(both) - len(changed),
        missing=tuple(missing),
        holes=tuple(number for number in missing if number < newest),
        changed=tuple(changed),
        extra=tuple(sorted(after.rows.keys() - before.rows.keys())),
        miscounted=after.counted != len(after.rows),
        seconds_lost=max(0.0, lost_at - oldest),
    )


def loss_bound(sync_interval: float = 1.0, monitor_interval: float = 1.0) -> float:
    """Return how old (seconds) the oldest lost commit may be when the server is lost.

    Litestream looks at the WAL every `monitor_interval` and uploads what it saw every
    `sync_interval`, both 1 s by default in 0.3 and 0.5 (db.go, replica.go). The two clocks run
    apart, so the worst case is their sum and the upload, which has the rest of that second.
    """
    return float(math.ceil(sync_interval + max(1.0, monitor_interval)))


def broken_promises(found: Comparison, after: Contents, bound: float) -> tuple[str, ...]:
    """Say in words what is wrong with what came back; nothing where only the youngest rows lack."""
    said = []
    if after.integrity != "ok":
        said.append(f"integrity_check: {after.integrity}")
    if found.changed:
        said.append(f"{_rows(found.changed)} came back with other content")
    if found.extra:
        said.append(f"{_rows(found.extra)} came back that had never been committed")
    if found.holes:
        said.append(f"{_rows(found.holes)} did not come back although later ones did")
    if found.miscounted:
        said.append(
            "half a transaction came back: the rows are not as many as the count beside them"
        )
    if found.seconds_lost > bound:
        said.append(
            f"commits up to {found.seconds_lost:.1f} s old at the loss did not come back, "
            f"and {bound:.1f} s is the most that may be lost"
        )
    return tuple(said)


def _rows(numbers: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, numbers[:3])) + (", …" if len(numbers) > 3 else "")
    return f"{len(numbers)} row{'s' * (len(numbers) > 1)} (id {shown})"
