"""Is the bucket there and do the keys open it: a tiny database goes there and comes back."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import tempfile
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kamalstream import programs
from kamalstream.check.bucket_requests import Bucket
from kamalstream.check.finding import Finding
from kamalstream.errors import BadInput
from kamalstream.facts import LITESTREAM, PROVIDERS
from kamalstream.inspect.adopted import App, load_mapping
from kamalstream.prove.real_bucket import keys, remedy, run

# Top-level settings that reach outside: they are for the one that runs on the server.
_OUTWARD = ("dbs", "addr", "mcp-addr", "exec", "socket", "heartbeat-url", "heartbeat-interval")
_PER_DATABASE = ("path", "replica", "replicas", "meta-path", "meta-dir", "dir")
_ROWS = 20


def check_bucket(app: App) -> Iterator[Finding]:
    """Yield what keeps the pinned client, with the app's own settings, from writing and reading."""
    program = programs.litestream(app.series)
    if program is None:
        message = f"Litestream {app.series} is not on this machine: the bucket is not tried"
        yield Finding("live.bucket", "warning", "", 0, message, "https://litestream.io/install/")
        return
    try:
        pair = keys(app.root)
    except BadInput as error:
        problem, _, more = str(error).partition("\n")
        fix = more or "kamalstream credentials"
        message = f"the bucket cannot be tried without its keys: {problem}"
        yield Finding("live.bucket", "error", LITESTREAM, 0, message, fix)
        return
    for entry, replica in _targets(app):
        with tempfile.TemporaryDirectory(prefix="kamalstream-probe-") as scratch:
            yield from _probe(app, program, Path(scratch), entry, replica, pair)


def opened(app: App, pair: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Try the keys `pair` on each bucket of litestream.yml; yield it, and why it stays shut."""
    for _, replica in _targets(app):
        there, said = _bucket(replica, pair), ""
        try:
            there.reach()
            there.look()
        except urllib.error.HTTPError as error:
            code = re.search(rb"<Code>(\w+)", error.read(10_000))
            said = code[1].decode() if code else f"{error.code} {error.reason}"
        except (OSError, ValueError) as error:
            said = f"nothing answers at {there.address}: {error}"
        yield there.name, said


def _targets(app: App) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield an entry of `dbs` and its replica, one for each bucket."""
    config = load_mapping(app.text(LITESTREAM)) or {}
    seen = set()
    entries = config.get("dbs")
    for entry in entries if isinstance(entries, list) else []:
        replicas = [entry.get("replica"), *(entry.get("replicas") or [])]
        for replica in (one for one in replicas if isinstance(one, dict)):
            target = (replica.get("endpoint"), replica.get("bucket"))
            if target not in seen:
                seen.add(target)
                yield entry, replica


def _probe(
    app: App,
    program: Path,
    scratch: Path,
    entry: dict[str, Any],
    replica: dict[str, Any],
    pair: dict[str, str],
) -> Iterator[Finding]:
    prefix = f"{app.answers.get('app_name')}/kamalstream-probe-{secrets.token_hex(4)}"
    database, config, restored = (
        scratch / "probe.sqlite3",
        scratch / "litestream.yml",
        scratch / "back",
    )
    config.write_text(_config(app, entry, replica, database, prefix), encoding="utf-8")
    _make(database)
    there = _bucket(replica, pair)
    bucket = there.name
    try:
        # Litestream tries a dead endpoint again and again, without a word.
        there.reach()
    except OSError as error:
        yield Finding(
            "live.bucket",
            "error",
            LITESTREAM,
            app.line_of(LITESTREAM, r"^\s+(endpoint|region):"),
            f"nothing answers at {there.address}: {error.strerror or error}",
            _mend_address(app),
        )
        return
    back = False
    # Long enough for a sync; when the command ends, what is left is uploaded.
    said = run(program, pair, "replicate", "-config", config, "-exec", "sleep 3").problem
    if not said:
        said = run(program, pair, "restore", "-config", config, "-o", restored, database).problem
        back = not said and _rows(restored) == _rows(database)
    if not back:
        yield Finding(
            "live.bucket",
            "error",
            LITESTREAM,
            app.line_of(LITESTREAM, rf"bucket:\s*{re.escape(bucket)}\b"),
            f"a database written to {bucket} does not come back: {said or 'it differs'}",
            remedy(said) or "See Litestream's words.",
        )
    try:
        there.remove(prefix + "/")
    except (OSError, SyntaxError, ValueError) as error:
        if back:
            yield Finding(
                "live.bucket-leftover",
                "warning",
                LITESTREAM,
                0,
                f"the probe could not be removed from {bucket}: {error}",
                f"Delete {prefix}/ there. Retention needs that right too: allow DeleteObject. "
                "Or let a lifecycle rule of the bucket delete what is older than the retention.",
            )


def _mend_address(app: App) -> str:
    """Name the answer that the address of the storage comes from."""
    preset = PROVIDERS.get(str(app.answers.get("storage_provider")), {})
    if "endpoint" not in preset:
        return "Mend the endpoint: kamalstream update --data endpoint=…"
    if preset.get("fixed_region"):
        return "Is this machine online, and the storage up?"
    return "Mend the region: kamalstream update --data region=…"


def _bucket(replica: dict[str, Any], pair: dict[str, str]) -> Bucket:
    return Bucket(
        str(replica.get("endpoint") or ""),
        str(replica.get("region") or "us-east-1"),
        str(replica.get("bucket")),
        pair["access_key_id"],
        pair["secret_access_key"],
        replica.get("force-path-style"),
        replica.get("require-content-md5", True) is not False,
    )


def _config(
    app: App, entry: dict[str, Any], replica: dict[str, Any], database: Path, prefix: str
) -> str:
    """Return the app's own settings with the probe for its only database."""
    whole = load_mapping(app.text(LITESTREAM)) or {}
    settings = {key: value for key, value in whole.items() if key not in _OUTWARD}
    target = {**replica, "path": prefix}
    probe = {
        **{key: value for key, value in entry.items() if key not in _PER_DATABASE},
        "path": str(database),
        **({"replica": target} if "replica" in entry else {"replicas": [target]}),
    }
    # JSON is YAML, whatever the values hold.
    return json.dumps({**settings, "shutdown-sync-timeout": "5s", "dbs": [probe]})


def _make(database: Path) -> None:
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE probe (id INTEGER PRIMARY KEY, value TEXT)")
    connection.executemany(
        "INSERT INTO probe (value) VALUES (?)", [(secrets.token_hex(8),) for _ in range(_ROWS)]
    )
    connection.commit()
    connection.close()


def _rows(database: Path) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute("SELECT * FROM probe ORDER BY id").fetchall()
    finally:
        connection.close()
