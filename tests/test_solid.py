"""Whether the Solid gems are there whole, what is set then, and what is said where they are not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kamalstream.ask.image import image
from kamalstream.check import check_files
from kamalstream.check.finding import Finding
from kamalstream.edit.production_rb import CACHE_STORE, QUEUE_ADAPTER
from kamalstream.edit.wanted import wanted_settings
from kamalstream.inspect.adopted import App
from kamalstream.inspect.app import inspect_app

APPLICATION, DATABASE_YML = "config/application.rb", "config/database.yml"
CABLE, PRODUCTION_RB = "config/cable.yml", "config/environments/production.rb"
IDS = {
    *("gems.missing", "production.no-gem", "solid.not-installed", "cable.redis"),
    *("production.queue-database", "production.cache-database", "production.cable-database"),
}
# As --skip-active-job has it.
RAILTIES = 'require "rails"\nrequire "active_record/railtie"\nrequire "action_controller/railtie"'


def found(app: Path) -> list[Finding]:
    return [one for one in check_files(App(app)) if one.id in IDS]


def edit(app: Path, file: str, old: str, new: str) -> None:
    text = (app / file).read_text()
    edited = re.sub(old, new, text, flags=re.MULTILINE)
    assert edited != text
    (app / file).write_text(edited)


def without(app: Path, *gems: str) -> None:
    for gem in gems:
        edit(app, "Gemfile.lock", rf"^    {gem} \(.*\n", "")


@pytest.fixture
def app(deployable: Callable[..., Path], tmp_path: Path) -> Path:
    return deployable(tmp_path / "notes")


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda app: None, {CACHE_STORE, QUEUE_ADAPTER}),
        (lambda app: (app / "db/queue_schema.rb").unlink(), {CACHE_STORE}),
        (lambda app: (app / "db/cache_schema.rb").unlink(), {QUEUE_ADAPTER}),
        (lambda app: without(app, "solid_queue", "solid_cache"), set()),
        (lambda app: edit(app, APPLICATION, 'require "rails/all"', RAILTIES), {CACHE_STORE}),
        (lambda app: edit(app, DATABASE_YML, r"^  cache:\n(    .*\n)+", ""), {QUEUE_ADAPTER}),
        (lambda app: edit(app, "config/cache.yml", "database: cache", "database: other"),
            {QUEUE_ADAPTER}),
        (lambda app: edit(app, PRODUCTION_RB, "writing: :queue", "writing: :jobs"), {CACHE_STORE}),
        # As it was before the gem had a schema: its migrations among the app's.
        (lambda app: (app / "db/queue_schema.rb").rename(app / "db/migrate/1_create_solid.rb"),
            {CACHE_STORE, QUEUE_ADAPTER}),
    ],
)  # fmt: skip
def test_a_setting_is_wanted_where_all_of_it_is_there(
    app: Path, change: Callable[[Path], object], wanted: set[object]
) -> None:
    change(app)
    assert {*wanted_settings(app)} & {CACHE_STORE, QUEUE_ADAPTER} == wanted
    solid_queue = image(inspect_app(app)).get("solid_queue", True)
    assert solid_queue == (QUEUE_ADAPTER in wanted)


def test_nothing_is_said_of_what_is_there_whole(app: Path) -> None:
    assert found(app) == []


def test_nothing_of_jobs_is_said_without_active_job(app: Path) -> None:
    edit(app, APPLICATION, 'require "rails/all"', RAILTIES)
    (app / "db/queue_schema.rb").unlink()
    assert found(app) == []


def test_what_finishes_an_installation_is_said_once_for_all(app: Path) -> None:
    for file in (app / "db").glob("*_schema.rb"):
        file.unlink()
    said = found(app)
    assert [(one.id, one.level, one.file) for one in said] == [
        ("solid.not-installed", "warning", PRODUCTION_RB),
        ("solid.not-installed", "warning", PRODUCTION_RB),
        ("solid.not-installed", "warning", CABLE),
    ]
    assert [one.message.rsplit("; ")[-1] for one in said] == [
        "every write to the cache fails", "every job fails", "every broadcast fails"
    ]  # fmt: skip
    install = "bin/rails solid_cache:install solid_queue:install solid_cable:install"
    assert {one.fix for one in said} == {f"{install}\nThen: kamalstream init again"}


def test_an_adapter_that_is_not_chosen_yet_is_left_alone(app: Path) -> None:
    (app / "db/queue_schema.rb").unlink()
    chosen = r"config.active_job.queue_adapter = :solid_queue"
    edit(app, PRODUCTION_RB, f" {chosen}", " # config.active_job.queue_adapter = :resque")
    [finding] = found(app)
    assert finding.message.endswith("config.active_job.queue_adapter is left as it is")
    assert "production.setting" not in {one.id for one in check_files(App(app))}


def test_a_database_that_is_not_there_is_named(app: Path) -> None:
    edit(app, DATABASE_YML, r"^  queue:\n(    .*\n)+", "")
    [finding] = found(app)
    assert "in the database queue, and config/database.yml has none of that name" in finding.message
    assert "bin/rails" not in finding.fix
    assert "    database: storage/production_queue.sqlite3\n" in finding.fix


def test_gems_that_are_not_there_are_recommended_with_all_that_they_need(app: Path) -> None:
    without(app, "solid_queue", "solid_cache")
    edit(app, PRODUCTION_RB, r"^ *config\.(active_job|solid_queue|cache_store).*\n", "")
    (app / DATABASE_YML).write_text(
        "default: &default\n  adapter: sqlite3\n\nproduction:\n  <<: *default\n"
        "  database: storage/production.sqlite3 # all of it\n"
    )
    (app / CABLE).unlink()
    for file in (app / "db").glob("*_schema.rb"):
        file.unlink()
    edit(app, "config/puma.rb", r"^plugin :solid_queue.*\n", "")
    said = found(app)
    assert [(one.id, one.level) for one in said] == [("production.no-gem", "note")] * 2
    assert {one.fix for one in said} == {
        """\
