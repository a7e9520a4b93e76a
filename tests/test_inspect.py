"""Reading an app without running it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from kamalstream.ask.adoption import known_answers, what_was_read
from kamalstream.inspect.app import SERVICE, inspect_app
from kamalstream.inspect.gemfile_lock import gemfile_lock
from kamalstream.inspect.ruby_version import ruby_version
from tests.conftest import requires
from tests.sample_apps import SAMPLES

LOCK = """\
GIT
  remote: https://example.org/rails
  revision: 1f2e3d4c5b6a
  specs:
    rails (8.1.0.beta1)
      activerecord (= 8.1.0.beta1)

PATH
  remote: engines/shop
  specs:
    shop (0.1.0)

GEM
  remote: https://rubygems.org/
  specs:
    bcrypt_pbkdf (1.1.1-arm64-darwin)
    nokogiri (1.18.9-aarch64-linux-gnu)
      racc (~> 1.4)
    nokogiri (1.18.9-x86_64-linux-gnu)
      racc (~> 1.4)
    sqlite3 (2.7.3)

PLATFORMS
  aarch64-linux-gnu
  arm64-darwin
  x86_64-linux-gnu

DEPENDENCIES
  rails!
  shop!
  sqlite3 (>= 2.1)

RUBY VERSION
   ruby 3.4.5p51

BUNDLED WITH
   2.7.1
