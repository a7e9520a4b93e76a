"""Reading config/database.yml, with Ruby and Active Record as the oracle."""

from __future__ import annotations

import posixpath
import random
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kamalstream.inspect.database_yml import Databases, production_databases
from tests.conftest import requires
from tests.rails_oracle import what_rails_opens

DEFAULT = "default: &default\n  adapter: sqlite3\n  timeout: 5000\n"
PRODUCTION = DEFAULT + "production:\n  <<: *default\n  "
MAIN = {"primary": "storage/production.sqlite3"}


class Case(NamedTuple):
    """A database.yml and what is to be read from it.

    `unreadable` holds (line, part of the reason), `assumed` (variable, default).
    """

    source: str
    sqlite: dict[str, str] = {}  # noqa: RUF012 (never changed)
    other: dict[str, str] = {}  # noqa: RUF012
    unreadable: tuple[tuple[int, str], ...] = ()
    assumed: tuple[tuple[str, str], ...] = ()
    unwritten: dict[str, int] = {}  # noqa: RUF012 (never changed)


RAILS_8 = """\
# SQLite. Versions 3.8.0 and up are supported.
default: &default
  adapter: sqlite3
  max_connections: <%= ENV.fetch("RAILS_MAX_THREADS") { 5 } %>
  timeout: 5000

development:
  <<: *default
  database: storage/development.sqlite3

# Warning: the test database is erased.
test:
  <<: *default
  database: storage/test.sqlite3

production:
  primary:
    <<: *default
    database: storage/production.sqlite3
  cache:
    <<: *default
    database: storage/production_cache.sqlite3
    migrations_paths: db/cache_migrate
  queue:
    <<: *default
    database: storage/production_queue.sqlite3
    migrations_paths: db/queue_migrate
  cable:
    <<: *default
    database: storage/production_cable.sqlite3
    migrations_paths: db/cable_migrate
"""
STOCK_SOLID = RAILS_8.replace("    database: s", "    # database: path/to/persistent/s")
STOCK_FLAT = STOCK_SOLID[: STOCK_SOLID.index("  primary")] + (
    "  <<: *default\n  # database: path/to/persistent/storage/production.sqlite3\n"
)
FLY = re.sub(
    r"^    database: storage/production(\w*).sqlite3\n",
    lambda found: (
        found[0]
        + '    url: <%= URI.parse(ENV["DATABASE_URL"]).tap { |url| url.path += '
        + f'"{found[1]}" }} if ENV["DATABASE_URL"] %>\n'
    ),
    RAILS_8,
    flags=re.MULTILINE,
)
SOLID = {
    "primary": "storage/production.sqlite3",
    "cache": "storage/production_cache.sqlite3",
    "queue": "storage/production_queue.sqlite3",
    "cable": "storage/production_cable.sqlite3",
}


def value(database: str) -> str:
    """Return a database.yml whose production database is `database`, on line 6."""
    return PRODUCTION + f"database: {database}\n"


def url(text: str) -> str:
    return f"production:\n  url: {text}\n"