Recommended:
bundle add solid_cache solid_queue
bin/rails solid_cache:install solid_queue:install
In config/database.yml:
production:
  primary:
    <<: *default
    database: storage/production.sqlite3 # all of it
  cache:
    <<: *default
    database: storage/production_cache.sqlite3
    migrations_paths: db/cache_migrate
  queue:
    <<: *default
    database: storage/production_queue.sqlite3
    migrations_paths: db/queue_migrate
In config/puma.rb:
plugin :solid_queue if ENV["SOLID_QUEUE_IN_PUMA"]
Then: kamalstream init again"""
    }
    edit(app, "Gemfile.lock", r"^    rails \(.*\)", "    rails (7.0.8)")
    assert found(app) == [], "no release of them takes that Rails"


def test_a_gem_that_is_set_and_not_there_is_missing(app: Path) -> None:
    without(app, "solid_cache", "solid_cable")
    said = [(one.id, one.level, one.file) for one in found(app)]
    assert said == [
        ("gems.missing", "error", PRODUCTION_RB), ("gems.missing", "error", CABLE)
    ]  # fmt: skip


REDIS = """\
production:
  adapter: redis
  url: <%= ENV.fetch("REDIS_URL") { "redis://localhost:6379/1" } %>
"""


def test_broadcasts_over_a_redis_that_is_not_there_fail(app: Path) -> None:
    without(app, "solid_cable")
    (app / CABLE).write_text(REDIS)
    [finding] = found(app)
    assert (finding.id, finding.level, finding.line) == ("cable.redis", "note", 2)
    assert "the gem redis is not in Gemfile.lock" in finding.message
    assert "bundle add solid_cable\nbin/rails solid_cable:install\n" in finding.fix
    (app / "app/models/note.rb").write_text("class Note < ApplicationRecord\n  broadcasts\nend\n")
    assert [one.level for one in found(app)] == ["warning"], "it is used"
    edit(app, "Gemfile.lock", r"^    rails \(.*\)", "    redis (5.4.0)\n    rails (7.1.5)")
    [finding] = found(app)
    assert "no REDIS_URL is set" in finding.message
    assert finding.fix == "Write there: adapter: async"
    edit(app, "config/deploy.yml", "^  clear:", "  clear:\n    REDIS_URL: redis://10.0.0.2/1")
    assert found(app) == []


def test_no_cable_is_nothing_to_say(app: Path) -> None:
    (app / CABLE).write_text(REDIS)
    edit(app, APPLICATION, 'require "rails/all"', RAILTIES)
    assert found(app) == []


@pytest.mark.parametrize(
    ("file", "line", "wanted"),
    [
        (PRODUCTION_RB, r"^ *config\.solid_queue\.connects_to.*\n", "production.queue-database"),
        ("config/cache.yml", r"^  database: cache\n", "production.cache-database"),
        (CABLE, r"^  connects_to:\n.*\n.*\n", "production.cable-database"),
    ],
)
def test_a_database_that_its_gem_is_not_told_of(
    app: Path, file: str, line: str, wanted: str
) -> None:
    removed = re.search(line, (app / file).read_text(), re.MULTILINE)
    assert removed
    edit(app, file, line, "")
    [finding] = found(app)
    assert (finding.id, finding.file) == (wanted, file)
    assert finding.fix.split()[-1] == removed[0].split()[-1] or "writing: :queue" in finding.fix
