"""`kamalstream move`: the command against two servers that are faked where ssh and Kamal begin."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from kamalstream.check import ssh
from kamalstream.commands import move as command
from kamalstream.edit import hosts
from kamalstream.errors import BadInput, Interrupted
from kamalstream.inspect.adopted import App
from kamalstream.inspect.kamal.deployment import Deployment, kamal
from kamalstream.move import moving, scripts
from kamalstream.move.moving import Failed

OLD, NEW, VERSION = "203.0.113.7", "198.51.100.9", "4f1e2a"
FILES = ("/rails/storage/production.sqlite3", "/rails/storage/production_queue.sqlite3")


class Killed(BaseException):
    """The command ends here, as by SIGKILL: nothing of it runs any more."""


class FakeServer:
    """What a server has, by what the scripts of a move do to it; no shell is run."""

    def __init__(self) -> None:
        self.lock = ""
        self.app: str | None = None  # the state of its container
        self.sidecar: str | None = None
        self.rows: dict[str, int] = {}
        self.maintenance = False
        self.fence = ""
        self.here = self.uploaded = 0
        self.answers = True


class FakeStreet:
    """Both servers, the bucket between them, and Kamal: fakes of all four."""

    def __init__(self) -> None:
        self.servers = {OLD: FakeServer(), NEW: FakeServer()}
        self.bucket: dict[str, int] = {}
        self.done: list[str] = []
        self.ends_at: int | None = None
        self.fails: set[str] = set()
        self.no_image = False
        old = self.servers[OLD]
        old.app = old.sidecar = "running"
        old.rows = dict.fromkeys(FILES, 20)

    def write(self) -> None:
        """A visitor comes: a row where the app runs, which Litestream has not uploaded yet."""
        [server] = [one for one in self.servers.values() if one.app == "running"]
        server.rows = {file: count + 1 for file, count in server.rows.items()}

    def _step(self, name: str) -> None:
        if self.ends_at == len(self.done):
            self.ends_at = None
            raise Killed(name)
        self.done.append(name)
        if name in self.fails:
            raise Failed(f"{name} failed")
        self._never_two()

    def _never_two(self) -> None:
        old, new, *_ = self.servers.values()
        assert not (old.app == "running" and new.app == "running")
        for one in (old, new):
            assert not (one.fence and one.sidecar == "running"), "fenced, and writes to the bucket"

    def run(
        self, host: str, _: object, line: str, stdin: str = "", seconds: float | None = 60
    ) -> subprocess.CompletedProcess[str]:
        server = self.servers.setdefault(host, FakeServer())
        if not server.answers:
            raise ssh.NoAnswerError("Connection refused")
        script, arguments = shlex.split(line)[2], shlex.split(line)[4:]
        if script == 'exec "$@"':
            at = arguments.index("-c")
            script, arguments = arguments[at + 1], arguments[at + 3 :]
        names = {text: name for name, text in vars(scripts).items() if isinstance(text, str)}
        name = names.get(script, script.split()[0])
        try:
            if name not in ("LOOK", "VOLUME", "ROWS", "cat"):
                self._step(f"{name} on {host}")
            said = self._does(name, server, script, arguments, stdin)
        except Failed as failure:
            return subprocess.CompletedProcess([], 1, "", str(failure))
        self._never_two()
        return subprocess.CompletedProcess([], 0, said, "")

    def _does(
        self, name: str, server: FakeServer, script: str, arguments: list[str], stdin: str
    ) -> str:
        if name == "LOOK":
            return self._look(server)
        if name == "VOLUME":
            fences = [f"fenced {server.fence} {file}\n" for file in FILES if server.fence]
            return "".join(fences + [f"file 8192 {file}\n" for file in server.rows])
        if name == "ROWS":
            return "".join(f"{file}\tnotes\t{count}\n" for file, count in server.rows.items())
        if name == "STOP":
            server.app, server.maintenance = server.app and "exited", True
        elif name == "UPLOAD":
            assert server.app == "exited", "somebody may still write"
            assert not server.fence
            self.bucket, server.sidecar = dict(server.rows), "exited"
        elif name == "POSITIONS":
            return "".join(f"0a 0a {file}\n" for file in FILES)
        elif name == "FENCE":
            assert server.app == server.sidecar == "exited"
            server.fence = arguments[0]
        elif name == "LIFT":
            server.fence = ""
        elif name == "CLEAR":
            server.rows, server.fence = {}, ""
        elif name == "START":
            assert not server.fence
            server.app, server.sidecar, server.maintenance = "running", "running", False
        elif name == "REHEARSE":
            return "bytes 8192\n" * len(FILES)
        elif "kamal-proxy resume" in script:
            server.maintenance = False
        elif "boot-restore" in script:
            server.rows = server.rows or dict(self.bucket)
        elif "docker rm" in script:
            server.app = server.sidecar = None
        elif script.startswith("rm -rf"):
            server.lock = ""
        return ""

    def _look(self, server: FakeServer) -> str:
        lines = []
        if server.lock:
            lines.append(f"lock Locked by: me Message: {server.lock}")
        if server.app:
            lines.append(f"app 2026-01-01T00:00:00Z {server.app} web notes:{VERSION} {VERSION} 0f")
        if server.sidecar:
            lines.append(f"accessory {server.sidecar} notes-litestream")
        return "\n".join(lines)

    def kamal(self, root: Path, words: list[str]) -> None:
        config = yaml.safe_load(Path(words[words.index("--config-file") + 1]).read_text())
        [host] = config["servers"]["web"]
        server = self.servers[host]
        self._step(f"kamal {' '.join(words[:2])} on {host}")
        if words[:2] == ["build", "pull"] and self.no_image:
            raise Failed("manifest unknown")
        if words[:2] == ["lock", "acquire"]:
            assert not server.lock
            server.lock = words[words.index("--message") + 1]
        if words[0] == "setup":
            assert not server.fence
            assert server.app or server.rows == self.bucket
            server.app = server.sidecar = "running"
            # It writes from its first second on.
            server.rows = {file: count + 1 for file, count in server.rows.items()}
        self._never_two()


@pytest.fixture
def street(monkeypatch: pytest.MonkeyPatch) -> FakeStreet:
    made = FakeStreet()
    monkeypatch.setattr(ssh, "run", made.run)
    monkeypatch.setattr(moving, "kamal", made.kamal)
    return made


@pytest.fixture
def app(deployable: Callable[..., Path], tmp_path: Path) -> Path:
    return deployable(tmp_path / "notes", uploads=False)


@pytest.fixture
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what is the same at every step read at the first alone."""
    apps: dict[str, App] = {}
    texts: dict[tuple[str, str], dict[str, str]] = {}
    on_server = hosts.on_server

    def app(root: Path) -> App:
        text = (root / "config/deploy.yml").read_text()
        if text not in apps:
            apps[text] = App(root)
        return apps[text]

    def once(root: Path, one: Deployment, server: str) -> dict[str, str]:
        key = one.hosts[0], server
        if key not in texts:
            texts[key] = on_server(root, one, server)
        return texts[key]

    monkeypatch.setattr(command, "App", app)
    monkeypatch.setattr(hosts, "on_server", once)


