"""bin/copy-uploads with the real rclone and a real S3 server: there, back, purged, forgotten."""

from __future__ import annotations

import base64
import configparser
import hashlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from kamalstream import facts, programs
from kamalstream.prove.s3 import ScratchS3

from .conftest import requires

pytestmark = requires("rclone")
#: 1,000,000 by hand (CONTRIBUTING.md).
MANY = int(os.environ.get("KAMALSTREAM_FILES", "3000"))
BUCKET = "notes-backups"


class Server:
    """A folder that stands for a server's volume, and the accessory beside it."""

    def __init__(self, root: Path, app: Path, s3: ScratchS3, prefix: str, path: str) -> None:
        self.root, self.s3, self.path_variable = root / "storage", s3, path
        self.root.mkdir(parents=True)
        self.program = app / facts.COPY_UPLOADS
        self.config = root / "rclone.conf"
        config = configparser.ConfigParser()
        config.read(app / facts.RCLONE)
        config["bucket"]["endpoint"] = s3.endpoint
        config["uploads"]["remote"] = f"bucket:{BUCKET}/{prefix}/_uploads"
        with self.config.open("w") as file:
            config.write(file)

    def start(self, *command: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [shutil.which("sh", path=self.path_variable) or "sh", self.program, *command],
            env={
                "PATH": self.path_variable,
                "LITESTREAM_ACCESS_KEY_ID": self.s3.access_key,
                "LITESTREAM_SECRET_ACCESS_KEY": self.s3.secret_key,
                "UPLOADS_ROOT": str(self.root),
                "RCLONE_CONFIG": str(self.config),
                "UPLOADS_SPARE": "0",
                **more,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*command, **more)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def killed(self, after: float) -> None:
        """Let it run for `after` seconds, in small steps, and kill it with all it started."""
        process = self.start("watch", UPLOADS_BATCH="10", UPLOADS_SECONDS="0")
        time.sleep(after)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def once(self, **more: str) -> str:
        done = self.run("once", **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def upload(self, *keys: str, age: float = 60) -> None:
        """Store files as Active Storage's disk service does, `age` seconds ago."""
        for key in keys:
            path = self.path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"what is in {key}")
            os.utime(path, (time.time() - age,) * 2)

    def path(self, key: str) -> Path:
        return self.root / key[:2] / key[2:4] / key

    @property
    def here(self) -> list[str]:
        files = (path for path in self.root.glob("[!.]*/*/**/*") if path.is_file())
        assert all(path.read_text() == f"what is in {path.name}" for path in files)
        return sorted(p.name for p in self.root.glob("[!.]*/*/**/*") if p.is_file())

    def stored(self, what: str = "files") -> list[str]:
        listed = self.run("lsf", "-R", "--files-only", f"uploads:{what}")
        return sorted(listed.stdout.split())


Servers = Callable[[str], Server]


@pytest.fixture(scope="module")
def servers(
    rendered: Callable[..., Path],
    s3: ScratchS3,
    tmp_path_factory: pytest.TempPathFactory,
    tools: str,
) -> Servers:
    s3.create_bucket(BUCKET)
    return lambda prefix: Server(
        tmp_path_factory.mktemp("server"), rendered(uploads=True), s3, prefix, tools
    )


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a PATH with what rclone's image has: BusyBox alone, where this machine has it."""
    folder = tmp_path_factory.mktemp("tools")
    (folder / "rclone").symlink_to(programs.find("rclone") or "rclone")
    busybox = programs.find("busybox")
    if busybox is None:
        return f"{folder}:/usr/local/bin:/usr/bin:/bin"
    listed = subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, text=True, check=True)
    for name in listed.stdout.split():
        (folder / name).symlink_to(busybox)
    return str(folder)


def requests(s3: ScratchS3) -> Counter[str]:
    text = urllib.request.urlopen(s3.metrics, timeout=5).read().decode()
    found = re.findall(r'SeaweedFS_s3_request_total\{.*?type="(\w+)"\} ([0-9.e+]+)', text)
    return Counter({kind: 0 for kind, _ in found}) + Counter(
        {kind: int(float(count)) for kind, count in found}
    )


KEYS = tuple(f"{one}{two}cd{one}{two}0123456789" for one in "abc" for two in "xyz")


