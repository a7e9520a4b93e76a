"""What a restored database holds, without knowing what it is about."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# SQLite's own, and Litestream's.
_NOT_THE_APPS = ("sqlite_", "_litestream_")


@dataclass(frozen=True)
class Holdings:
    """`integrity` is "ok" or what PRAGMA integrity_check says; `tables` has rows by table.

    `unread` names tables that need an extension of the app's, which is not here.
    """

    integrity: str
    tables: Mapping[str, int]
    unread: tuple[str, ...]
    size: int
    sha256: str


def holdings(database: Path) -> Holdings:
    """Read `database` as a restore left it; a damaged one says so in `integrity`."""
    digest = hashlib.sha256()
    with database.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    tables: dict[str, int] = {}
    unread: list[str] = []
    # Opened for writing, as a restored WAL database without its -shm cannot be read otherwise.
    connection = sqlite3.connect(database)
    try:
        integrity = "; ".join(line for (line,) in connection.execute("PRAGMA integrity_check(3)"))
        names = [name for (name,) in connection.execute(_TABLES)]
        for name in names:
            if name.startswith(_NOT_THE_APPS):
                continue
            quoted = name.replace('"', '""')
            try:
                ((tables[name],),) = connection.execute(f'SELECT count(*) FROM "{quoted}"')
            except sqlite3.OperationalError as error:
                if "no such module" not in str(error):
                    raise
                unread.append(name)
    except sqlite3.DatabaseError as error:
        integrity = str(error)
    finally:
        connection.close()
    size = database.stat().st_size
    return Holdings(integrity, tables, tuple(unread), size, digest.hexdigest())


_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