def _move(app: Path, to: str = NEW, **options: Any) -> int:
    return command.run(app, to, command.Options(**{"yes": True, **options}), Console(width=80))


def _servers(app: Path) -> list[str]:
    servers: list[str] = yaml.safe_load((app / "config/deploy.yml").read_text())["servers"]["web"]
    return servers


def _changed(app: Path, before: str) -> list[str]:
    now = (app / "config/deploy.yml").read_text().splitlines()
    return [line for line in now if line not in before.splitlines()]


def test_no_row_is_lost_and_only_the_host_lines_change(
    app: Path, street: FakeStreet, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy = app / "config/deploy.yml"
    deploy.write_text(deploy.read_text().replace(f'- "{OLD}"', f'- "{OLD}" # the cheap one'))
    before = deploy.read_text()
    street.write()
    assert _move(app) == 0
    old, new = street.servers.values()
    assert (old.app, old.fence, new.app) == ("exited", NEW, "running")
    assert old.lock == f"kamalstream move to {NEW} of {VERSION}"
    assert street.bucket == dict.fromkeys(FILES, 21)
    assert _changed(app, before) == [f'    - "{NEW}" # the cheap one']
    assert yaml.safe_load((app / ".copier-answers.yml").read_text())["server_ip"] == NEW
    guide = (app / "docs/DEPLOYMENT.md").read_text()
    assert f"`{NEW}`" in guide
    assert OLD not in guide
    said = capsys.readouterr().out
    assert "The app will be down for about" in said
    assert said.index("The app will be down") < said.index("→ Stopping the app")
    assert "Compared: 42 rows in 2 tables, all there" in said
    with pytest.raises(BadInput, match=f"production is on {NEW} already"):
        _move(app)
    with pytest.raises(BadInput, match=f"the move to {NEW} is finished"):
        _move(app, undo=True)
    street.write()
    assert _move(app, OLD) == 0
    assert (old.app, old.fence, new.fence, new.app) == ("running", "", OLD, "exited")
    assert old.rows == dict.fromkeys(FILES, 24), "with what the new one took"
    assert not old.maintenance
    assert deploy.read_text() == before


@pytest.mark.parametrize("then", ["again", "undo"])
def test_ended_at_any_step_and_run_again_it_ends_well(
    app: Path, street: FakeStreet, read_once: None, then: str
) -> None:
    deploy, steps = (app / "config/deploy.yml").read_text(), 0
    while True:
        fresh = FakeStreet()
        for name, value in vars(fresh).items():
            setattr(street, name, value)
        (app / "config/deploy.yml").write_text(deploy)
        street.ends_at = steps
        street.write()
        try:
            assert _move(app) == 0
            break
        except Killed as ended:
            at = str(ended)
        steps += 1
        old, new = street.servers.values()
        street.done.clear()
        if then == "again":
            assert _move(app) == 0, at
            assert (old.app, old.fence, new.app) == ("exited", NEW, "running"), at
            assert min(new.rows.values()) >= 21, at
            assert _servers(app) == [NEW], at
        elif old.lock:
            rows = max(one.rows.get(FILES[0], 0) for one in (old, new))
            assert _move(app, undo=True) == 0, at
            assert (old.app, old.fence, old.lock) == ("running", "", ""), at
            assert old.rows[FILES[0]] >= rows, f"{at}: what the new one took is kept"
            assert new.app in (None, "exited"), at
            assert _servers(app) == [OLD], at
        else:
            assert old.app == "running", at
            with pytest.raises(BadInput, match="nothing to undo"):
                _move(app, undo=True)
    assert steps > 12


def test_the_way_back_ended_at_any_step_and_run_again_ends_well(
    app: Path, street: FakeStreet, read_once: None
) -> None:
    for started in (False, True):
        steps = 0
        while True:
            for name, value in vars(FakeStreet()).items():
                setattr(street, name, value)
            street.fails = {f"kamal setup --skip-push on {NEW}"} if started else set()
            old, new = street.servers.values()
            if started:
                assert _move(app) == 1
                # The app came up, and Kamal gave up on it.
                new.app, new.sidecar, new.rows = "exited", "running", dict.fromkeys(FILES, 33)
            else:
                street.ends_at = 9
                with pytest.raises(Killed):
                    _move(app)
            street.fails, street.ends_at = set(), len(street.done) + steps
            try:
                assert _move(app, undo=True) == 0
                break
            except Killed as ended:
                at = str(ended)
            steps += 1
            assert _move(app, undo=True) == 0, at
            assert (old.app, old.fence, old.lock) == ("running", "", ""), at
            assert old.rows[FILES[0]] >= (33 if started else 20), at
        assert steps > 3


@pytest.mark.parametrize(
    "step", ["UPLOAD", "POSITIONS", "FENCE", "exec"], ids=["upload", "look", "close", "restore"]
)
def test_what_fails_before_the_app_starts_there_puts_all_back(
    app: Path, street: FakeStreet, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    street.fails = {f"{step} on {NEW if step == 'exec' else OLD}"}
    assert _move(app) == 1
    old, new = street.servers.values()
    assert (old.app, old.fence, old.lock, new.app) == ("running", "", "", None)
    assert _servers(app) == [OLD]
    said = capsys.readouterr().out
    assert "Nothing was moved: the app runs on 203.0.113.7." in said


def test_rows_that_differ_start_nothing(
    app: Path, street: FakeStreet, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    does = street._does

    def lossy(name: str, *rest: Any) -> str:
        said = does(name, *rest)
        if name == "UPLOAD":
            street.bucket[FILES[1]] -= 1
        return said

    monkeypatch.setattr(street, "_does", lossy)
    assert _move(app) == 1
    assert "production_queue.sqlite3 notes: 20, and 19 restored" in capsys.readouterr().out
    assert street.servers[OLD].app == "running"


def test_an_app_that_does_not_start_there_says_both_ways(
    app: Path, street: FakeStreet, capsys: pytest.CaptureFixture[str]
) -> None:
    street.fails = {f"kamal setup --skip-push on {NEW}"}
    assert _move(app) == 1
    said = capsys.readouterr().out
    assert f"To go on: kamalstream move {NEW}\n" in said
    assert f"To go back: kamalstream move {NEW} --undo\n" in said
    with pytest.raises(BadInput, match=f"a move to {NEW} is half done"):
        _move(app, "192.0.2.1")


def test_ctrl_c_says_both_ways(app: Path, street: FakeStreet, monkeypatch: Any) -> None:
    monkeypatch.setattr(command.Move, "transfer", _interrupt)
    with pytest.raises(Interrupted, match=f"To go on: kamalstream move {NEW}\nTo go back: "):
        _move(app)


def _interrupt(_: object) -> None:
    raise KeyboardInterrupt


def test_what_cannot_be_moved_is_refused_and_nothing_is_changed(
    app: Path, street: FakeStreet, monkeypatch: Any
) -> None:
    deploy = app / "config/deploy.yml"
    text = deploy.read_text()
    old, new = street.servers.values()

    def refused(match: str, to: str = NEW, **options: Any) -> None:
        with pytest.raises(BadInput, match=match):
            _move(app, to, **options)
        assert not [one for one in street.done if one.startswith(("STOP", "kamal lock"))]

    refused("production is on 203.0.113.7 already", OLD)
    refused("no such address|is no|not", "-oProxyCommand=x")
    refused("nowhere is no deployment. Deployments: production.", destination="nowhere")
    refused("nothing to undo", undo=True)
    host = f'- "{OLD}"'
    for lines, match in (
        (f'{host}\n    - "192.0.2.1"', "one server to be moved, and has 203.0.113.7, 192.0.2.1"),
        ("- <%= ENV['SERVER'] %>", r"(?s)config/deploy.yml.*by hand"),
        (f"- &at {OLD}\n  job:\n    - *at", r"(?s)config/deploy.yml:.*by hand"),
    ):
        deploy.write_text(text.replace(host, lines))
        refused(match)
    deploy.write_text(re.sub(r"(?s)accessories:.*?aliases:", "aliases:", text))
    refused("no backups to be moved by")
    deploy.write_text(text)
    old.lock = "Automatic deploy lock"
    refused(r"(?s)Kamal's lock is held on 203.0.113.7: .*kamal lock release")
    old.lock, new.app = "", "exited"
    refused(f"{NEW} has this app already")
    new.app, new.rows = None, dict.fromkeys(FILES, 3)
    refused(f"(?s){NEW} has data of this app already: .*as before")
    new.rows, old.app = {}, "exited"
    refused("the app does not run on 203.0.113.7")
    old.app, new.answers = "running", False
    refused(f"ssh does not get in to {NEW}: Connection refused. Nothing was changed.")
    new.answers, street.no_image = True, True
    refused("(?s)is in no registry .* Deploy first".replace(" Deploy", ".Deploy"))
    street.no_image = False
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    refused("there is no terminal to ask on", yes=False)
    assert (deploy.read_text(), old.app, old.lock) == (text, "running", "")
    street.done.clear()
    assert _move(app, dry_run=True) == 0
    assert street.done == []


def test_the_fence_is_put_up_lifted_and_cleared_by_real_shell(tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    database = storage / "production.sqlite3"
    (storage / ".production.sqlite3-litestream/ltx/0").mkdir(parents=True)
    (storage / ".production.sqlite3-backup").write_text("0 0a 0b\n")
    (storage / ".uploads").mkdir()
    (storage / ".uploads/known").write_text("3 ab/cd/abcd\n7 ab/ce/gone\n9 ab/cf/lost\n")
    with closing(sqlite3.connect(database)) as rows:
        rows.execute("PRAGMA journal_mode = wal")
        rows.executescript(
            'CREATE TABLE "it\'s ""one""" (x); INSERT INTO "it\'s ""one""" VALUES (1), (2);'
            "CREATE TABLE _litestream_seq (id); CREATE VIRTUAL TABLE f USING fts5(t);"
        )

    env = {**os.environ, "OURS": "0", "LITESTREAM_CONFIG": "config/litestream.yml"}

    def run(script: str, *arguments: str, stdin: str = "") -> str:
        command = ["sh", "-c", script, "move", *arguments]
        said = subprocess.run(
            command,
            cwd=tmp_path,
            env=env,
            input=stdin,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return said.stdout

    # A fake, which says that the backup is as it was left, or not.
    one_writer = tmp_path / "bin/one-writer"
    one_writer.parent.mkdir()
    one_writer.write_text(f"#!/bin/sh\n[ $1 = claim ] || exit $OURS\ntouch {tmp_path}/claimed\n")
    one_writer.chmod(0o755)

    if shutil.which("sqlite3"):
        counted = run(scripts.ROWS, str(database), str(storage / "none"))
        assert f'{database}\tit\'s "one"\t2\n' in counted
        assert "_litestream" not in counted
    before = sorted(str(one) for one in storage.rglob("*"))
    files = (str(database), str(storage / "production_queue.sqlite3"))
    for _ in range(2):
        run(scripts.FENCE, NEW, str(storage), *files)
        seen = run(scripts.VOLUME, str(storage), *files)
        assert f"fenced {NEW} {database}\n" in seen
        assert f"fenced {NEW} {files[1]}" not in seen
        assert not (storage / ".production.sqlite3-backup").exists()
    (storage / ".uploads/purged").mkdir(parents=True)
    (storage / ".uploads/purged/20260101T00").write_text("ab/ce/gone\n")
    (storage / ".uploads/known").write_text("3 ab/cd/abcd\n")
    wanted = (storage / ".uploads-moved/known").read_text()
    counted = run(scripts.FILES.replace("/tmp/", f"{tmp_path}/"), str(storage), stdin=wanted)
    assert counted == "3 19 1\n"
    for _ in range(2):
        run(scripts.LIFT, str(storage), *files)
        (storage / ".uploads/claim").unlink(missing_ok=True)
        assert sorted(str(one) for one in storage.rglob("*")) == before
    for ours, claimed in (("2", False), ("1", True)):
        env["OURS"] = ours
        run(scripts.LIFT, str(storage), *files)
        assert (tmp_path / "claimed").exists() == claimed
        assert (storage / ".production.sqlite3-litestream").exists() != claimed
    run(scripts.FENCE, NEW, str(storage), *files)
    run(scripts.CLEAR, "20260101T000000Z", str(storage), *files)
    kept = "production.sqlite3.before-move-20260101T000000Z"
    left = {one.name for one in storage.iterdir()}
    assert kept in left
    assert left <= {kept, f"{kept}-wal", f"{kept}-shm"}


def test_a_server_that_was_left_starts_nothing_until_it_is_told_to_go_on(
    rendered: Callable[..., Path], tmp_path: Path
) -> None:
    app = rendered(uploads=True)
    database, uploads = tmp_path / "production.sqlite3", tmp_path / ".uploads-moved"
    fence = tmp_path / ".production.sqlite3-moved"
    fence.mkdir()
    (fence / "to").write_text(f"{NEW}\n")
    database.touch()
    uploads.mkdir()
    config = tmp_path / "litestream.yml"
    config.write_text(f"dbs:\n  - path: {database}\n")
    # A fake whose bucket has nothing: the fence holds by itself.
    (tmp_path / "litestream").write_text("#!/bin/sh\ncase $1 in ltx) ;; *) echo GOES ON ;; esac\n")
    (tmp_path / "litestream").chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "LITESTREAM_CONFIG": str(config),
        "ONE_WRITER_SECONDS": "0.1",
        "UPLOADS_MOVED_SECONDS": "0",
        "UPLOADS_ROOT": str(tmp_path),
    }

    def run(*command: str) -> tuple[int, str]:
        done = subprocess.run(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.returncode, done.stdout

    replicate = ("sh", str(app / "bin/one-writer"), "replicate", "-config", str(config))
    code, said = run(*replicate)
    assert code == 1
    assert f"{database} was moved to {NEW}, which writes to its backup now." in said
    code, said = run("sh", str(app / "bin/boot-restore"), "exec", "echo", "GOES ON")
    assert code == 1
    assert "The app does not start" in said
    assert "GOES ON" not in said
    code, said = run("sh", str(app / "bin/copy-uploads"), "watch")
    assert code == 1
    assert "were moved to another one" in said
    assert run("sh", str(app / "bin/one-writer"), "claim", str(config), str(database))[0] == 0
    assert "GOES ON" in run(*replicate)[1]


FORMS = (
    f"servers:\n  - {OLD} # mine\n",
    f"servers:\n  web:\n    - '{OLD}': [small, cheap]\n  job: ['{OLD}']\n",
    f'servers:\n  web:\n    hosts:\n      - "{OLD}"\n    options: {{memory: 1g}}\n'
    f"accessories:\n  redis:\n    host: {OLD} # beside it\n    image: redis\n"
    f"  far:\n    host: 192.0.2.77\n  both:\n    hosts: [{OLD}, 192.0.2.77]\n",
)


@pytest.mark.parametrize("form", FORMS, ids=["list", "tags", "accessories"])
def test_the_host_lines_are_changed_and_nothing_else(tmp_path: Path, form: str) -> None:
    (tmp_path / "config").mkdir()
    text = f"# Kept as it is: {OLD}\nservice: notes\nimage: notes\n{form}"
    (tmp_path / "config/deploy.yml").write_text(text)
    read = kamal(tmp_path)
    assert read
    assert read.main
    after = hosts.on_server(tmp_path, read.main, NEW)["config/deploy.yml"]
    kept = re.compile(rf"([\"']?)(?:{NEW}|{OLD})\1")
    assert kept.sub("HOST", after) == kept.sub("HOST", text)
    assert yaml.safe_load(after) == yaml.safe_load(text.replace(OLD, NEW))
    assert after.startswith(f"# Kept as it is: {OLD}\n")


def test_a_destination_is_moved_by_its_own_file_and_takes_no_other_along(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    deploy, staging = tmp_path / "config/deploy.yml", tmp_path / "config/deploy.staging.yml"
    deploy.write_text(f"service: notes\nimage: notes\nservers: ['{OLD}']\n")
    staging.write_text(f"servers:\n  - {OLD}\n")

    def moved(name: str | None) -> dict[str, str]:
        read = kamal(tmp_path)
        one = read and read.deployment(name)
        assert one
        return hosts.on_server(tmp_path, one, NEW)

    assert NEW in moved("staging")["config/deploy.staging.yml"]
    assert moved("staging")["config/deploy.yml"] == deploy.read_text()
    assert moved(None)["config/deploy.staging.yml"] == staging.read_text()
    # Where both are, because one file says so.
    staging.write_text("proxy: {host: staging.example.com}\n")
    with pytest.raises(BadInput, match="cannot be moved"):
        moved("staging")
