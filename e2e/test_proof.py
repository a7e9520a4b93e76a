"""A backup that is wrong: `kamalstream verify` names what it is."""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from e2e import app
from e2e.record import Record
from e2e.stage import Stage
from e2e.steps import SYNCED, container, verify, write
from kamalstream.facts import BUCKET_KEYS

# Three hours are not waited for: what is older than this many seconds counts as old.
OLDEST = 3
PLAYED_CLOCK = (
    f"import kamalstream.commands.verify as verify; verify.OLDEST = {OLDEST};"
    "from kamalstream.cli import main; main()"
)
Named = Callable[..., None]


@pytest.fixture
def named(deployed: Stage, record: Record) -> Named:
    """Verify with a fault in place; it has to be named in these words."""

    def found(what: str, words: str, **environment: str) -> None:
        said = verify(deployed, **environment)
        line = next((line for line in said.text.splitlines() if words in line), None)
        assert (said.code, line is not None) == (1, True), said.text
        assert "NOT verified." in said.text
        assert "Traceback" not in said.text
        record.proofs.append(f"{what} | {line}")

    return found


def sql(stage: Stage, statements: str) -> None:
    file = "/rails/storage/production.sqlite3"
    stage.engine.docker("exec", container(stage, "web"), "sqlite3", file, statements)


def test_what_is_wrong_with_a_backup_is_named(
    deployed: Stage, named: Named, record: Record
) -> None:
    write(deployed)
    sql(deployed, "CREATE TABLE guests (name); CREATE TABLE visits (at);")
    sql(deployed, "INSERT INTO guests SELECT body FROM entries; INSERT INTO visits VALUES (1)")
    time.sleep(SYNCED)
    whole = verify(deployed, "--accept", "--check", "test -s $RESTORED/queue.sqlite3")
    assert whole.code == 0, whole.text
    assert "charges for that is not known" in " ".join(whole.text.split())

    def with_keys(pair: tuple[str, str]) -> dict[str, str]:
        return dict(zip(BUCKET_KEYS, pair, strict=True))

    s3 = deployed.s3
    named("a wrong key", "SignatureDoesNotMatch", **with_keys((s3.access_key, "wrong")))
    blind = s3.keys_for(app.BUCKET, "Read")
    named("a key that may not list", "the keys may not list", **with_keys(blind))
    reader = s3.keys_for(app.BUCKET, "Read", "List")
    allowed = verify(deployed, **with_keys(reader))
    assert allowed.code == 0, allowed.text

    sql(deployed, "DROP TABLE visits")
    time.sleep(SYNCED)
    named("a database that lost a table", "the table visits is gone")
    sql(deployed, "DELETE FROM guests WHERE rowid > 3")
    time.sleep(SYNCED)
    named("a table that lost half of its rows", "guests has 3 rows, of ")
    assert verify(deployed, "--accept").code == 0

    stopped = deployed.kamal("accessory", "stop", "litestream")
    assert stopped.code == 0, stopped.text
    time.sleep(OLDEST)
    late = deployed.developer.run(
        deployed.folder,
        *(*deployed.engine.network(), sys.executable, "-c", PLAYED_CLOCK, "verify"),
    )
    assert late.code == 1, late.text
    assert "replication has stopped" in " ".join(late.text.split())
    record.proofs.append(
        f"a stopped sidecar (played: {OLDEST} seconds count as old, not three hours) "
        "| replication has stopped (kamal accessory logs litestream)"
    )

    snapshots = {address: fetch(address) for address in objects(s3.filer, "production.sqlite3")}
    assert snapshots
    for what, harm in (
        ("a damaged object", lambda b: b[: len(b) // 2] + bytes(64) + b[len(b) // 2 + 64 :]),
        ("a truncated object", lambda b: b[: len(b) // 2]),
    ):
        for address, content in snapshots.items():
            put(address, harm(content))
        named(what, "primary: it does not come back")
    for address, content in snapshots.items():
        put(address, content)
    mended = verify(deployed)
    assert mended.code == 0, mended.text
    started = deployed.kamal("accessory", "start", "litestream")
    assert started.code == 0, started.text


def objects(filer: str, database: str) -> Iterator[str]:
    """Give the addresses of what is stored of `database` in snapshots (level 9)."""

    def below(url: str) -> Iterator[str]:
        request = urllib.request.Request(url, headers={"Accept": "application/json"})
        with urllib.request.urlopen(request) as answer:
            entries = json.load(answer)["Entries"] or []
        for entry in entries:
            address = filer + entry["FullPath"]
            if entry["Mode"] & (1 << 31):
                yield from below(f"{address}/")
            else:
                yield address

    for address in below(f"{filer}/buckets/{app.BUCKET}/"):
        if f"/{database}/" in address and re.search(r"/0*9/", address):
            yield address


def fetch(address: str) -> bytes:
    with urllib.request.urlopen(address) as answer:
        content: bytes = answer.read()
        return content


def put(address: str, content: bytes) -> None:
    urllib.request.urlopen(urllib.request.Request(address, content, method="PUT")).close()
