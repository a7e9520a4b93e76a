"""A process that writes to one database as a Rails app does, until it is killed.

Run as a script (`writer.py DATABASE TABLE NUMBER`) and imported for `connect` and `create`. It
imports nothing but the standard library, so that it is at work at once.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import time


def connect(database: str) -> sqlite3.Connection:
    """Open `database` with what Rails 8 sets on every connection.

    Source: DEFAULT_PRAGMAS in activerecord's sqlite3_adapter.rb, and `timeout: 5000` of the
    generated config/database.yml.
    """
    connection = sqlite3.connect(database, timeout=5.0, isolation_level=None)
    for pragma in (
        "foreign_keys = on",
        "journal_mode = wal",
        "synchronous = normal",
        "mmap_size = 134217728",
        "journal_size_limit = 67108864",
        "cache_size = 2000",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def create(database: str, table: str) -> None:
    """Make `table`, and the counter cache beside it, as `db:prepare` would; keep what is there."""
    connection = connect(database)
    connection.executescript(
        f"""
        CREATE TABLE IF NOT EXISTS "{table}" (
          id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
          writer INTEGER NOT NULL, body TEXT NOT NULL, written_at REAL NOT NULL);
        CREATE TABLE IF NOT EXISTS "{table}_count" (rows INTEGER NOT NULL);
        INSERT INTO "{table}_count" SELECT 0 WHERE NOT EXISTS (SELECT * FROM "{table}_count");
        """
    )
    connection.close()


def write(connection: sqlite3.Connection, table: str, writer: int) -> None:
    """Commit one row and its count in one transaction; Rails 8 opens them as IMMEDIATE.

    The lock is held from the first line on, so ids follow the order of the commits.
    """
    size = 20_000 if random.random() < 0.02 else random.randrange(20, 800)
    body = random.randbytes(size // 2).hex()
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        f'INSERT INTO "{table}" (writer, body, written_at) VALUES (?, ?, ?)',
        (writer, body, time.time()),
    )
    connection.execute(f'UPDATE "{table}_count" SET rows = rows + 1')
    connection.execute("COMMIT")


def main(database: str, table: str, writer: str) -> None:
    """Write until killed, or until the process that started this one is gone."""
    parent = os.getppid()
    connection = connect(database)
    while os.getppid() == parent:
        write(connection, table, int(writer))
        time.sleep(random.uniform(0, 0.04))


if __name__ == "__main__":
    main(*sys.argv[1:])
