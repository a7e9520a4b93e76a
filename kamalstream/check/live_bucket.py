"""Is the bucket there and do the keys open it: a tiny database goes there and comes back."""

from __future__ import annotations

import json
import os
import re
import secrets
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kamalstream import programs
from kamalstream.check.bucket_requests import Bucket
from kamalstream.check.finding import Finding
from kamalstream.edit.credentials import NAMES, keys
from kamalstream.errors import BadInput
from kamalstream.facts import LITESTREAM
from kamalstream.inspect.adopted import App, load_mapping

_ENV = {name: f"LITESTREAM_{name.upper()}" for name in NAMES}
# Top-level settings that reach outside: they are for the one that runs on the server.
_OUTWARD = ("dbs", "addr", "mcp-addr", "exec", "socket", "heartbeat-url", "heartbeat-interval")
_PER_DATABASE = ("path", "replica", "replicas", "meta-path", "meta-dir", "dir")
_ROWS = 20
_PATIENCE = 60
_HINTS = {
    "NoSuchBucket": "There is no such bucket: create it, private, and run this again.",
    "InvalidAccessKeyId": "The storage does not know the key: kamalstream credentials",
    "SignatureDoesNotMatch": "The secret key is another one: kamalstream credentials",
    "AccessDenied": "The keys may not read, write, list and delete in that bucket: allow them to.",
    "x509": "The certificate of that endpoint is not trusted from here.",
}


def check_bucket(app: App) -> Iterator[Finding]:
    """Yield what keeps the pinned client, with the app's own settings, from writing and reading."""
    program = programs.litestream(app.series)
    if program is None:
        message = f"Litestream {app.series} is not on this machine: the bucket is not tried"
        yield Finding("live.bucket", "warning", "", 0, message, "https://litestream.io/install/")
        return
    try:
        pair = _keys(app)
    except BadInput as error:
        problem, _, more = str(error).partition("\n")
        fix = more or "kamalstream credentials"
        yield Finding("live.bucket", "error", LITESTREAM, 0, f"is not tried: {problem}", fix)
        return
    for entry, replica in _targets(app):
        with tempfile.TemporaryDirectory(prefix="kamalstream-probe-") as scratch:
            yield from _probe(app, program, Path(scratch), entry, replica, pair)


def _keys(app: App) -> dict[str, str]:
    """Return the keys as `.kamal/read_secrets.rb` finds them: environment, then credentials."""
    given = {name: os.environ.get(_ENV[name], "").strip() for name in NAMES}
    if all(given.values()):
        return given
    found = {**keys(app.root), **{name: value for name, value in given.items() if value}}
    missing = [name for name in NAMES if name not in found]
    if missing:
        raise BadInput(f"the credentials have no litestream: {' and '.join(missing)}")
    return found


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
    bucket = str(replica.get("bucket"))
    there = Bucket(
        str(replica.get("endpoint") or ""),
        str(replica.get("region") or "us-east-1"),
        bucket,
        pair["access_key_id"],
        pair["secret_access_key"],
    )
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
            "Mend endpoint or region: copier update --trust --data endpoint=…",
        )
        return
    back = False
    # Long enough for a sync; when the command ends, what is left is uploaded.
    said = _run(program, pair, "replicate", "-config", config, "-exec", "sleep 3")
    if not said:
        said = _run(program, pair, "restore", "-config", config, "-o", restored, database)
        back = not said and _rows(restored) == _rows(database)
    if not back:
        yield Finding(
            "live.bucket",
            "error",
            LITESTREAM,
            app.line_of(LITESTREAM, rf"bucket:\s*{re.escape(bucket)}\b"),
            f"a database written to {bucket} does not come back: {said or 'it differs'}",
            next(
                (hint for word, hint in _HINTS.items() if word in said), "See Litestream's words."
            ),
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
                f"Delete {prefix}/ there. Retention needs that right too: allow DeleteObject.",
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


def _run(program: Path, pair: dict[str, str], *arguments: str | Path) -> str:
    """Run Litestream; return what it says went wrong, nothing where all went well."""
    # AWS_… would win over the keys, and AWS_CA_BUNDLE stops every S3 client of 0.5.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "LITESTREAM_"))}
    process = subprocess.Popen(
        [program, *arguments],
        env=kept | {_ENV[name]: value for name, value in pair.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        output, _ = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        # It tries again and again; what it says of that is the reason.
        process.kill()
        output, _ = process.communicate()
        return _problem(output) or f"no answer within {_PATIENCE} seconds"
    last = (output.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    return _problem(output) or (last if process.returncode else "")


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


def _problem(output: str) -> str:
    """Return Litestream's last error, nothing where there was none."""
    errors = [line for line in output.splitlines() if re.search(r"level=ERROR|^Error:", line)]
    if not errors:
        return ""
    said = re.search(r"\b(?:error|err)=\"((?:[^\"\\]|\\.)*)\"", errors[-1])
    text = said[1].replace('\\"', '"') if said else errors[-1].removeprefix("Error: ")
    return text[:300]
