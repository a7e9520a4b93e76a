"""`kamalstream verify`: real backups in a real bucket, restored and looked at."""

from __future__ import annotations

import configparser
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kamalstream import programs
from kamalstream.commands.verify import in_bytes
from kamalstream.edit.credentials import store
from kamalstream.facts import PROVIDERS
from kamalstream.prove.contents import holdings
from kamalstream.prove.cost import cost
from kamalstream.prove.redirect import on_disk, redirect, replicated
from kamalstream.prove.s3 import ScratchS3
from kamalstream.prove.scratch import scratch
from kamalstream.prove.verify import Backup, _fewer, _late, lasting, moment

from . import warm
from .conftest import requires

FILE = "/rails/storage/production.sqlite3"
QUEUE = "/rails/storage/production_queue.sqlite3"


@dataclass
class Shop:
    """An app, its server's disk, and the bucket between them."""

    app: Path
    disk: Path
    s3: ScratchS3
    bucket: str
    series: str

    def write(self, sql: str, file: str = FILE) -> None:
        path = Path(on_disk(self.disk, file))
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.executescript(sql)

    @contextmanager
    def replicating(self, *start: str, **environment: str) -> Iterator[None]:
        text = (self.app / "config/litestream.yml").read_text()
        config = self.disk.parent / "litestream.yml"
        keys = (self.s3.access_key, self.s3.secret_key)
        config.write_text(redirect(text, self.disk, self.s3.endpoint, *keys))
        program = programs.litestream(self.series)
        assert program
        process = subprocess.Popen(
            [*(start or [program]), "replicate", "-config", config],
            env={**self.s3.environment(), **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
            self.is_uploaded()
            # Time to begin; it uploads the rest before it ends.
            time.sleep(2)
        finally:
            process.terminate()
            process.wait(60)

    def is_uploaded(self) -> None:
        """Wait for the first upload of each database; the jobs' is looked at less often."""
        deadline = time.monotonic() + 60
        text = (self.app / "config/litestream.yml").read_text()
        keys = [entry.key for entry in replicated(text)]
        while not all(self.s3.holds(self.bucket, key) for key in keys):
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def verify(
        self, *arguments: str | Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            warm.kamalstream("verify", self.app, *arguments),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment},
        )

    def newest(self) -> str:
        """Return when the newest change of the primary database's backup was written."""
        plan = json.loads(self.verify("--format", "json").stdout)["databases"]
        return str(plan[0]["newest"])

    def objects(self) -> list[str]:
        """Return the addresses of everything in the bucket, the largest first."""
        found: list[tuple[int, str]] = []

        def walk(url: str) -> None:
            request = urllib.request.Request(url, headers={"Accept": "application/json"})
            with urllib.request.urlopen(request) as answer:
                entries = json.load(answer)["Entries"] or []
            for entry in entries:
                address = self.s3.filer + entry["FullPath"]
                if entry["Mode"] & (1 << 31):
                    walk(address + "/")
                else:
                    found.append((entry["FileSize"], address))

        walk(f"{self.s3.filer}/buckets/{self.bucket}/")
        return [address for _, address in sorted(found, reverse=True)]


SCHEMA = (
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, body);"
    "CREATE TABLE people (id INTEGER PRIMARY KEY);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)"
    " INSERT INTO orders SELECT i, hex(randomblob(300)) FROM n;"
)