CASES = {
    "what Rails 8 generates": Case(RAILS_8, SOLID),
    "one flat database": Case(value("storage/production.sqlite3"), MAIN),
    "double quotes": Case(value('"storage/production.sqlite3"'), MAIN),
    "what Rails 7.2 generates": Case(STOCK_FLAT, MAIN, unwritten={"primary": 18}),
    "what Rails 8 generates with --skip-kamal": Case(
        STOCK_SOLID, SOLID, unwritten={"primary": 19, "cache": 22, "queue": 26, "cable": 30}
    ),
    "one of them filled in": Case(
        STOCK_SOLID.replace("# database: path/to/persistent/", "database: ", 1),
        SOLID,
        unwritten={"cache": 22, "queue": 26, "cable": 30},
    ),
    "a comment of the owner's": Case(
        PRODUCTION + "# database: storage/production.sqlite3\n",
        unreadable=((4, "primary: no database is given"),),
        unwritten={"primary": 4},
    ),
    "the comment of another section": Case(
        PRODUCTION + "pool: 5\nx: y\n  # database: path/to/persistent/storage/production.sqlite3\n",
        unreadable=((4, "primary: no database is given"),),
        unwritten={"primary": 4},
    ),
    "a URL of another adapter that cannot be read": Case(
        "production:\n  adapter: postgresql\n  url: <%= 'postgres://a/b'.downcase %>\n",
        other={"primary": "postgresql"},
    ),
    "what Fly's generator adds": Case(
        FLY, SOLID, assumed=tuple(("DATABASE_URL", path) for path in SOLID.values())
    ),
    "a URL where a variable is set": Case(
        value("storage/production.sqlite3")
        + "  url: <%= ENV['A'] && URI.parse(ENV['A']).to_s %>\n",
        MAIN,
        assumed=(("A", "storage/production.sqlite3"),),
    ),
    "a URL unless a variable is set": Case(
        value("storage/production.sqlite3") + "  url: <%= 'sqlite3:x.db' unless ENV['A'] %>\n",
        {"primary": "x.db"},
    ),
    "a condition in a comment": Case(
        value("storage/production.sqlite3") + "  url: <%= 'sqlite3:x.db' # if ENV['A'] %>\n",
        unreadable=((7, "its value is known only by running it"),),
    ),
    "Rails.env": Case(value("storage/<%= Rails.env %>.sqlite3"), MAIN),
    "Rails.env in double quotes": Case(value('"storage/<%= Rails.env %>.sqlite3"'), MAIN),
    "Rails.env as the section": Case(
        DEFAULT + "<%= Rails.env %>:\n  <<: *default\n  database: storage/production.sqlite3\n",
        MAIN,
    ),
    "ENV.fetch with a default": Case(
        value('<%= ENV.fetch("DB_PATH", "storage/production.sqlite3") %>'),
        MAIN,
        assumed=(("DB_PATH", "storage/production.sqlite3"),),
    ),
    "ENV.fetch with a block": Case(
        value('<%= ENV.fetch("DB_PATH") { "storage/production.sqlite3" } %>'),
        MAIN,
        assumed=(("DB_PATH", "storage/production.sqlite3"),),
    ),
    "ENV.fetch without parentheses": Case(
        value("<%= ENV.fetch 'DB_PATH', 'storage/production.sqlite3' %>"),
        MAIN,
        assumed=(("DB_PATH", "storage/production.sqlite3"),),
    ),
    "ENV or": Case(
        value('<%= ENV["DB_PATH"] || "storage/production.sqlite3" %>'),
        MAIN,
        assumed=(("DB_PATH", "storage/production.sqlite3"),),
    ),
    "ENV or inside a path": Case(
        value('<%= ENV["DATA"] || "storage" %>/<%= Rails.env %>.sqlite3'),
        MAIN,
        assumed=(("DATA", "storage"),),
    ),
    "one ENV instead of another": Case(
        value('<%= ENV["A"].presence || ENV.fetch("B", nil) || "storage" %>/production.sqlite3'),
        MAIN,
        assumed=(("A", "storage"), ("B", "storage")),
    ),
    "an ENV default that is empty": Case(
        value('storage/production<%= ENV.fetch("SUFFIX", "") %>.sqlite3'),
        MAIN,
        assumed=(("SUFFIX", ""),),
    ),
    "an empty ENV default at the end": Case(
        value('storage/production.sqlite3<%= ENV.fetch("SUFFIX", "") %>'),
        MAIN,
        assumed=(("SUFFIX", ""),),
    ),
    "an empty ENV default elsewhere": Case(
        value("storage/production.sqlite3") + "  password:  <%= ENV.fetch('DB_PASSWORD', '') %>\n",
        MAIN,
    ),
    "an empty ENV default first": Case(
        value('<%= ENV.fetch("DATA_PREFIX", "") %>storage/production.sqlite3'),
        MAIN,
        assumed=(("DATA_PREFIX", ""),),
    ),
    "RAILS_ENV is production": Case(
        value("storage/<%= ENV.fetch('RAILS_ENV', 'development') %>.sqlite3"), MAIN
    ),
    "Rails.root.join": Case(value('<%= Rails.root.join("storage", "production.sqlite3") %>'), MAIN),
    "Rails.root before a path": Case(value("<%= Rails.root %>/storage/production.sqlite3"), MAIN),
    "Rails.root divided": Case(value('<%= Rails.root / "storage" / "production.sqlite3" %>'), MAIN),
    "File.join": Case(
        value('<%= File.join(ENV.fetch("DATA", "storage"), "production.sqlite3") %>'),
        MAIN,
        assumed=(("DATA", "storage"),),
    ),
    "an interpolated string": Case(value('<%= "storage/#{Rails.env}.sqlite3" %>'), MAIN),
    "quotes in an interpolation": Case(
        value('<%= "#{ENV.fetch("DATA", "storage")}/#{Rails.env}" + \'.sqlite3\' %>'),
        MAIN,
        assumed=(("DATA", "storage"),),
    ),
    "a local variable": Case(
        '<% require "pathname"\n   folder = "storage" # everything\n%>\n'
        + value('<%= folder + "/production.sqlite3" %>'),
        MAIN,
    ),
    "a variable for something else": Case(
        "<% pool_size=8 %>\n" + value("storage/production.sqlite3") + "  pool: <%= pool_size %>\n",
        MAIN,
    ),
    "an ERB comment": Case(
        "<%# if this were code, it would matter %>\n" + value("storage/production.sqlite3"), MAIN
    ),
    "code in a YAML comment": Case(
        value("storage/production.sqlite3 # <%= [1, 2].first %>") + "# <%= nil %>\n", MAIN
    ),
    "literal ERB": Case(value("storage/production.sqlite3 # <%% if x %>"), MAIN),
    "code that decides nothing here": Case(
        value("storage/production.sqlite3") + "  pool: <%= [5, 1].max %>\n", MAIN
    ),
    "an alias chosen by ENV": Case(
        "sqlite: &sqlite\n  adapter: sqlite3\n  database: storage/production.sqlite3\n"
        'production:\n  <<: *<%= ENV.fetch("DB", "sqlite") %>\n',
        MAIN,
        assumed=(("DB", "sqlite"),),
    ),
    "an adapter from ENV": Case(
        'production:\n  adapter: <%= ENV.fetch("DB_ADAPTER", "sqlite3") %>\n'
        "  database: storage/production.sqlite3\n",
        MAIN,
        assumed=(("DB_ADAPTER", "sqlite3"),),
    ),
    "several merges": Case(
        "a: &a\n  adapter: sqlite3\nb: &b\n  adapter: mysql2\n"
        "  database: storage/production.sqlite3\nproduction:\n  <<: [*a, *b]\n",
        MAIN,
    ),
    "a merge after a key replaces it": Case(
        "default: &default\n  adapter: sqlite3\n  database: storage/default.sqlite3\n"
        "production:\n  database: storage/production.sqlite3\n  <<: *default\n",
        {"primary": "storage/default.sqlite3"},
    ),
    "an anchor given twice": Case(
        "a: &x\n  adapter: mysql2\nb: &x\n  adapter: sqlite3\n"
        "production:\n  <<: *x\n  database: storage/production.sqlite3\n",
        MAIN,
    ),
    "a key given twice": Case(
        value("storage/old.sqlite3") + "  database: storage/production.sqlite3\n", MAIN
    ),
    "production is an alias": Case(
        "base: &base\n  adapter: sqlite3\n  database: storage/<%= Rails.env %>.sqlite3\n"
        "production: *base\n",
        MAIN,
    ),
    "a mapping among plain settings is one database": Case(
        value("storage/production.sqlite3") + "  pragmas:\n    journal_mode: wal\n", MAIN
    ),
    "shared settings": Case(
        "shared:\n  adapter: sqlite3\nproduction:\n  primary:\n"
        "    database: storage/production.sqlite3\n  queue:\n    database: storage/q.sqlite3\n",
        {**MAIN, "queue": "storage/q.sqlite3"},
    ),
    "shared settings by name": Case(
        "shared:\n  primary:\n    adapter: sqlite3\n"
        "production:\n  primary:\n    database: storage/production.sqlite3\n",
        MAIN,
    ),
    "PostgreSQL beside SQLite": Case(
        "production:\n  primary:\n    adapter: postgresql\n    url: <%= ENV['DATABASE_URL'] %>\n"
        "  cache:\n    adapter: sqlite3\n    database: storage/cache.sqlite3\n",
        {"cache": "storage/cache.sqlite3"},
        {"primary": "postgresql"},
        assumed=(("DATABASE_URL", "postgresql"),),
    ),
    "a URL from ENV beside a database": Case(
        value("storage/production.sqlite3") + '  url: <%= ENV["DATABASE_URL"] %>\n',
        MAIN,
        assumed=(("DATABASE_URL", "storage/production.sqlite3"),),
    ),
    "a path in a folder of its own": Case(
        value("storage/db/production.sqlite3"), {"primary": "storage/db/production.sqlite3"}
    ),
    "a path that is not tidy": Case(value("./storage/x/../production.sqlite3"), MAIN),
    "an absolute path in the image": Case(value("/rails/storage/production.sqlite3"), MAIN),
    "a relative URL": Case(url("sqlite3:storage/production.sqlite3"), MAIN),
    "a relative URL with a query": Case(url("sqlite3:storage/production.sqlite3?pool=5"), MAIN),
    "an absolute URL": Case(url("sqlite3:/rails/storage/production.sqlite3"), MAIN),
    "an absolute URL with an empty host": Case(
        url('"sqlite3:///rails/storage/production.sqlite3"'), MAIN
    ),
    "a URL over everything else": Case(
        value("storage/other.sqlite3") + "  url: sqlite3:storage/production.sqlite3\n", MAIN
    ),
    "a URL as the whole section": Case("production: sqlite3:storage/production.sqlite3\n", MAIN),
    "PostgreSQL by URL": Case(url("postgres://me:secret@db/app"), {}, {"primary": "postgresql"}),
    "a database another program migrates": Case(
        value("storage/production.sqlite3") + "  database_tasks: false\n", MAIN
    ),
    "a replica of the same file": Case(
        DEFAULT + "production:\n  primary:\n    <<: *default\n"
        "    database: storage/production.sqlite3\n  primary_replica:\n    <<: *default\n"
        "    database: storage/production.sqlite3\n    replica: true\n",
        MAIN,
    ),
    # From here on: not certain, and said.
    "a URL whose file looks relative": Case(
        url("sqlite3://storage/production.sqlite3"), {"primary": "/production.sqlite3"}
    ),
    "a URL from ENV alone": Case(
        url('<%= ENV["DATABASE_URL"] %>'), unreadable=((2, 'primary: ENV["DATABASE_URL"] has no'),)
    ),
    "a URL from ENV in quotes": Case(
        url("\"<%= ENV['DATABASE_URL'] %>\""), unreadable=((2, "has no default"),)
    ),
    "a URL from the credentials": Case(
        url("<%= Rails.application.credentials.database_url %>"),
        unreadable=((2, "only by running it"),),
    ),
    "ENV.fetch without a default": Case(
        value('<%= ENV.fetch("DB_PATH") %>'), unreadable=((6, 'ENV["DB_PATH"] has no default'),)
    ),
    "ENV without a default": Case(
        value('<%= ENV["DB_PATH"] %>'), unreadable=((6, 'ENV["DB_PATH"] has no default'),)
    ),
    "ENV without a default in a path": Case(
        value('storage/<%= ENV["TENANT"] %>.sqlite3'),
        unreadable=((6, 'ENV["TENANT"] has no default'),),
    ),
    "a question about ENV": Case(
        value('<%= ENV["X"].present? ? "storage/x.sqlite3" : "storage/y.sqlite3" %>'),
        unreadable=((6, "only by running it"),),
    ),
    "a question about the environment": Case(
        value("<%= Rails.env.production? %>"), unreadable=((6, "only by running it"),)
    ),
    "an absolute path elsewhere": Case(
        value("/data/production.sqlite3"), {"primary": "/data/production.sqlite3"}
    ),
    "a path out of the app": Case(
        value("../production.sqlite3"), {"primary": "/production.sqlite3"}
    ),
    "a path that joins an absolute one": Case(
        value('<%= Rails.root.join("storage", "/data/x.sqlite3") %>'),
        {"primary": "/data/x.sqlite3"},
    ),
    "in memory": Case(value('":memory:"'), unreadable=((6, "in memory"),)),
    "in memory, a symbol": Case(value(":memory:"), unreadable=((6, "YAML"),)),
    "a URI": Case(value("file:storage/x.sqlite3?mode=ro"), unreadable=((6, "not a path"),)),
    "a home folder": Case(value("~/x.sqlite3"), unreadable=((6, "not a path"),)),
    "no file": Case(value(""), unreadable=((6, "nil"),)),
    "no database line": Case(
        PRODUCTION + "pool: 5\n",
        unreadable=((4, "no database is given"),),
        unwritten={"primary": 4},
    ),
    "a URL with another path": Case(
        "production:\n  url: <%= URI.parse('sqlite3:///data/a.sqlite3?x=1')"
        ".tap { |url| url.path += '_b' } %>\n",
        {"primary": "/data/a.sqlite3_b"},
    ),
    "a number": Case(value("5"), unreadable=((6, "this is no database"),)),
    "one file for each tenant": Case(
        value("storage/%{tenant}/main.sqlite3"), unreadable=((6, "one file for each tenant"),)
    ),
    "an unknown SQLite": Case(
        "production:\n  adapter: sqlite3_ha\n  database: storage/x.sqlite3\n",
        unreadable=((2, "the adapter sqlite3_ha is not known"),),
    ),
    "a replica with a file of its own": Case(
        value("storage/production.sqlite3") + "  replica: true\n",
        unreadable=((6, "what writes the replica storage/production.sqlite3"),),
    ),
    "one of several": Case(
        DEFAULT + "production:\n  primary:\n    <<: *default\n"
        "    database: storage/production.sqlite3\n  log:\n    <<: *default\n"
        "    database: <%= LogFile.path %>\n",
        MAIN,
        unreadable=((10, "log: its value is known only by running it"),),
    ),
    "a condition": Case(
        DEFAULT + "production:\n  <<: *default\n<% if ENV['X'] %>\n  database: storage/x.sqlite3\n"
        "<% else %>\n  database: storage/y.sqlite3\n<% end %>\n",
        unreadable=((6, "code decides"), (8, "code decides"), (10, "code decides")),
    ),
    "values from .env": Case(
        '<% require "dotenv"; Dotenv.load(".env") %>\n' + value('<%= ENV["DB"] || "a.sqlite3" %>'),
        unreadable=((7, "is set to a value that is not read"),),
    ),
    "a comment that swallows what follows": Case(
        value("storage/x.sqlite3") + "<% folder = 'x' # kept %>\n  database: storage/y.sqlite3\n",
        unreadable=((7, "code decides"),),
    ),
    "a loop over tenants": Case(
        "production:\n<% Dir['storage/*'].each do |file| %>\n  <%= file %>:\n"
        "    adapter: sqlite3\n<% end %>\n",
        unreadable=((2, "code decides"), (3, "whole lines"), (5, "code decides")),
    ),
    "the whole file from elsewhere": Case(
        '<%= ERB.new(File.read("config/database.#{ENV.fetch("DB", "sqlite")}.yml")).result %>\n',
        unreadable=((1, "whole lines"),),
    ),
    "a name that code decides": Case(
        "production:\n  db_<%= Tenant.first %>:\n    adapter: sqlite3\n    database: x.sqlite3\n",
        unreadable=((2, "code decides"),),
    ),
    "an alias that code decides": Case(
        "a: &a\n  adapter: sqlite3\nproduction:\n  <<: *<%= kind %>\n", unreadable=((4, "YAML"),)
    ),
    "a tag without an end": Case("production:\n  <% if\n", unreadable=((2, "does not end"),)),
    "a tag whose end is escaped": Case(
        value('<%= "storage/x.sqlite3" <%%>'), unreadable=((6, "does not end"),)
    ),
    "no production section": Case(
        "development:\n  adapter: sqlite3\n", unreadable=((0, "no production section"),)
    ),
    "an empty production section": Case("production: {}\n", unreadable=((1, "empty"),)),
    "an empty file": Case("", unreadable=((0, "a mapping is expected"),)),
    "a list": Case("- production\n", unreadable=((1, "a mapping is expected"),)),
    "no YAML": Case(
        "production:\n  adapter: sqlite3\n bad\n", unreadable=((3, "this is not valid YAML"),)
    ),
    "a mapping that contains itself": Case(
        "production: &x\n  <<: *x\n  adapter: sqlite3\n", unreadable=((0, "contains itself"),)
    ),
    "symbols as keys": Case(
        "production:\n  :adapter: sqlite3\n", unreadable=((2, "a name is expected"),)
    ),
}


