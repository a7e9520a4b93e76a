"""The databases an app opens in production, read from config/database.yml."""

from __future__ import annotations

import posixpath
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

from kamalstream import facts
from kamalstream.facts import DATABASE_YML as FILE
from kamalstream.facts import RAILS_ROOT
from kamalstream.inspect import erb_yaml
from kamalstream.inspect.code_lines import code_lines
from kamalstream.inspect.erb_yaml import Document, Entry
from kamalstream.inspect.ruby_expression import ROOT, Environment, Known, UnknownValueError
from kamalstream.inspect.unreadable import Assumed, Unreadable, UnreadableError

# litedb is the adapter of the litestack gem: SQLite, with paths as sqlite3 has them.
_SQLITE = {"sqlite3", "litedb"}
# ActiveRecord.protocol_adapters: a URL's scheme that is not the adapter's name.
_SCHEMES = {"sqlite": "sqlite3", "postgres": "postgresql", "mysql": "mysql2"}
# railties: config/databases/sqlite3.yml.tt of 7.2, and of 8.0 and later with --skip-kamal.
STOCK_COMMENT = re.compile(r"#\s*database: path/to/persistent/storage/([\w.-]+)")


@dataclass(frozen=True)
class Databases:
    """The production databases of an app.

    `sqlite` maps the name in database.yml ("primary" where there is only one database) to the
    file: a path below the Rails root, or absolute where it is elsewhere. Two names may share a
    file; entries with `replica: true` that share one are left out. `other` maps the name to the
    adapter of a database that is not SQLite. Every entry of the section is in one of the two, in
    `unreadable`, or such a replica. `unread` names those in `unreadable`. `unwritten` are SQLite
    databases without a file, with the line where it belongs: Rails does not start with one. Where
    `rails new` left it as a comment, the file that is meant is in `sqlite` all the same.
    """

    sqlite: dict[str, str] = field(default_factory=dict)
    other: dict[str, str] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()
    assumed: tuple[Assumed, ...] = ()
    unread: tuple[str, ...] = ()
    unwritten: dict[str, int] = field(default_factory=dict)

    @property
    def suggested(self) -> dict[str, str]:
        """All that is or may be SQLite: where the file is not read, as `rails new` calls it."""
        unread = {
            name: facts.DEFAULT_DATABASES.get(name, f"storage/production_{name}.sqlite3")
            for name in self.unread or ("primary",) * (not self.sqlite)
        }
        return {**unread, **self.sqlite}


def production_databases(
    app: Path, env: Environment | None = None, root: str = RAILS_ROOT
) -> Databases:
    """Read the databases that the Rails app in the folder `app` opens where it is deployed.

    `env` holds environment variables known to be set there (None as a value: set, but to something
    unknown); all others are taken as unset, and `assumed` says where that decided. RAILS_ENV names
    the section, production where it is not set. `root` is where Rails lives in the image. Never
    raises for what the file says: what is not certain is in `unreadable`.
    """
    if not (app / FILE).exists():
        return Databases(unreadable=(Unreadable(FILE, 0, "", _missing(app)),))
    moved = _moved(app)
    if moved:
        return Databases(unreadable=moved)
    try:
        env = {**(env or {}), ROOT: root}
        env["RAILS_ENV"] = env.get("RAILS_ENV") or "production"
        return _production(erb_yaml.read(app, FILE, env), env)
    except UnreadableError as error:
        return Databases(unreadable=error.unreadable)
    except RecursionError:
        return Databases(unreadable=(Unreadable(FILE, 0, "", "a part of it contains itself"),))


def with_further(app: Path, files: Mapping[str, str]) -> str:
    """Return production as config/database.yml of `app` would have it with further databases.

    `files` maps the name of each to its file. What stands there now is the first one, primary,
    where it is the only one. Where the section cannot be read, the new entries are all of it.
    """
    try:
        document = erb_yaml.read(app, FILE, {})
        sections = document.mapping(document.root)
        section = sections["production"]
        settings = document.mapping(section.value)
    except (UnreadableError, KeyError, RecursionError):
        sections, head, indent = {}, "production:\n", 2
    else:
        head = document.block(section)
        indent = next((one.key.start_mark.column for one in settings.values()), 2)
        if settings and not _several(settings):
            first, rest = head.split("\n", 1)
            deeper = textwrap.indent(rest, " " * indent)
            head = f"{first}\n{' ' * indent}primary:\n{deeper}"
    # As `rails new` has it, where there is something to take over.
    common = "<<: *default" if "default" in sections else "adapter: sqlite3"
    new = "".join(
        f"{name}:\n  {common}\n  database: {path}\n  migrations_paths: db/{name}_migrate\n"
        for name, path in files.items()
    )
    return head + textwrap.indent(new, " " * indent)