def test_what_is_uploaded_is_in_the_bucket_after_a_round_and_an_idle_app_makes_no_request(
    servers: Servers, s3: ScratchS3
) -> None:
    server = servers("idle")
    server.upload(*KEYS)
    (server.root / "production.sqlite3").write_text("not copied")
    (server.root / ".production.sqlite3-litestream").mkdir()
    server.once()
    paths = sorted(f"{key[:2]}/{key[2:4]}/{key}" for key in KEYS)
    assert server.stored() == paths
    before = requests(s3)
    server.once()
    assert requests(s3) == before
    server.upload("axcd-new with a space")
    assert "1 (32 bytes) are here and not in the bucket yet" in server.run("status").stdout
    server.once()
    # The second is the look, every five minutes at most, whether another server has gone on.
    assert requests(s3) - before == Counter(PUT=1, GET=1)
    status = server.run("status").stdout
    assert "10 files" in status
    assert "not in the bucket yet" not in status

    # One that may still be being written waits for the next rounds.
    server.upload("axcd-young", age=0)
    server.once()
    assert "ax/cd/axcd-young" not in server.stored()
    os.utime(server.path("axcd-young"), (time.time() - 60,) * 2)
    server.once()
    assert "ax/cd/axcd-young" in server.stored()


def test_an_empty_server_gets_its_files_back_newest_first_and_deletes_nothing(
    servers: Servers,
) -> None:
    old = servers("lost")
    for key in KEYS[:3]:
        old.upload(key)
        old.once()
        time.sleep(1.1)  # S3 tells seconds
    old.upload(*KEYS[3:])
    old.once()
    old.path(KEYS[4]).unlink()
    old.once()
    assert [len(old.stored(what)) for what in ("files", "purged")] == [9, 1]

    new = servers("lost")
    full = new.run("once", UPLOADS_SPARE=str(10**12))
    assert full.returncode == 1
    assert "No room for the next 8 files" in full.stderr
    assert "8 files" in full.stdout
    status = new.run("status")
    assert (status.returncode, "No room for the next 8 files" in status.stderr) == (1, True)
    assert new.here == []
    new.once(UPLOADS_BATCH="5")
    assert new.run("status").returncode == 0
    assert new.here == sorted(key for key in KEYS[3:] if key != KEYS[4])
    assert "3 (" in new.run("status").stdout
    # The app uploads meanwhile, and the rest comes too.
    new.upload("zzzz-new")
    while "All files are back." not in new.once(UPLOADS_BATCH="1"):
        pass
    assert new.here == sorted({*KEYS, "zzzz-new"} - {KEYS[4]})
    assert len(new.stored()) == 10
    assert "9 files" in new.run("status").stdout


def test_what_the_app_deletes_goes_from_the_bucket_when_no_database_that_names_it_restores(
    servers: Servers,
) -> None:
    server = servers("purged")
    server.upload(*KEYS)
    server.once()
    server.path(KEYS[0]).unlink()
    server.path(KEYS[1]).unlink()
    server.once()
    assert len(server.stored()) == len(KEYS)
    [note] = (server.root / ".uploads/purged").iterdir()
    note.rename(note.with_name("20200101T10"))
    server.upload(KEYS[1])  # a restore has brought it back
    server.once()
    assert len(server.stored()) == len(KEYS) - 1
    assert f"ax/cd/{KEYS[0]}" not in server.stored()


def test_an_old_server_that_comes_back_deletes_nothing_until_it_is_told_to_go_on(
    servers: Servers,
) -> None:
    old, new = servers("moved"), servers("moved")
    old.upload(*KEYS)
    old.once()
    old.path(KEYS[0]).unlink()
    old.once()
    new.once()
    assert KEYS[0] not in new.here
    # A restore to a moment on the new server, and the time of the old one's note is over.
    path = old.path(KEYS[0]).relative_to(old.root)
    (new.root / ".uploads/asked").write_text(f"1 {path}\n")
    new.once()
    assert KEYS[0] in new.here
    [note] = (old.root / ".uploads/purged").iterdir()
    note.rename(note.with_name("20200101T10"))
    old.upload("qqqq-later")
    said = old.run("once")
    assert (said.returncode, "Another server has gone on" in said.stderr) == (1, True)
    assert "Another server has gone on" in old.run("status").stderr
    assert sorted(map(os.path.basename, old.stored())) == sorted(KEYS)
    watching = old.start("watch")
    assert watching.stderr
    assert "Another server has gone on" in watching.stderr.readline()
    os.killpg(watching.pid, signal.SIGTERM)
    watching.communicate()

    # What bin/restore leaves there, also with --take-over.
    (old.root / ".uploads/claim").touch()
    old.once()
    assert "qqqq-later" in map(os.path.basename, old.stored())
    new.path(KEYS[1]).unlink()
    assert "Another server has gone on" in new.run("once").stderr


