"""bin/one-writer: two servers, one backup, the real Litestream, in every order."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from kamalstream import programs
from kamalstream.facts import VERSIONS
from kamalstream.prove.s3 import ScratchS3

from .conftest import requires

SERIES = [pytest.param(one, marks=requires(f"litestream-{one}")) for one in VERSIONS["litestream"]]
NOT_OURS = "Not replicating: another server has written to the backup of "
REFUSED = "The app does not start: another server has written to the backup of "


class Server:
    """A folder that stands for a server: the app's rendered files, its volume, its sidecar."""

    def __init__(self, root: Path, app: Path, series: str, replica: str, env: dict[str, str]):
        self.root, self.env = root, env
        self.database = root / "storage/production.sqlite3"
        self.config = root / "config/litestream.yml"
        self.sidecar: subprocess.Popen[str] | None = None
        self.said = root / "sidecar.log"
        for folder in ("bin", "config", "storage", "programs"):
            (root / folder).mkdir(parents=True)
        for name in ("boot-restore", "one-writer", "restore"):
            (root / "bin" / name).write_text((app / "bin" / name).read_text())
            (root / "bin" / name).chmod(0o755)
        litestream = programs.litestream(series)
        assert litestream
        (root / "programs/litestream").symlink_to(litestream)
        replica = f"{{{replica}, sync-interval: 100ms}}"
        self.config.write_text(
            f"dbs:\n  # primary\n  - path: {self.database}\n    monitor-interval: 50ms\n    "
            + (f"replicas: [{replica}]\n" if series == "0.3" else f"replica: {replica}\n")
        )

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.root, env=self._env(), capture_output=True, text=True, timeout=60
        )

    def boot(self) -> subprocess.CompletedProcess[str]:
        """Start the app: restore what lacks; migrations make the table."""
        done = self.run("bin/boot-restore", "exec", "true")
        if done.returncode == 0:
            self.execute("CREATE TABLE IF NOT EXISTS notes (body)")
        return done

    def start(self, *, every: float = 60) -> None:
        with self.said.open("w") as log:
            self.sidecar = subprocess.Popen(
                ["bin/one-writer", "replicate", "-config", self.config],
                cwd=self.root,
                env={**self._env(), "ONE_WRITER_SECONDS": str(every)},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def stop(self, signum: int = signal.SIGTERM) -> int | None:
        """Stop the sidecar as Docker does; with SIGKILL, the machine goes down."""
        sidecar, self.sidecar = self.sidecar, None
        if sidecar is None or sidecar.poll() is not None:
            return None
        if signum == signal.SIGKILL:
            os.killpg(sidecar.pid, signum)
        else:
            sidecar.send_signal(signum)
        return sidecar.wait(timeout=40)

    def execute(self, statement: str, *values: str) -> None:
        with closing(sqlite3.connect(self.database, timeout=10)) as database:
            _in_wal_mode(database)
            with database:
                database.execute(statement, values)

    def write(self, *bodies: str) -> None:
        """Write rows, and wait until they can be restored."""
        for body in bodies:
            self.execute("INSERT INTO notes VALUES (?)", body)
            time.sleep(0.2)
        ends = time.monotonic() + 20
        while self.restored() != self.rows:
            assert time.monotonic() < ends, self.said.read_text()
            time.sleep(0.3)

    @property
    def rows(self) -> list[str]:
        return _rows_of(self.database)

    def restored(self) -> list[str]:
        """Return the rows of the latest restore, into a folder beside."""
        target = self.root / "latest.sqlite3"
        for left in self.root.glob("latest.sqlite3*"):
            left.unlink()
        command = ("restore", "-config", str(self.config), "-o", str(target), str(self.database))
        done = self.run("programs/litestream", *command)
        assert done.returncode == 0, done.stderr
        return _rows_of(target)

    def wait_for(self, said: str, within: float = 20) -> None:
        ends = time.monotonic() + within
        while said not in self.said.read_text():
            assert time.monotonic() < ends, self.said.read_text()
            time.sleep(0.1)

    def is_ours(self) -> int:
        command = ("bin/one-writer", "ours", str(self.config), str(self.database))
        return self.run(*command).returncode

    def _env(self) -> dict[str, str]:
        path = f"{self.root}/programs:/usr/local/bin:/usr/bin:/bin"
        return {"PATH": path, "HOME": str(self.root), **self.env}


def _in_wal_mode(database: sqlite3.Connection) -> None:
    """SQLite does not wait for its lock here, which Litestream has while it does the same."""
    for _ in range(50):
        with suppress(sqlite3.OperationalError):
            database.execute("PRAGMA journal_mode = wal")
            return
        time.sleep(0.1)
    raise TimeoutError("the database is locked")


def _rows_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [body for (body,) in database.execute("SELECT body FROM notes ORDER BY rowid")]


@pytest.fixture(params=SERIES)
def series(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Servers = Callable[[str], Server]


@pytest.fixture
def server(fresh: Callable[..., Path], tmp_path: Path, series: str) -> Iterator[Servers]:
    """Make a server by its name; all of them share one backup, in files."""
    app = fresh(litestream_version=series)
    made: dict[str, Server] = {}

    def one(name: str) -> Server:
        if name not in made:
            replica = f"type: file, path: {tmp_path}/bucket"
            made[name] = Server(tmp_path / name, app, series, replica, {})
        return made[name]

    yield one
    for each in made.values():
        each.stop(signal.SIGKILL)


@pytest.fixture
def old(server: Servers) -> Server:
    """A server in use: three rows are uploaded, the sidecar runs."""
    used = server("old")
    used.start()
    assert used.boot().returncode == 0
    used.write("1", "2", "3")
    return used


def test_the_first_start_ever_and_the_ones_after_it(old: Server) -> None:
    assert old.restored() == ["1", "2", "3"]
    assert old.stop() == 0
    assert old.boot().stderr == ""
    old.start()
    old.write("4")
    assert old.stop() == 0
    assert old.restored() == ["1", "2", "3", "4"]


def test_ones_own_crash_needs_nobody(old: Server) -> None:
    for number in range(4, 7):
        old.execute("INSERT INTO notes VALUES (?)", str(number))
        if number == 5:
            time.sleep(0.3)
        # Between the write and its upload.
        old.stop(signal.SIGKILL)
        old.execute("INSERT INTO notes VALUES (?)", f"{number}, nobody replicates")
        assert old.boot().returncode == 0
        old.start()
        old.write(f"{number}, back")
    assert NOT_OURS not in old.said.read_text()
    assert old.restored() == old.rows
    assert len(old.rows) == 12


def test_a_new_server_for_a_lost_one_goes_on_and_the_old_one_that_comes_back_does_not(
    old: Server, server: Servers
) -> None:
    old.stop(signal.SIGKILL)
    old.execute("INSERT INTO notes VALUES ('never uploaded')")
    new = server("new")
    new.start()
    assert new.boot().returncode == 0
    new.write("4", "5")
    assert new.rows == ["1", "2", "3", "4", "5"]
    assert new.stop() == 0
    assert new.boot().returncode == 0
    new.start()
    refused = old.boot()
    assert refused.returncode == 1
    assert refused.stderr.startswith(REFUSED + str(old.database))
    before = {path: path.read_bytes() for path in old.root.rglob("storage/**/*") if path.is_file()}
    old.start(every=1)
    old.wait_for(NOT_OURS + str(old.database))
    assert old.sidecar
    assert old.sidecar.wait(timeout=10) == 1
    assert before == {
        path: path.read_bytes() for path in old.root.rglob("storage/**/*") if path.is_file()
    }
    new.write("6")
    assert new.restored() == ["1", "2", "3", "4", "5", "6"]


def test_of_two_that_write_one_is_ended_and_the_other_can_take_over(
    old: Server, server: Servers
) -> None:
    old.stop()
    old.start(every=1)
    old.wait_for("replicating to")
    new = server("new")
    new.start(every=1)
    assert new.boot().returncode == 0
    new.write("4")
    ends = time.monotonic() + 60
    # Whose upload was written over, or went on without it, sees it at its own next one.
    while not any(NOT_OURS in one.said.read_text() for one in (old, new)):
        assert time.monotonic() < ends
        for one in (old, new):
            one.execute("INSERT INTO notes VALUES ('meanwhile')")
        time.sleep(1)
    ended = next(one for one in (old, new) if NOT_OURS in one.said.read_text())
    assert ended.sidecar
    assert ended.sidecar.wait(timeout=30) != 0
    for one in (old, new):
        one.stop()
    assert new.run("bin/restore", "--on-server", "take-over", str(new.database)).returncode == 0
    new.start()
    new.write("5")
    assert new.rows[:4] == ["1", "2", "3", "4"]
    assert new.stop() == 0
    assert new.boot().returncode == 0
    assert new.restored() == new.rows
    assert old.boot().returncode == 1


def test_a_server_takes_over_with_its_own_rows(old: Server, server: Servers) -> None:
    old.stop()
    new = server("new")
    new.start()
    assert new.boot().returncode == 0
    new.write("of the new one")
    new.stop()
    old.execute("INSERT INTO notes VALUES ('of the old one')")
    assert old.boot().returncode == 1
    done = old.run("bin/restore", "--on-server", "take-over", str(old.database))
    assert done.returncode == 0, done.stderr
    assert old.boot().returncode == 0
    old.start()
    old.write("4")
    assert old.stop() == 0
    assert old.restored() == ["1", "2", "3", "of the old one", "4"]
    assert new.boot().returncode == 1


def test_a_restore_to_an_earlier_moment_goes_on_and_so_does_its_undoing(old: Server) -> None:
    on_server = ("bin/restore", "--on-server")
    stamp, file = "20260101T000000Z", str(old.database)
    assert old.run(*on_server, "prepare", stamp, "-", file).returncode == 0
    old.write("4")
    old.stop()
    done = old.run(*on_server, "swap", stamp, file)
    assert done.returncode == 0, done.stderr
    assert old.rows == ["1", "2", "3"]
    old.start()
    assert old.boot().returncode == 0
    old.write("5")
    assert old.restored() == ["1", "2", "3", "5"]
    old.stop()
    assert old.run(*on_server, "swap-back", stamp, file).returncode == 0
    assert old.boot().returncode == 0
    old.start()
    old.write("6")
    assert old.stop() == 0
    assert old.restored() == ["1", "2", "3", "4", "6"]


def test_a_copy_of_another_deployments_data_begins_the_backup_anew(
    old: Server, server: Servers, tmp_path: Path
) -> None:
    old.stop()
    production = tmp_path / "production.yml"
    production.write_text(old.config.read_text())
    staging = server("staging")
    staging.config.write_text(staging.config.read_text().replace("/bucket", "/staging"))
    staging.start()
    assert staging.boot().returncode == 0
    staging.write("of staging", "more")
    uploaded = {path: path.stat().st_mtime_ns for path in (tmp_path / "bucket").rglob("*")}
    stamp, file = "20260101T000000Z", str(staging.database)
    copy = ("bin/restore", "--on-server", "copy", stamp, "-")

    unreadable = tmp_path / "unreadable.yml"
    unreadable.write_text(production.read_text().replace("/bucket", "/none"))
    refused = staging.run(*copy, str(unreadable), file, str(old.database))
    assert refused.returncode == 1
    assert "with the keys of the deployment that gets the copy:" in refused.stderr
    assert staging.rows == ["of staging", "more"]

    done = staging.run(*copy, str(production), file, str(old.database))
    assert done.returncode == 0, done.stderr
    staging.stop()
    assert staging.run("bin/restore", "--on-server", "swap", stamp, file).returncode == 0
    assert staging.is_ours() == 0
    assert staging.boot().returncode == 0
    staging.start()
    staging.write("after")
    assert staging.restored() == ["1", "2", "3", "after"]
    # Production's is as it was, and goes on.
    now = {path: path.stat().st_mtime_ns for path in (tmp_path / "bucket").rglob("*")}
    assert now == uploaded
    old.start()
    old.write("4")
    assert old.restored() == ["1", "2", "3", "4"]
    # The way back.
    staging.stop()
    assert staging.run("bin/restore", "--on-server", "swap-back", stamp, file).returncode == 0
    staging.start()
    staging.write("again")
    assert staging.restored() == ["of staging", "more", "again"]


def test_what_fails_before_anything_was_uploaded_is_put_back_as_it_was(old: Server) -> None:
    stamp, file = "20260101T000000Z", str(old.database)
    on_server = ("bin/restore", "--on-server")
    old.run(*on_server, "prepare", stamp, "-", file)
    old.stop()
    assert old.run(*on_server, "swap", stamp, file).returncode == 0
    done = old.run(*on_server, "swap-back", stamp, file)
    assert "goes on from this server" not in done.stdout
    old.start()
    old.write("4")
    old.stop()
    assert old.restored() == ["1", "2", "3", "4"]


def test_a_restored_copy_that_somebody_replicates_by_hand_is_noticed(
    old: Server, server: Servers
) -> None:
    laptop = server("laptop")
    old.stop()
    config = ("-config", str(laptop.config))
    laptop.run("programs/litestream", "restore", *config, str(laptop.database))
    old.start(every=1)
    old.wait_for("replicating to")
    time.sleep(1)
    by_hand = subprocess.Popen(
        ["programs/litestream", "replicate", *config],
        cwd=laptop.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # Of so many, not all are written over by the server's own next one.
    for _ in range(4):
        laptop.execute("INSERT INTO notes VALUES ('by hand')")
        time.sleep(1)
    by_hand.terminate()
    by_hand.wait(timeout=40)
    old.execute("INSERT INTO notes VALUES ('of the app')")
    old.wait_for(NOT_OURS)


def test_a_backup_that_cannot_be_read_keeps_replication_waiting_and_the_app_running(
    old: Server, tmp_path: Path
) -> None:
    old.stop()
    bucket = tmp_path / "bucket"
    bucket.rename(tmp_path / "away")
    bucket.write_text("no folder")
    done = old.boot()
    assert done.returncode == 0
    assert "The app starts; the litestream accessory goes on once it can be read." in done.stderr
    old.start()
    old.wait_for("replication begins as soon as it can")
    old.execute("INSERT INTO notes VALUES ('meanwhile')")
    bucket.unlink()
    (tmp_path / "away").rename(bucket)
    old.wait_for("replicating to", within=30)
    old.write("4")
    assert old.restored() == ["1", "2", "3", "meanwhile", "4"]


def test_a_start_with_empty_databases_on_purpose_goes_on(old: Server, server: Servers) -> None:
    old.stop()
    new = server("new")
    new.env["SKIP_RESTORE"] = "1"
    assert new.boot().returncode == 0
    new.start()
    new.write("a")
    new.stop()
    del new.env["SKIP_RESTORE"]
    assert new.boot().returncode == 0
    assert new.restored() == ["a"]


def test_another_command_of_the_accessory_goes_to_litestream(old: Server) -> None:
    assert old.run("bin/one-writer", "version").stdout.strip().lstrip("v").startswith("0.")


@requires("weed")
def test_on_s3_it_is_the_same(
    s3: ScratchS3, fresh: Callable[..., Path], tmp_path: Path, series: str
) -> None:
    s3.create_bucket(f"one-writer-{series}")
    env = {
        "LITESTREAM_ACCESS_KEY_ID": s3.access_key,
        "LITESTREAM_SECRET_ACCESS_KEY": s3.secret_key,
    }
    replica = (
        f"type: s3, bucket: one-writer-{series}, path: notes/production.sqlite3, "
        f'endpoint: "{s3.endpoint}", region: us-east-1'
    )
    app = fresh(litestream_version=series)
    old, new = (Server(tmp_path / name, app, series, replica, env) for name in ("old", "new"))
    try:
        old.start()
        assert old.boot().returncode == 0
        old.write("1", "2")
        old.stop(signal.SIGKILL)
        assert old.is_ours() == 0
        # Litestream 0.3 orders what two servers wrote by S3's whole seconds (docs/reliability.md).
        time.sleep(1.1)
        new.start()
        assert new.boot().returncode == 0
        new.write("3")
        new.stop()
        assert (old.is_ours(), new.is_ours()) == (1, 0)
        assert old.boot().returncode == 1
        assert new.boot().returncode == 0
        assert new.restored() == ["1", "2", "3"]
        new.env["LITESTREAM_SECRET_ACCESS_KEY"] = "another"
        assert new.is_ours() == 2
        assert new.boot().returncode == 0
        source = tmp_path / "production.yml"
        source.write_text(new.config.read_text())
        copy = ("--on-server", "copy", "20260101T000000Z", "-", str(source))
        denied = new.run("bin/restore", *copy, *[str(new.database)] * 2)
        assert denied.returncode == 1
        assert "they must be able to list and read there too" in denied.stderr
    finally:
        old.stop(signal.SIGKILL)
        new.stop(signal.SIGKILL)