def _missing(app: Path) -> str:
    examples = sorted(file.name for file in (app / "config").glob("database*.yml*"))
    beside = f", only {', '.join(examples)} beside it" if examples else ""
    return f"there is no such file{beside}"


def _moved(app: Path) -> tuple[Unreadable, ...]:
    """Find settings that put another file in the place of config/database.yml."""
    why = "the app may have another file than config/database.yml"
    return tuple(
        Unreadable(file, number, line.strip(), why)
        for file in ("config/application.rb", "config/environments/production.rb")
        for number, line in code_lines(app / file)
        if re.search(r"[\"']config/database[\"'.]|\bdatabase_configuration\b", line)
    )


def _production(document: Document, env: Environment) -> Databases:
    sections = document.mapping(document.root)
    name = env["RAILS_ENV"] or ""
    if name not in sections:
        raise UnreadableError([Unreadable(document.file, 0, "", f"there is no {name} section")])
    production = sections[name]
    reader = _Reader(document, env)
    for name, config in _configurations(document, production, sections.get("shared")).items():
        reader.read(name, *config)
    return reader.databases(document.assumed_by_shape)


_Configuration = tuple[Entry, "dict[str, Entry]"]


def _configurations(
    document: Document, production: Entry, shared_entry: Entry | None
) -> dict[str, _Configuration]:
    """Return name → where it stands and its settings.

    Rails: DatabaseConfigurations#build_configs (several databases where every value is a mapping)
    and Rails::Application::Configuration#database_configuration (`shared`).
    """
    shared = document.mapping(shared_entry.value) if shared_entry else {}
    if isinstance(production.value, yaml.ScalarNode):
        return {"primary": (production, {"url": production})}
    settings = document.mapping(production.value)
    if not settings:
        raise UnreadableError([document.unreadable(production.key, "the section is empty")])
    if not _several(settings):
        return {"primary": (production, {**shared, **settings})}
    by_name = bool(shared) and _several(shared)
    configurations = {}
    for name, entry in settings.items():
        common = shared
        if by_name:
            common = document.mapping(shared[name].value) if name in shared else {}
        configurations[name] = (entry, {**common, **document.mapping(entry.value)})
    return configurations


def _several(settings: Mapping[str, Entry]) -> bool:
    return all(isinstance(entry.value, yaml.MappingNode) for entry in settings.values())