def test_a_volume_that_the_app_has_not_made_its_own_yet_is_waited_for(servers: Servers) -> None:
    server = servers("early")
    server.root.rmdir()
    server.root.touch()
    assert "waiting for the app" in server.run("once").stderr
    watching = server.start("watch")
    time.sleep(0.5)
    server.root.unlink()
    server.upload(*KEYS)
    ends = time.monotonic() + 20
    while len(server.stored()) < len(KEYS):
        assert time.monotonic() < ends
        time.sleep(0.2)
    os.killpg(watching.pid, signal.SIGTERM)
    _, said = watching.communicate(timeout=20)
    assert said.count("waiting for the app") == 1


def test_a_bucket_that_is_away_or_another_one_harms_nothing(servers: Servers) -> None:
    server = servers("away")
    server.upload(*KEYS[:2])
    right = server.config.read_text()
    server.config.write_text(right.replace(server.s3.endpoint, "http://127.0.0.1:9"))
    for keys in ({}, {"LITESTREAM_SECRET_ACCESS_KEY": "wrong"}):
        done = server.run("once", **keys)
        assert done.returncode == 1
        assert "tried again" in done.stderr
        assert server.run("status").returncode == 1
        server.config.write_text(right)
    server.once()
    assert len(server.stored()) == 2

    new = servers("away")
    new.config.write_text(right.replace("/away/", "/elsewhere/"))
    new.once()
    assert new.here == []
    new.config.write_text(right)
    new.once()
    assert new.here == sorted(KEYS[:2])

    # Killed half way: what was noted is not copied again, what was not is.
    shutil.rmtree(new.root / ".uploads")
    new.upload("qqqq-later")
    new.once()
    assert len(new.stored()) == 3


def test_killed_again_and_again_there_and_back_every_file_arrives_whole(servers: Servers) -> None:
    keys = [f"{number % 7:02}{number % 5:02}{number:06}" for number in range(200)]
    old, new = servers("killed"), servers("killed")
    old.upload(*keys)
    for server in (old, new):
        for after in (0.3, 0.5, 0.8, 1.2):
            server.killed(after)
        server.once()
        while "still coming" in server.run("status").stdout:
            server.once()
        assert server.here == sorted(keys)
        assert not list(server.root.rglob("*.partial"))
    assert len(new.stored()) == 200
    assert new.stored("purged") == []