def read(tmp_path: Path, source: str, **environment: str | None) -> Databases:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/database.yml").write_text(source)
    return production_databases(tmp_path, environment)


@pytest.mark.parametrize("name", CASES)
def test_the_databases_are_read_or_what_cannot_be_read_is_said(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    found = read(tmp_path, case.source)

    assert found.sqlite == case.sqlite
    assert found.other == case.other
    assert found.unwritten == case.unwritten
    assert tuple((one.variable, one.default) for one in found.assumed) == case.assumed
    assert len(found.unreadable) == len(case.unreadable), found.unreadable
    for said, (line, why) in zip(found.unreadable, case.unreadable, strict=True):
        assert said.line == line
        assert why in said.why


@pytest.fixture(scope="module")
def rails() -> dict[str, Any]:
    return what_rails_opens({name: case.source for name, case in CASES.items()})


@requires("activerecord")
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.unreadable])
def test_what_is_read_is_what_rails_opens(name: str, rails: dict[str, Any]) -> None:
    case, opened = CASES[name], rails[name]
    assert isinstance(opened, dict), opened

    masters = {key: one for key, one in opened.items() if not one["replica"]}
    files = {key: one["database"] for key, one in masters.items() if one["adapter"] == "sqlite3"}
    others = {key: one["adapter"] for key, one in masters.items() if one["adapter"] != "sqlite3"}
    written = {name: path for name, path in case.sqlite.items() if name not in case.unwritten}
    assert files == {
        key: str(Path("/rails", path)) for key, path in written.items()
    } | dict.fromkeys(case.unwritten, "")
    assert others == case.other