class _Reader:
    """Gathers the databases of one production section."""

    def __init__(self, document: Document, env: Environment) -> None:
        self.document = document
        self.env = env
        self.sqlite: dict[str, str] = {}
        self.other: dict[str, str] = {}
        self.replicas: dict[str, tuple[str, yaml.Node]] = {}
        self.unreadable: list[Unreadable] = []
        self.unread: list[str] = []
        self.unwritten: dict[str, int] = {}
        self.assumed: list[Assumed] = []

    def read(self, name: str, place: Entry, settings: dict[str, Entry]) -> None:
        """Read one database; what is not certain goes to `unreadable`."""
        at = place.key
        try:
            adapter, database = None, None
            without_url: tuple[str, ...] = ()
            if "url" in settings:
                at = settings["url"].value
                url = self.document.scalar(at)
                if url.text is None:
                    without_url = url.unset
                    if "adapter" not in settings and not self._url_variable(name):
                        url.string()
                else:
                    adapter, database = _from_url(url.text)
                    self._assume(url, at)
            if adapter is None and (variable := self._url_variable(name)):
                at = place.key
                adapter, database = self._from_variable(variable)
                without_url = ()
            if adapter is None:
                at = settings["adapter"].value if "adapter" in settings else place.key
                adapter = self._setting(settings, "adapter")
            if adapter not in _SQLITE:
                if "sqlite" in adapter:
                    raise UnknownValueError(f"the adapter {adapter} is not known")
                self.other[name] = adapter
                self._assume_unset(without_url, adapter, settings)
                return
            if database is None and not {"url", "database"} & settings.keys():
                database = self._commented(name, place)
            if database is None:
                at = settings["database"].value if "database" in settings else place.key
                database = self._setting(settings, "database")
            path = _below_root(database, self.env[ROOT] or RAILS_ROOT)
            self._assume_unset(without_url, path, settings)
            if self._is_replica(settings):
                self.replicas[name] = (path, at)
            else:
                self.sqlite[name] = path
        except UnknownValueError as error:
            if other := self._other_adapter(settings):
                self.other[name] = other
                return
            self.unreadable.append(self.document.unreadable(at, f"{name}: {error}"))
            self.unread.append(name)

    def databases(self, assumed_by_shape: tuple[tuple[str, str], ...]) -> Databases:
        """Return all that was read."""
        for name, (path, at) in self.replicas.items():
            if path not in self.sqlite.values():
                why = f"{name}: what writes the replica {path} is not known"
                self.unreadable.append(self.document.unreadable(at, why))
        shape = [Assumed(FILE, 0, *one) for one in assumed_by_shape]
        assumed = tuple(dict.fromkeys(shape + self.assumed))
        return Databases(
            self.sqlite,
            self.other,
            tuple(self.unreadable),
            assumed,
            tuple(self.unread),
            self.unwritten,
        )

    def _commented(self, name: str, place: Entry) -> str | None:
        """Note that the file of `name` is still to be written; return the one `rails new` meant."""
        line, said = self.document.comment_below(place.key, STOCK_COMMENT)
        self.unwritten[name] = line
        return f"storage/{said[1]}" if said else None

    def _other_adapter(self, settings: dict[str, Entry]) -> str | None:
        """Return the adapter that is not SQLite's: a URL that cannot be read is of its kind."""
        try:
            adapter = self.document.scalar(settings["adapter"].value).text
        except (KeyError, UnknownValueError):
            return None
        return adapter if adapter and "sqlite" not in adapter and adapter not in _SQLITE else None

    def _url_variable(self, name: str) -> str | None:
        """Return the variable that replaces a configuration without a URL, where it is set.

        ActiveRecord::DatabaseConfigurations#merge_db_environment_variables.
        """
        names = [f"{name.upper()}_DATABASE_URL", *(["DATABASE_URL"] if name == "primary" else [])]
        return next((variable for variable in names if variable in self.env), None)

    def _from_variable(self, variable: str) -> tuple[str, str]:
        url = self.env[variable]
        if url is None:
            raise UnknownValueError(f'ENV["{variable}"] is set to a value that is not read')
        return _from_url(url)

    def _is_replica(self, settings: dict[str, Entry]) -> bool:
        if "replica" not in settings:
            return False
        node = settings["replica"].value
        text = self.document.scalar(node).text
        return text is not None and not (
            node.tag == "tag:yaml.org,2002:bool" and text.lower() in ("false", "no", "off")
        )

    def _assume_unset(
        self, variables: tuple[str, ...], default: str, settings: dict[str, Entry]
    ) -> None:
        for variable in variables:
            line = self.document.line(settings["url"].value)
            self.assumed.append(Assumed(FILE, line, variable, default))

    def _setting(self, settings: dict[str, Entry], key: str) -> str:
        if key not in settings:
            raise UnknownValueError(f"no {key} is given")
        node = settings[key].value
        value = self.document.scalar(node)
        text = value.string()
        if node.tag != "tag:yaml.org,2002:str":
            raise UnknownValueError(f"this is no {key}")
        self._assume(value, node)
        return text

    def _assume(self, value: Known, node: yaml.Node) -> None:
        line = self.document.line(node)
        self.assumed += [
            Assumed(FILE, line, variable, default) for variable, default in value.assumed
        ]


def _from_url(url: str) -> tuple[str, str]:
    """Return adapter and database of a URL (ActiveRecord ConnectionUrlResolver)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UnknownValueError("this is no URL") from None
    scheme = parts.scheme.replace("-", "_")
    if not scheme or scheme in ("jdbc", "http", "https"):
        raise UnknownValueError("this is no database URL")
    adapter = _SCHEMES.get(scheme, scheme)
    if adapter in _SQLITE and ("database=" in parts.query or parts.fragment):
        raise UnknownValueError("this URL is not understood")
    return adapter, unquote(parts.path)


def _below_root(database: str, root: str) -> str:
    """Return a SQLite database's file as a path below the Rails root, or absolute where it is not.

    ActiveRecord::ConnectionAdapters::SQLite3Adapter: `:memory:` and `file:` are not paths, others
    are relative to the Rails root.
    """
    if not database:
        raise UnknownValueError("no file is named")
    if database == ":memory:":
        raise UnknownValueError("the database is in memory and cannot be backed up")
    if database.startswith(("file:", "~", ":")):
        raise UnknownValueError("this is not a path below the Rails root")
    if "%{" in database or "%<" in database:
        raise UnknownValueError(
            "there is one file for each tenant; which ones is known only by running it"
        )
    path = posixpath.normpath(posixpath.join(root, database))
    if database.endswith("/"):
        raise UnknownValueError("this is a folder")
    return path.removeprefix(f"{root}/")
