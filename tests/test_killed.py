"""Runs that are ended at any moment: every file old or new, and the next run finishes the job.

`KAMALSTREAM_KILLS` says how many moments each test takes: 300 for the figures of
docs/reliability.md.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from kamalstream import atomic
from kamalstream.edit.credentials import store
from kamalstream.errors import BadInput
from kamalstream.render import journal
from kamalstream.render.apply import apply
from kamalstream.render.plan import Change, Plan

from .conftest import ROOT
from .fixtures_init import Files, files_of

KILLS = int(os.environ.get("KAMALSTREAM_KILLS", "12"))
NOW = datetime(2026, 1, 2)
CHANGES = (
    Change("a", b"old a", b"new a", 0o644, "ours"),
    Change("bin/b", b"old b", b"new b", 0o755, "edited"),
    Change("bin/c", b"same", b"same", 0o755, "edited"),
    Change("docs/new/d", None, b"new d", 0o644, "new"),
    # What `kamalstream remove` takes away, with its folder.
    Change("workflows/e", b"old e", None, 0o640, "gone"),
    Change("bin/f", b"old f", None, 0o640, "gone"),
    *(Change(f"config/{n}", b"old", b"x" * 9_000, 0o644, "ours") for n in range(2)),
)


def _app(folder: Path) -> Path:
    for change in CHANGES:
        if change.before is not None:
            (folder / change.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / change.file).write_bytes(change.before)
            (folder / change.file).chmod(0o640)
    return folder


def _without_kept(files: Files) -> Files:
    return {name: file for name, file in files.items() if not name.startswith("tmp/")}


class _Moment:
    """Ends a run at its `step`th call that changes the disk: by `ended`, or for good."""

    step = seen = 0
    ended: type[BaseException] | None = None


def _count(event: str, arguments: tuple[object, ...]) -> None:
    if not _Moment.step:
        return
    changing = event in ("os.rename", "os.chmod", "os.remove", "os.mkdir", "os.rmdir")
    if changing or (event == "open" and int(arguments[2]) & os.O_CREAT):  # type: ignore[call-overload]
        _Moment.seen += 1
        if _Moment.seen == _Moment.step:
            if _Moment.ended is None:
                os.kill(os.getpid(), signal.SIGKILL)
            raise _Moment.ended


sys.addaudithook(_count)


def _ended_at(app: Path, step: int, ended: type[BaseException] | None) -> None:
    """Apply in this process, or in one that is killed."""
    child = os.fork() if ended is None else 0
    if child:
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        return
    _Moment.step, _Moment.seen, _Moment.ended = step, 0, ended
    try:
        # Making a folder that is there already may fail, and nothing is wrong.
        with suppress(KeyboardInterrupt, SystemExit, BadInput):
            apply(Plan(app, CHANGES), NOW)
    finally:
        _Moment.step = 0
        if ended is None:
            os._exit(0)


def _steps(folder: Path) -> int:
    """Return how many calls there are to end at."""
    _Moment.step, _Moment.seen = -1, 0
    apply(Plan(folder, CHANGES), NOW)
    _Moment.step = 0
    return _Moment.seen


@pytest.mark.parametrize("ended", [None, KeyboardInterrupt, SystemExit, OSError])
def test_whatever_step_it_ends_at_it_is_taken_back_or_done(
    tmp_path: Path, ended: type[BaseException] | None
) -> None:
    before = files_of(_app(tmp_path / "before"))
    steps = _steps(_app(tmp_path / "done"))
    done = files_of(tmp_path / "done")
    assert steps > 40
    for step in random.sample(range(1, steps + 1), min(KILLS, steps)):
        app = _app(tmp_path / "app")
        _ended_at(app, step, ended)
        if ended is None:
            for name, (_, content) in files_of(app).items():
                if not name.startswith("tmp/") and atomic._MARK not in name:
                    was, becomes = before.get(name), done.get(name)
                    assert content in {one[1] for one in (was, becomes) if one}
            journal.take_back(app)
        found = files_of(app)
        left = {name for name in found if atomic._MARK in name}
        # Killed before there was a note of what to take back.
        assert all(name.startswith("tmp/.kamalstream.journal") for name in left), (step, left)
        assert {name: found[name] for name in found if name not in left} in (before, done), step
        if found != done:
            assert not (app / "docs").exists()
            apply(Plan(app, CHANGES), NOW)
            assert files_of(app) == done
        shutil.rmtree(app)


def test_what_its_owner_changed_since_the_kill_stays(tmp_path: Path) -> None:
    app = _app(tmp_path / "app")
    for step in range(25, 200):
        shutil.rmtree(app)
        _ended_at(_app(app), step, None)
        if (app / "a").read_bytes() == b"new a":
            break
    (app / "a").write_text("mine")
    assert journal.take_back(app)
    assert (app / "a").read_text() == "mine"
    assert next((app / "tmp").glob("*/a")).read_text() == "old a"
    assert not journal.take_back(app)


@pytest.mark.parametrize(
    ("file", "copy"),
    [
        (".git/config", "a"),
        ("a", "../secret"),
        ("../secret", "a"),
        (".GIT/config", None),
        ("a", 7),
        ("link", "a"),
    ],
)
def test_a_note_that_a_repository_came_with_does_no_harm(
    tmp_path: Path, file: str, copy: str
) -> None:
    app = tmp_path / "app"
    for name in ("app/.git/config", "app/a", "secret", "app/tmp/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (app / "link").symlink_to("../secret")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    hashed = journal.digest((app / file).read_bytes()) if (app / file).is_file() else ""
    journal.begin(app, [journal.Entry(file, copy, 0o777, hashed)], [])
    with pytest.raises(BadInput):
        journal.take_back(app)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before


def test_two_runs_do_not_write_at_once(tmp_path: Path) -> None:
    app = _app(tmp_path / "app")
    before = files_of(app)
    with atomic.alone(app), pytest.raises(BadInput, match="another kamalstream is writing"):
        apply(Plan(app, CHANGES), NOW)
    assert files_of(app) == before
    refused: list[BadInput] = []

    def run() -> None:
        try:
            apply(Plan(app, CHANGES), NOW)
        except BadInput as error:
            refused.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    assert (app / "a").read_bytes() == b"new a"


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    app = tmp_path / "app"
    (app / "config").mkdir(parents=True)
    (app / "config/application.rb").write_text("")
    (app / "config/master.key").write_text("0" * 32)
    store(app, "first", "first")
    return app


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_credentials_that_are_interrupted_leave_no_file(credentials: Path, end: int) -> None:
    config = credentials / "config"
    names = {path.name for path in config.iterdir()}
    command = [sys.executable, "-m", "kamalstream.cli", "credentials", "--stdin", credentials]
    started = time.monotonic()
    _credentials(command, "zero").wait(60)
    longest = time.monotonic() - started
    for turn in range(KILLS // 3):
        running = _credentials(command, f"key{turn}")
        time.sleep(random.uniform(0, longest))
        running.send_signal(end)
        # A traceback of Python alone is from before it has come to us.
        assert b"/kamalstream/" not in running.communicate(timeout=60)[1]
        left = {path.name for path in config.iterdir()} - names
        if end != signal.SIGKILL:
            assert not left
        store(credentials, f"again{turn}", "x")
        assert {path.name for path in config.iterdir()} == names


def _credentials(command: list[str | Path], key: str) -> subprocess.Popen[bytes]:
    running = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert running.stdin
    running.stdin.write(f"{key}\nsecret\n".encode())
    running.stdin.close()
    running.stdin = None
    return running
