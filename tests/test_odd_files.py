"""Pipes, devices and links where an app's files should be: never waited for nor written through."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from kamalstream.check import check_files
from kamalstream.edit.credentials import store
from kamalstream.edit.production_rb import edit_file
from kamalstream.errors import BadInput
from kamalstream.hooks import make_executable
from kamalstream.inspect.adopted import App
from kamalstream.render.apply import apply
from kamalstream.render.plan import Change, Plan
from kamalstream.update.owned import rename_answer

from .fixtures_init import Ran, _answers, _kamalstream, files_of  # noqa: F401

OPENED: dict[str, int] = {}
WATCHED: list[str] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and WATCHED and str(arguments[0]).startswith(WATCHED[-1]):
        OPENED[str(arguments[0])] = int(arguments[2])  # type: ignore[call-overload]


sys.addaudithook(_note)


@contextmanager
def _watching(app: Path) -> Iterator[dict[str, int]]:
    OPENED.clear()
    WATCHED.append(f"{app}/")
    yield OPENED
    WATCHED.pop()


@pytest.fixture(autouse=True)
def _no_test_hangs() -> Iterator[None]:
    def hung(*_: object) -> None:
        raise AssertionError("it waits for ever")

    signal.signal(signal.SIGALRM, hung)
    signal.alarm(600)
    yield
    signal.alarm(0)


def test_every_file_of_an_app_is_opened_so_that_a_pipe_cannot_hold_it(
    kamalstream: Callable[..., Ran],
    answers: Callable[..., Path],
    sample_app: Callable[[str], Path],
    fresh: Callable[..., Path],
) -> None:
    app = sample_app("changed_by_hand")
    (app / "package.json").write_text("{}")
    with _watching(app) as opened:
        ran = kamalstream("init", app, "--defaults", "--dry-run", "--data-file", answers())
        assert "config/deploy.yml" in ran.out, ran.err
        names = {name.removeprefix(f"{app}/") for name in opened}
    assert {"Gemfile.lock", "config/deploy.yml", "package.json"} <= names
    waiting = [name for name, flags in opened.items() if not flags & os.O_NONBLOCK]
    assert not waiting
    app = fresh()
    with _watching(app) as opened:
        check_files(App(app))
    assert f"{app}/config/litestream.yml" in opened
    waiting = [name for name, flags in opened.items() if not flags & os.O_NONBLOCK]
    assert not waiting


@pytest.mark.parametrize(
    "file", ["config/deploy.yml", "Dockerfile", "config/environments/production.rb"]
)
def test_a_pipe_in_place_of_a_file_is_said_and_nothing_is_written(
    kamalstream: Callable[..., Ran],
    answers: Callable[..., Path],
    sample_app: Callable[[str], Path],
    file: str,
) -> None:
    app = sample_app("rails_8_1")
    (app / file).unlink()
    os.mkfifo(app / file)
    before = files_of(app)
    ran = kamalstream("init", app, "--defaults", "--data-file", answers())
    assert ran.code == 2
    assert f"{file} cannot be read: it is a pipe" in ran.err
    assert files_of(app) == before


def test_a_pipe_is_checked_as_what_is_not_there(
    kamalstream: Callable[..., Ran], fresh: Callable[..., Path]
) -> None:
    app = fresh()
    for files in ((".kamal/secrets", "config/litestream.yml"), ("config/deploy.yml",)):
        for file in files:
            (app / file).unlink()
            os.mkfifo(app / file)
        ran = kamalstream("check", app)
        assert ran.code == 1, ran
        assert all(file in ran.out for file in files)


@pytest.mark.parametrize("link", ["Dockerfile", "config/environments/production.rb", "docs", "tmp"])
def test_a_link_out_of_the_app_is_not_written_through(
    kamalstream: Callable[..., Ran],
    answers: Callable[..., Path],
    sample_app: Callable[[str], Path],
    tmp_path: Path,
    link: str,
) -> None:
    app = sample_app("rails_8_1")
    outside = tmp_path / "outside"
    if (app / link).is_file():
        (app / link).rename(outside)
    else:
        outside.mkdir()
        for left in (app / link).rglob("*"):
            left.unlink()
        if (app / link).exists():
            (app / link).rmdir()
    (app / link).symlink_to(outside)
    data = answers()
    before = files_of(tmp_path)
    for options in (["--dry-run"], []):
        ran = kamalstream("init", app, "--defaults", "--data-file", data, *options)
        if link == "tmp" and options:
            continue
        assert ran.code == 2, ran.out
        assert f"leads out of the app, to {outside}" in ran.err
        assert len(ran.err.splitlines()) == 2
    assert files_of(tmp_path) == before


def test_no_writer_follows_a_link_out_of_the_app(tmp_path: Path) -> None:
    app, outside = tmp_path / "app", tmp_path / "outside"
    (app / "bin").mkdir(parents=True)
    outside.write_text("theirs\n")
    for name in ("a", "bin/restore", ".copier-answers.yml"):
        (app / name).symlink_to(outside)
    (app / "config").mkdir()
    (app / "config/master.key").write_text("0" * 32)
    (app / "config/credentials.yml.enc").symlink_to(tmp_path / "new")
    before = files_of(tmp_path)
    change = Change("a", outside.read_bytes(), b"ours", 0o644, "ours")
    for write in (
        lambda: apply(Plan(app, (change,)), datetime(2026, 1, 2)),
        lambda: edit_file(app, "a"),
        lambda: store(app, "id", "secret"),
        lambda: make_executable(app),
        lambda: rename_answer(app, "old", "new"),
    ):
        with pytest.raises(BadInput, match="leads out of the app"):
            write()
    assert files_of(tmp_path) == before


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("a")
    with pytest.raises(BadInput, match=r"cannot be read|leads nowhere"):
        apply(Plan(tmp_path, (Change("a", None, b"x", 0o644, "new"),)), datetime(2026, 1, 2))


def test_a_file_too_large_to_be_meant_is_passed_over(fresh: Callable[..., Path]) -> None:
    app = fresh()
    with (app / "bin/large").open("wb") as file:
        file.truncate(30_000_000)
    assert App(app).text("bin/large") is None
    check_files(App(app))