@pytest.fixture
def shop(
    deployable: Callable[..., Path],
    tmp_path: Path,
    s3: ScratchS3,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Shop:
    for name in ("RAILS_MASTER_KEY", "LITESTREAM_ACCESS_KEY_ID", "LITESTREAM_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    series = getattr(request, "param", "0.5")
    bucket = f"verify-{os.getpid()}-{time.monotonic_ns() % 10**9}"
    s3.create_bucket(bucket)
    app = deployable(
        tmp_path / "notes",
        storage_provider="custom",
        endpoint=s3.endpoint,
        bucket=bucket,
        litestream_version=series,
    )
    (app / "config/credentials.yml.enc").unlink()
    (app / "config/master.key").write_text("00112233445566778899aabbccddeeff")
    store(app, s3.access_key, s3.secret_key)
    shop = Shop(app, tmp_path / "server/disk", s3, bucket, series)
    shop.write(SCHEMA)
    shop.write("CREATE TABLE solid_queue_jobs (id INTEGER PRIMARY KEY)", QUEUE)
    return shop


@requires("weed", "litestream-0.5", "litestream-0.3")
@pytest.mark.parametrize("shop", ["0.5", "0.3"], indirect=True)
def test_backups_that_are_whole_are_verified_with_evidence_and_nothing_is_left(
    shop: Shop, tmp_path: Path
) -> None:
    with shop.replicating():
        time.sleep(1)
        shop.write("INSERT INTO orders (body) VALUES ('the last one')")
    before = shop.objects()
    said = shop.verify("--format", "json")
    assert said.returncode == 0, said.stdout + said.stderr
    found = json.loads(said.stdout)
    assert (found["ok"], found["app"], found["problems"]) == (True, "notes", [])
    primary, queue = found["databases"]
    assert (primary["name"], primary["path"], queue["name"]) == ("primary", FILE, "queue")
    assert primary["tables"] == {"orders": 201, "people": 0}
    assert primary["integrity"] == "ok"
    assert primary["fetched"] > 0
    assert primary["files"] >= 1
    assert len(primary["sha256"]) == 64
    assert abs(time.time() - moment(primary["newest"]).timestamp()) < 120
    assert found["cost"]["at_most"] is None
    assert json.loads((shop.app / "tmp/backups-verified.json").read_text()) == found
    assert shop.objects() == before
    assert not list((tmp_path / "tmp").iterdir())
    assert shop.s3.secret_key not in said.stdout + said.stderr
    text = shop.verify()
    assert "to fetch" in text.stdout
    assert "What Another S3-compatible server charges for that is not known." in text.stdout
    assert "Verified: 2 of 2 databases came back whole." in text.stdout


@requires("weed", "litestream-0.5")
def test_what_is_wrong_with_a_backup_is_named(shop: Shop) -> None:
    assert "primary: nothing is backed up there" in shop.verify().stdout
    with shop.replicating():
        shop.write("INSERT INTO orders (body) VALUES ('the last one')")
    assert shop.verify().returncode == 0
    with shop.replicating():
        shop.write("DROP TABLE people; DELETE FROM orders WHERE id > 20")
    said = shop.verify()
    assert said.returncode == 1
    assert "primary: the table people is gone; it had 0 rows" in said.stdout
    assert "primary: orders has 20 rows, of 201 on" in said.stdout
    assert "kamalstream verify --accept" in said.stdout
    # It is said until it is accepted.
    assert shop.verify().returncode == 1
    assert shop.verify("--accept").returncode == 0
    assert shop.verify().returncode == 0
    check = "test $(sqlite3 $RESTORED/primary.sqlite3 'select count(*) from orders') -gt 100"
    said = shop.verify("--check", check)
    assert said.returncode == 1
    assert "ended with" in said.stdout
    assert shop.verify("--check", 'test -f "$RESTORED/queue.sqlite3"').returncode == 0


@requires("weed", "litestream-0.5", "rclone")
def test_some_uploaded_files_are_looked_at_too(
    shop: Shop, rendered: Callable[..., Path], tmp_path: Path
) -> None:
    answers, config = shop.app / ".copier-answers.yml", configparser.ConfigParser()
    answers.write_text(answers.read_text().replace("uploads: false", "uploads: true"))
    config.read(rendered(uploads=True) / "config/rclone.conf")
    config["bucket"]["endpoint"] = shop.s3.endpoint
    config["uploads"]["remote"] = f"bucket:{shop.bucket}/notes/_uploads"
    with (shop.app / "config/rclone.conf").open("w") as file:
        config.write(file)
    blob = "(key, byte_size, checksum, service_name, created_at)"
    row = "('abcdpicture', 7, 'VFb8VMdKKXzplJmMKHOzcA==', 'local', '2026-01-01 10:00:00.1')"
    with shop.replicating():
        shop.write(f"CREATE TABLE active_storage_blobs {blob}")
        shop.write(f"INSERT INTO active_storage_blobs VALUES {row}")
    said = shop.verify()
    assert "up to 20 uploaded files of 10.0 MB at most" in " ".join(said.stdout.split())
    assert (said.returncode, "abcdpicture is not in the bucket" in said.stdout) == (1, True)

    rclone = str(programs.find("rclone"))
    env = {
        **os.environ,
        "RCLONE_CONFIG": str(shop.app / "config/rclone.conf"),
        "AWS_ACCESS_KEY_ID": shop.s3.access_key,
        "AWS_SECRET_ACCESS_KEY": shop.s3.secret_key,
    }
    for content, fault in (("short", "has 5 bytes"), ("picturE", "is damaged"), ("picture", "")):
        put = [rclone, "rcat", "uploads:files/ab/cd/abcdpicture"]
        subprocess.run(put, input=content, env=env, text=True, check=True)
        said = shop.verify()
        assert (said.returncode, fault in said.stdout) == (bool(fault), True), said.stdout
    assert "Uploaded files: 1 of 1 looked at, as they should be." in said.stdout
    evidence = json.loads((shop.app / "tmp/backups-verified.json").read_text())
    assert evidence["files"] == {"named": 1, "looked_at": 1, "fetched": 7, "problems": []}


@requires("weed", "litestream-0.5")
@pytest.mark.parametrize("harm", ["damaged", "truncated", "removed"])
def test_a_backup_that_was_harmed_in_the_bucket_is_named(shop: Shop, harm: str) -> None:
    with shop.replicating():
        shop.write("INSERT INTO orders (body) VALUES ('the last one')")
    worst = next(address for address in shop.objects() if "/production.sqlite3/" in address)
    with urllib.request.urlopen(worst) as answer:
        content = answer.read()
    middle = len(content) // 2
    left = {
        "damaged": content[:middle] + bytes(64) + content[middle + 64 :],
        "truncated": content[:middle],
        "removed": None,
    }[harm]
    method = "DELETE" if left is None else "PUT"
    urllib.request.urlopen(urllib.request.Request(worst, left, method=method)).close()
    for address in shop.objects():
        # The same content lies at two levels; neither copy may be good.
        if address != worst and address.rsplit("/", 1)[1] == worst.rsplit("/", 1)[1]:
            urllib.request.urlopen(urllib.request.Request(address, left, method=method)).close()
    said = shop.verify()
    assert said.returncode == 1, said.stdout
    assert "primary: " in said.stdout
    assert "NOT verified." in said.stdout
    assert "Traceback" not in said.stderr


@requires("weed", "litestream-0.5")
def test_keys_that_do_not_open_the_bucket_are_named(shop: Shop) -> None:
    said = shop.verify(
        LITESTREAM_ACCESS_KEY_ID=shop.s3.access_key, LITESTREAM_SECRET_ACCESS_KEY="wrong"
    )
    assert said.returncode == 1
    assert "SignatureDoesNotMatch" in said.stdout
    (shop.app / "config/credentials.yml.enc").unlink()
    said = shop.verify()
    assert said.returncode == 2
    assert "the credentials have no litestream" in said.stderr
    said = shop.verify("--destination", "elsewhere")
    assert said.returncode == 2
    assert "elsewhere is no deployment" in said.stderr


@requires("weed", "litestream-0.5", "sqlite3")
def test_the_sidecar_writes_by_itself_so_that_the_age_of_a_backup_tells_something(
    shop: Shop,
) -> None:
    program = programs.litestream("0.5")
    assert program
    marking = {
        "MARK_SECONDS": "2",
        "ONE_WRITER_SECONDS": "60",
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
    }
    with shop.replicating("sh", str(shop.app / "bin/one-writer"), **marking):
        shop.is_uploaded()
        before = shop.newest()
        # A database that is not there is not made: it would take the place of a backup.
        queue = Path(on_disk(shop.disk, QUEUE))
        for file in queue.parent.glob(f"{queue.name}*"):
            file.unlink()
        time.sleep(5)
        assert shop.newest() > before
    assert not queue.exists()


@requires("weed", "litestream-0.5")
def test_the_files_stay_where_they_are_asked_for(shop: Shop, tmp_path: Path) -> None:
    with shop.replicating():
        shop.write("INSERT INTO orders (body) VALUES ('the last one')")
    assert shop.verify("--keep", tmp_path / "kept").returncode == 0
    assert holdings(tmp_path / "kept/primary.sqlite3").tables["orders"] == 201
    said = shop.verify("--keep", tmp_path / "kept")
    assert said.returncode == 2
    assert "is not an empty folder" in said.stderr


def test_evidence_that_is_none_is_refused(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("[]")
    said = shop.verify("--evidence", tmp_path / "evidence")
    assert said.returncode == 2
    assert "is not what `kamalstream verify` wrote" in said.stderr


def test_a_scratch_folder_goes_with_a_process_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import time; from kamalstream.prove.scratch import scratch\n"
        "with scratch('kamalstream-verify-') as folder:\n"
        "    (folder / 'primary.sqlite3').write_text('data')\n"
        "    print(folder, flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout
    folder = Path(process.stdout.readline().strip())
    assert (folder / "primary.sqlite3").exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.exists()
    with scratch("kamalstream-verify-") as folder:
        pass
    assert not folder.exists()


def test_a_table_of_an_extension_is_named_and_a_damaged_file_is_not_ok(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite3"
    with closing(sqlite3.connect(file)) as database:
        database.executescript(SCHEMA)
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "INSERT INTO sqlite_master VALUES ('table', 'near', 'near', 0,"
            " 'CREATE VIRTUAL TABLE near USING vec0(a)')"
        )
        database.commit()
    found = holdings(file)
    assert (found.integrity, found.unread) == ("ok", ("near",))
    assert found.tables == {"orders": 200, "people": 0}
    content = bytearray(file.read_bytes())
    content[4096 * 3 : 4096 * 5] = os.urandom(4096 * 2)
    file.write_bytes(content)
    assert holdings(file).integrity != "ok"
    file.write_bytes(b"no database at all" * 300)
    assert "not a database" in holdings(file).integrity


def test_what_a_restore_costs_is_reckoned_from_the_providers_prices() -> None:
    assert cost("aws", 2, 5, 10**9).in_words() == (
        "AWS S3 charges $0.09 for that at most, and nothing for the first 100 GB a month."
    )
    assert cost("aws", 2, 1000, 0).at_most == pytest.approx(200 * 5e-6 + 1000 * 4e-7)
    assert "less than $0.01" in cost("aws", 2, 1000, 0).in_words()
    assert cost("wasabi", 2, 5, 10**12).in_words() == "Wasabi charges nothing for that."
    assert cost("storj", 2, 5, 10**9).in_words() == "What Storj charges for that is not known."
    for provider, facts in PROVIDERS.items():
        egress = facts.get("prices", {}).get("egress")
        assert egress is None or egress["source"].startswith("https://"), provider


def test_ages_sizes_and_rows_are_said_as_people_say_them() -> None:
    assert [lasting(n) for n in (5, 150, 7300, 200_000)] == [
        "5 seconds",
        "2 minutes",
        "2 hours",
        "2 days",
    ]
    assert [in_bytes(n) for n in (999, 1_200, 3_400_000)] == ["999 bytes", "1.2 kB", "3.4 MB"]
    old = Backup("primary", FILE, "b/k", newest="2026-01-01T00:00:00Z", integrity="ok")
    now = moment("2026-01-03T12:00:00Z")
    [late] = _late(old, now, 3 * 3600)
    assert "the newest change in the backup is 2 days old" in late
    assert "kamal accessory logs litestream" in late
    assert _late(old, now, 3 * 86400) == ()
    last = {"at": "2026-01-01", "databases": [{"name": "primary", "tables": {"a": 9, "b": 20}}]}
    last["databases"][0]["tables"]["solid_queue_jobs"] = 5000
    few = Backup("primary", FILE, "b/k", integrity="ok", tables={"a": 0, "b": 9})
    assert _fewer(few, last) == ("b has 9 rows, of 20 on 2026-01-01",)