def mutant(rng: random.Random) -> str:
    """Return the text of a case after up to three edits such as people make."""
    source = rng.choice(list(CASES.values())).source
    pieces = (
        *("<%", "%>", "<%=", "#", " ", "\n", "'", '"', "||", "nil", ".to_s", "/", "..", "(", "{"),
        *("&", "*default", "<<: ", "}", ")", ":", "-", "+", "#{", "~", "!", "|", "?", ",", "\t"),
        *('ENV["X"]', "Rails.env", ".presence", 'ENV.fetch("Q", "r")', "sqlite3:", '"a"', "; "),
    )
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(source))
        lines = source.splitlines(keepends=True) or [""]
        edit = rng.randrange(4)
        if edit == 0:
            source = source[:at] + source[at + rng.randint(1, 4) :]
        elif edit == 1:
            source = source[:at] + rng.choice(pieces) + source[at:]
        elif edit == 2:
            lines.insert(rng.randint(0, len(lines)), rng.choice(lines))
            source = "".join(lines)
        else:
            lines.pop(rng.randrange(len(lines)))
            source = "".join(lines)
    return source


@requires("activerecord")
def test_no_edit_of_database_yml_leads_to_a_wrong_answer(tmp_path: Path) -> None:
    rng = random.Random(8)
    # Rails 7.2 made sqlite: a scheme; the Active Record asked here may be older.
    mutants = [text for text in (mutant(rng) for _ in range(2000)) if "sqlite:" not in text]
    opened = what_rails_opens({str(index): text for index, text in enumerate(mutants)})
    (tmp_path / "config").mkdir()
    read_well = 0
    for index, text in enumerate(mutants):
        by_rails = opened[str(index)]
        if not isinstance(by_rails, dict):
            continue
        (tmp_path / "config/database.yml").write_text(text)
        found = production_databases(tmp_path)
        for name, path in found.sqlite.items():
            assert by_rails[name]["adapter"] == "sqlite3", text
            file = by_rails[name]["database"]
            if name in found.unwritten:
                assert not file, text
                continue
            assert posixpath.normpath(file) == str(Path("/rails", path)), text
        if not found.unreadable:
            masters = {name for name, one in by_rails.items() if not one["replica"]}
            assert masters <= {*found.sqlite, *found.other}, text
            read_well += bool(found.sqlite)
    assert read_well > 100


