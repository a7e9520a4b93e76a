"""What `rails new` leaves open in config/database.yml is written into it.

tests/stock holds files that the real generators wrote; Active Record says what an app opens then.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from kamalstream.check import check_files
from kamalstream.edit.database_yml import edit
from kamalstream.inspect.adopted import App
from kamalstream.inspect.database_yml import production_databases

from .conftest import ROOT, requires
from .fixtures_init import Ran, _answers, _kamalstream, files_of  # noqa: F401
from .fixtures_template import commit, render
from .rails_oracle import what_rails_opens
from .test_database_yml import MAIN, SOLID

FILE = "config/database.yml"
STOCK = {
    "rails-7.2.4": MAIN,
    "rails-8.0.5.1-skip-kamal": SOLID,
    "rails-8.1.4-skip-kamal": SOLID,
}
Command = Callable[..., Ran]
Sample = Callable[[str], Path]
DataFile = Callable[..., Path]


@pytest.fixture(name="fresh")
def _fresh(sample_app: Sample) -> Callable[..., Path]:
    """Make an app whose database.yml is what the generator wrote, or `text`."""

    def make(release: str, text: str | None = None) -> Path:
        app = sample_app("rails_8_1")
        shutil.copy(ROOT / "tests/stock" / release / FILE, app / FILE)
        if text is not None:
            (app / FILE).write_bytes(text.encode())
        commit(app, "As rails new makes it")
        return app

    return make


def opened_by_rails(app: Path) -> dict[str, str]:
    found = what_rails_opens({"it": (app / FILE).read_text()})["it"]
    return {name: one["database"].removeprefix("/rails/") for name, one in found.items()}


@requires("activerecord")
@pytest.mark.parametrize("release", STOCK)
def test_a_fresh_app_gets_the_files_that_rails_means_and_opens_them(
    kamalstream: Command, fresh: Callable[..., Path], answers: DataFile, release: str
) -> None:
    app = fresh(release)
    before = (app / FILE).read_text()

    ran = kamalstream("init", app, "--defaults", "--yes", "--data-file", answers())

    assert ran.code == 0, ran.out + ran.err
    assert "names no file for primary; it gets storage/production.sqlite3" in ran.out
    assert re.search(r"^\+ +database: storage/production.sqlite3$", ran.out, re.MULTILINE)
    now = (app / FILE).read_text()
    assert now == before.replace("# database: path/to/persistent/storage/", "database: storage/")
    assert opened_by_rails(app) == STOCK[release]
    replicated = yaml.safe_load((app / "config/litestream.yml").read_text())["dbs"]
    kept = {path for name, path in STOCK[release].items() if name not in ("cache", "cable")}
    assert {one["path"] for one in replicated} == {f"/rails/{path}" for path in kept}
    # With 7.2's one database the Solid gems of the sample app have none: that is said.
    lacking = ("queue.nobody", "solid.not-installed") if release == "rails-7.2.4" else ()
    said = {one.id for one in check_files(App(app)) if one.level != "note"}
    assert said <= set(lacking)
    written = files_of(app)
    again = kamalstream("init", app, "--defaults", "--yes", "--data-file", answers())
    assert "Nothing would change" in again.out
    assert files_of(app) == written


@requires("activerecord")
def test_copier_alone_writes_them_too(template: Path, fresh: Callable[..., Path]) -> None:
    app = fresh("rails-8.1.4-skip-kamal")
    render(template, app)
    assert opened_by_rails(app) == SOLID


@requires("activerecord")
def test_the_files_are_those_that_the_answers_name(
    kamalstream: Command, fresh: Callable[..., Path], answers: DataFile
) -> None:
    app = fresh("rails-8.1.4-skip-kamal")
    named = {**SOLID, "primary": "storage/shop.sqlite3"}
    data = answers(databases=named)
    ran = kamalstream("init", app, "--defaults", "--yes", "--data-file", data)
    assert ran.code == 0, ran.out + ran.err
    assert opened_by_rails(app) == named


OPEN = "production:\n{0}primary:\n{0}  adapter: sqlite3\n{0}queue:\n{0}  adapter: sqlite3\n"


@requires("activerecord")
def test_what_no_generator_left_open_is_asked_for_by_all_names_and_then_written(
    kamalstream: Command, fresh: Callable[..., Path], answers: DataFile
) -> None:
    app = fresh("rails-7.2.4", OPEN.format("  "))
    refused = kamalstream("init", app, "--defaults", "--yes", "--data-file", answers())
    assert refused.code == 2
    example = refused.err[refused.err.index("databases:\n") :]
    named = yaml.safe_load(example)["databases"]
    assert named == {name: SOLID[name] for name in ("primary", "queue")}

    data = answers(databases=named)
    ran = kamalstream("init", app, "--defaults", "--yes", "--data-file", data)
    assert ran.code == 0, ran.out + ran.err
    assert opened_by_rails(app) == named


def test_a_line_that_cannot_be_put_in_is_by_hand_and_an_error_until_it_is_there(
    kamalstream: Command, fresh: Callable[..., Path], answers: DataFile
) -> None:
    text = "default: &default\n  adapter: sqlite3\nproduction: *default\n"
    app = fresh("rails-7.2.4", text)
    data = answers(databases=MAIN)
    ran = kamalstream("init", app, "--defaults", "--yes", "--data-file", data)
    assert ran.code == 1
    assert f"{FILE}:3: `production` is an alias (*)" in ran.out
    assert "    database: storage/production.sqlite3\n" in ran.out
    (said,) = [one for one in check_files(App(app)) if one.id == "databases.no-file"]
    assert (said.level, said.line) == ("error", 3)

    by_hand = "production:\n  <<: *default\n  database: storage/production.sqlite3\n"
    (app / FILE).write_text(text.replace("production: *default\n", by_hand))
    assert not [one for one in check_files(App(app)) if one.id == "databases.no-file"]


@pytest.mark.parametrize("release", STOCK)
def test_line_ends_and_all_that_is_not_meant_stay(release: str, tmp_path: Path) -> None:
    text = (ROOT / "tests/stock" / release / FILE).read_text() + "  # mine\nother: 1"
    text = text.replace("\n", "\r\n")
    (tmp_path / "config").mkdir()
    (tmp_path / FILE).write_bytes(text.encode())
    edited = edit(text, "production", production_databases(tmp_path), {})
    assert edited.by_hand == ()
    meant = text.replace("# database: path/to/persistent/storage/", "database: storage/")
    assert edited.text == meant
    (tmp_path / FILE).write_bytes(meant.encode())
    assert edit(meant, "production", production_databases(tmp_path), {}).text == meant