"""


def write(app: Path, files: dict[str, str]) -> Path:
    for file, text in files.items():
        (app / file).parent.mkdir(parents=True, exist_ok=True)
        (app / file).write_text(text)
    return app


def test_the_locked_gems_are_read(tmp_path: Path) -> None:
    lock = gemfile_lock(write(tmp_path, {"Gemfile.lock": LOCK}))

    assert lock.gems == {
        "rails": "8.1.0.beta1",
        "shop": "0.1.0",
        "bcrypt_pbkdf": "1.1.1",
        "nokogiri": "1.18.9",
        "sqlite3": "2.7.3",
    }
    assert lock.ruby == "ruby 3.4.5p51"
    assert lock.bundler == "2.7.1"
    assert lock.unreadable == ()


@requires("ruby")
def test_the_locked_gems_are_those_bundler_sees(tmp_path: Path) -> None:
    script = (
        "lock = Bundler::LockfileParser.new($stdin.read);"
        "puts JSON.generate([lock.specs.to_h { |s| [s.name, s.version.to_s] }, lock.ruby_version,"
        " lock.bundler_version.to_s])"
    )
    lock = gemfile_lock(write(tmp_path, {"Gemfile.lock": LOCK, "Gemfile": ""}))
    run = subprocess.run(
        ["ruby", "-rbundler", "-rjson", "-e", script],
        cwd=tmp_path,
        input=LOCK,
        capture_output=True,
        check=True,
        text=True,
    )
    seen = json.loads(run.stdout)

    assert [lock.gems, lock.ruby, lock.bundler] == seen


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "there is no such file"),
        (
            {"Gemfile.lock": LOCK.replace("PLATFORMS", "<<<<<<< HEAD\nPLATFORMS")},
            "unfinished merge",
        ),
    ],
)
def test_a_lockfile_that_cannot_be_used_is_said(
    files: dict[str, str], why: str, tmp_path: Path
) -> None:
    lock = gemfile_lock(write(tmp_path, files))
    assert why in lock.unreadable[0].why
    assert lock.gems == {}


RUBIES: dict[str, tuple[dict[str, str], str | None, str | None]] = {
    ".ruby-version": ({".ruby-version": "3.4.5\n"}, "3.4.5", ".ruby-version"),
    "with the name of the engine": ({".ruby-version": "ruby-4.0.0"}, "4.0.0", ".ruby-version"),
    "a gemset": ({".ruby-version": "ruby-3.3.1@shop\n"}, "3.3.1", ".ruby-version"),
    "a preview": ({".ruby-version": "4.0.0-preview2\n"}, "4.0.0-preview2", ".ruby-version"),
    "a comment": ({".ruby-version": "# as on the server\n3.4.5 # ok\n"}, "3.4.5", ".ruby-version"),
    "asdf": (
        {".tool-versions": "nodejs 22.1.0\nruby 3.4.1 3.3.0\n"},
        "3.4.1",
        ".tool-versions",
    ),
    "mise": ({"mise.toml": '[tools]\nnode = "22"\nruby = "3.4.2"\n'}, "3.4.2", "mise.toml"),
    "mise, a hidden file and a list": (
        {".mise.toml": '[env]\nruby = "1"\n[tools]\nruby = ["3.4.2", "3.3"]\n'},
        "3.4.2",
        ".mise.toml",
    ),
    "mise, a table": (
        {"mise.toml": '[tools]\nruby = { version = "3.4.2", postinstall = "x" }\n'},
        "3.4.2",
        "mise.toml",
    ),
    "Gemfile": ({"Gemfile": '# ruby "2.7.0"\nruby "3.4.1" # now\n'}, "3.4.1", "Gemfile"),
    "Gemfile with another file": (
        {"Gemfile": 'ruby file: "config/ruby"\n', "config/ruby": "3.4.3\n"},
        "3.4.3",
        "config/ruby",
    ),
    "Gemfile with mise's file": (
        {"Gemfile": 'ruby file: "mise.toml"\n', "mise.toml": '[tools]\nruby = "3.4.2"\n'},
        "3.4.2",
        "mise.toml",
    ),
    "Gemfile with a file of mise's that mise alone would not read": (
        {
            "Gemfile": 'ruby file: "config/mise.toml"\n',
            "config/mise.toml": '[tools]\nnode = "22"\nruby = { version = "3.4.2" }\n',
        },
        "3.4.2",
        "config/mise.toml",
    ),
    "Gemfile with a requirement": (
        {"Gemfile": 'ruby ">= 3.2"\n', "Gemfile.lock": LOCK},
        "3.4.5",
        "Gemfile.lock",
    ),
    "Gemfile.lock": ({"Gemfile.lock": LOCK}, "3.4.5", "Gemfile.lock"),
    "the first file decides": (
        {".ruby-version": "3.4.5", "Gemfile": 'ruby file: ".ruby-version"\n', "Gemfile.lock": LOCK},
        "3.4.5",
        ".ruby-version",
    ),
}


@pytest.mark.parametrize("name", RUBIES)
def test_the_ruby_of_an_app_is_found(name: str, tmp_path: Path) -> None:
    files, version, file = RUBIES[name]
    write(tmp_path, files)
    found = ruby_version(tmp_path, gemfile_lock(tmp_path))
    assert (found.version, found.file, found.unreadable) == (version, file, ())


@pytest.mark.parametrize(
    ("files", "version", "why"),
    [
        ({}, None, "no file says"),
        ({".ruby-version": "jruby-9.4.8.0"}, None, "not a version of Ruby (MRI)"),
        ({".ruby-version": "system"}, None, "not a version of Ruby (MRI)"),
        ({"mise.toml": '[tools]\nruby = "latest"\n'}, None, "not a version of Ruby (MRI)"),
        (
            {"Gemfile": 'ruby "3.1.4", engine: "jruby", engine_version: "9.4"\n'},
            None,
            "not a version of Ruby (MRI)",
        ),
        (
            {"Gemfile.lock": LOCK.replace("ruby 3.4.5p51", "ruby 3.1.4p0 (jruby 9.4.8.0)")},
            None,
            "not a version of Ruby (MRI)",
        ),
        (
            {".ruby-version": "3.4.5", "Gemfile": "ruby '3.4.4'"},
            "3.4.5",
            "this contradicts .ruby-version, which says 3.4.5",
        ),
    ],
)
def test_a_ruby_that_is_not_certain_is_said(
    files: dict[str, str], version: str | None, why: str, tmp_path: Path
) -> None:
    write(tmp_path, files)
    found = ruby_version(tmp_path, gemfile_lock(tmp_path))
    assert found.version == version
    (said,) = found.unreadable
    assert why in said.why


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_app_is_known(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    found = inspect_app(sample.create(tmp_path))

    assert sample.found_in(found) == sample.facts
    assert [(one.file, one.line) for one in found.unreadable] == [
        (file, line) for file, line, _ in sample.unreadable
    ]
    for said, (_, _, why) in zip(found.unreadable, sample.unreadable, strict=True):
        assert why in said.why
    assert SERVICE.fullmatch(found.app_name)


def test_no_value_of_a_secret_is_among_the_facts(tmp_path: Path) -> None:
    found = inspect_app(SAMPLES["deployed with Kamal"].create(tmp_path))
    assert "dckr_very_secret" not in repr(found)


@pytest.mark.parametrize(
    ("folder", "name"),
    [("My Shop!", "my_shop"), ("shop--v2", "shop_v2"), ("-", "app"), ("über", "ber")],
)
def test_a_name_that_kamal_takes_is_made_of_the_folder(
    folder: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / folder).mkdir()
    assert inspect_app(tmp_path / folder).app_name == name


def test_a_database_that_is_not_sqlite_is_mentioned(tmp_path: Path) -> None:
    facts = inspect_app(SAMPLES["PostgreSQL beside SQLite"].create(tmp_path))
    first, *rest = what_was_read(facts, known_answers(facts, {"databases": {}}, {}))
    assert "databases: cache; not backed up, as it is not SQLite: primary (postgresql)" in first
    assert not any(line.startswith("  below 8") for line in rest)


def test_what_a_rails_below_8_means_is_said(tmp_path: Path) -> None:
    facts = inspect_app(SAMPLES["PostgreSQL alone"].create(tmp_path))
    assert facts.rails_version == "7.1.3"
    said = what_was_read(facts, known_answers(facts, {}, {}))
    assert "  below 8      Rails 7.1.3 brings no Solid Queue, Cache and Cable" in "\n".join(said)