def test_another_file_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    setting = '    config.paths["config/database"] = "config/databases/main.yml"\n'
    (tmp_path / "config/application.rb").write_text("# config\n" + setting)
    (tmp_path / "config/database.yml").write_text(RAILS_8)
    found = production_databases(tmp_path)
    assert not found.sqlite
    assert (found.unreadable[0].file, found.unreadable[0].line) == ("config/application.rb", 2)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    (said,) = production_databases(tmp_path).unreadable
    assert str(said) == "config/database.yml: there is no such file"


def test_an_example_beside_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/database.yml.sample").write_text(RAILS_8)
    (said,) = production_databases(tmp_path).unreadable
    assert said.why == "there is no such file, only database.yml.sample beside it"


def test_a_file_that_is_not_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/database.yml").write_bytes(b"production: \xff\n")
    assert "UTF-8" in production_databases(tmp_path).unreadable[0].why


def test_a_variable_known_to_be_set_is_used_and_not_assumed(tmp_path: Path) -> None:
    found = read(tmp_path, value('<%= ENV.fetch("DB", "storage/x.sqlite3") %>'), DB="storage/y.db")
    assert found == Databases({"primary": "storage/y.db"})


def test_a_variable_set_to_something_unknown_is_said(tmp_path: Path) -> None:
    found = read(tmp_path, value('<%= ENV.fetch("DB", "storage/x.sqlite3") %>'), DB=None)
    assert not found.sqlite
    assert found.unreadable[0].why == 'primary: ENV["DB"] is set to a value that is not read'