@requires("ruby", "sqlite3")
def test_a_moment_brings_back_the_files_that_its_rows_name(
    servers: Servers, tmp_path: Path
) -> None:
    server = servers("moment")
    server.upload(*KEYS[:3])
    server.once()
    for key in KEYS[:2]:
        server.path(key).unlink()
    server.once()
    assert server.stored("purged") != []

    database = server.root / "restored.sqlite3"
    with closing(sqlite3.connect(database)) as restored:
        restored.execute(
            "CREATE TABLE active_storage_blobs "
            "(id, key, filename, byte_size, checksum, service_name)"
        )
        for at, key in enumerate((*KEYS[:3], "nowhere-at-all")):
            sum64 = base64.b64encode(hashlib.md5(f"what is in {key}".encode()).digest()).decode()
            size = len(f"what is in {key}")
            row = (at, key, "a.png", size, sum64, "local")
            restored.execute("INSERT INTO active_storage_blobs VALUES (?, ?, ?, ?, ?, ?)", row)
        restored.commit()

    def files(command: str) -> str:
        program = server.program.parent / "uploaded-files"
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "UPLOADS_ROOT": str(server.root)}
        done = subprocess.run(
            ["ruby", program, command, database], env=env, capture_output=True, text=True
        )
        return done.stdout

    assert "1 of 4 uploaded files are here and whole" in files("check")
    assert "3 uploaded files are not here" in files("want")
    assert "3 are still coming" in files("check")
    done = server.run("once")
    assert "Not all of these 3 files are in the bucket any more" in done.stderr
    said = files("soon").splitlines()
    assert said[0] == "3 of 4 uploaded files are here and whole."
    assert [line.split()[0] for line in said[1:]] == ["nowhere-at-all"]
    # They live again, and are not forgotten when the time of their deletion comes.
    [note] = (server.root / ".uploads/purged").iterdir()
    assert note.read_text() == ""
    assert len(server.stored()) == 3

    # Into development, by the same rows. Litestream is played: it is the rows that matter here.
    app = Path(shutil.copytree(server.program.parent.parent, tmp_path / "app"))
    shutil.copy(server.config, app / facts.RCLONE)
    (app / "litestream").write_text(f"#!/bin/sh\n{PLAYED}")
    (app / "litestream").chmod(0o755)
    rclone = programs.find("rclone")
    assert rclone
    done = subprocess.run(
        [app / facts.RESTORE, "--to-local", "--with-files", "--database", "primary", "--yes"],
        env={
            "PATH": f"{app}:{rclone.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "RESTORED": str(database),
            **dict(
                zip(facts.BUCKET_KEYS, (server.s3.access_key, server.s3.secret_key), strict=True)
            ),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 are named by the rows" in done.stdout
    assert "3 of 4 uploaded files are here and whole." in done.stdout
    storage = app / "storage"
    copied = [p.name for p in storage.glob("*/*/*") if p.is_file()]
    assert sorted(copied) == sorted(KEYS[:3])
    assert not list(storage.glob(".uploads*"))


PLAYED = f"""\
if [ "$1" = version ]; then echo {facts.VERSIONS["litestream"]["0.5"]}; exit; fi
while [ "$1" != -o ]; do shift; done
cp "$RESTORED" "$2"
"""

COUNTING = """\
#!/bin/sh
# Plays rclone, which would take an hour: notes what it is asked for, and how many files that is.
asked="$1"
[ "$1" = lsf ] && exit 3
[ "$1" = cat ] && cat "$UPLOADS_ROOT/.uploads/owner" && asked=
while [ $# -gt 1 ]; do
  if [ "$1" = --files-from-raw ] && [ "$2" != - ]; then asked="$asked $(wc -l <"$2")"; fi
  shift
done
[ -z "$asked" ] || echo "$asked" >>"$CALLS"
"""


# A process counts the most that the one had which it was forked off: a small one does it.
MEASURED = """
import os, sys
child = os.posix_spawn("/bin/sh", ["sh", sys.argv[1], "once"], os.environ)
_, status, used = os.wait4(child, 0)
print(used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_many_files_are_asked_for_once_each_in_bounded_memory(
    rendered: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rclone").write_text(COUNTING)
    (tmp_path / "rclone").chmod(0o755)
    (tmp_path / "rclone.conf").touch()
    root, calls = tmp_path / "storage", tmp_path / "calls"
    for first in range(256):
        folder = root / f"{first:02x}" / "cd"
        folder.mkdir(parents=True)
        for number in range(first, MANY, 256):
            (folder / f"{first:02x}cd{number:028}").touch()
            os.utime(folder / f"{first:02x}cd{number:028}", (1, 1))

    def once() -> tuple[list[str], float, int]:
        calls.write_text("")
        began = time.monotonic()
        command = [sys.executable, "-c", MEASURED, rendered(uploads=True) / facts.COPY_UPLOADS]
        env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(calls)}
        env |= {"UPLOADS_ROOT": str(root), "RCLONE_CONFIG": str(tmp_path / "rclone.conf")}
        done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE)
        took = time.monotonic() - began
        return calls.read_text().splitlines(), took, int(done.stdout.split()[-1])

    calls_made, took, memory = once()
    copied = [
        int(line.split()[1]) for line in calls_made if line.startswith("copy ") and " " in line
    ]
    assert sum(copied) == MANY
    later, idle_took, _ = once()
    assert later == []
    (root / "00/cd/00cdnew").touch()
    os.utime(root / "00/cd/00cdnew", (1, 1))
    later, new_took, new_memory = once()
    assert later == ["copy 1"]
    with capsys.disabled():
        print(
            f"\n{MANY} files: noted in {took:.1f} s and {memory // 1024} MB, an idle round "
            f"{idle_took:.2f} s, one new file {new_took:.2f} s and {new_memory // 1024} MB"
        )
    assert max(memory, new_memory) < 200 * 1024 + MANY