def test_a_database_url_in_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, value("storage/x.sqlite3"), DATABASE_URL="sqlite3:storage/y.sqlite3")
    assert found == Databases({"primary": "storage/y.sqlite3"})


def test_a_secret_database_url_is_said(tmp_path: Path) -> None:
    found = read(tmp_path, RAILS_8, QUEUE_DATABASE_URL=None)
    assert found.sqlite == {name: path for name, path in SOLID.items() if name != "queue"}
    assert 'ENV["QUEUE_DATABASE_URL"] is set' in found.unreadable[0].why


def test_where_an_assumption_stands_is_said(tmp_path: Path) -> None:
    source = "<%# two\n     lines %>\n" + value('<%= ENV["A"] || "storage/a.db" %>')
    (assumed,) = read(tmp_path, source).assumed
    assert (assumed.variable, assumed.default, assumed.line) == ("A", "storage/a.db", 8)


def test_what_is_said_shows_the_line_without_the_password(tmp_path: Path) -> None:
    (said,) = read(tmp_path, url("sqlite3://me:secret@db/x.sqlite3#part")).unreadable
    assert "sqlite3://…@db/x.sqlite3" in str(said)
    assert "secret" not in str(said)


def test_another_rails_env_has_a_section_of_its_own(tmp_path: Path) -> None:
    source = (
        value("storage/a.db") + "staging:\n  adapter: sqlite3\n  database: <%= Rails.env %>.db\n"
    )
    assert read(tmp_path, source, RAILS_ENV="staging").sqlite == {"primary": "staging.db"}
    assert (
        "no test section" in production_databases(tmp_path, {"RAILS_ENV": "test"}).unreadable[0].why
    )


def test_rails_may_live_elsewhere_in_the_image(tmp_path: Path) -> None:
    read(tmp_path, value('<%= Rails.root.join("storage/a.db") %>'))
    assert production_databases(tmp_path, root="/app").sqlite == {"primary": "storage/a.db"}
    (tmp_path / "config/database.yml").write_text(value("/app/storage/a.db"))
    assert production_databases(tmp_path, root="/app").sqlite == {"primary": "storage/a.db"}
    assert production_databases(tmp_path).sqlite == {"primary": "/app/storage/a.db"}
