"""The Solid gems, which keep jobs, cached values and broadcasts in databases: are they there whole.

A gem in Gemfile.lock does nothing yet: its installer brings the schema and the configuration, and
config/database.yml the database (`bin/rails solid_queue:install`, which `rails new` runs too, but
not with --skip-bundle).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from kamalstream.facts import APPLICATION_RB, PRODUCTION_RB
from kamalstream.inspect import erb_yaml
from kamalstream.inspect.code_lines import code_lines
from kamalstream.inspect.database_yml import production_databases
from kamalstream.inspect.gemfile_lock import gemfile_lock
from kamalstream.inspect.railties import loads
from kamalstream.inspect.ruby_expression import UnknownValueError
from kamalstream.inspect.unreadable import UnreadableError
from kamalstream.regular_file import read_text

CABLE_YML = "config/cable.yml"
_CACHE_YML = ("config/cache.yml", "config/solid_cache.yml")
_PRIMARY = "primary"


@dataclass(frozen=True)
class Solid:
    """One of the gems in an app.

    `own` is the name that its installer gives to its database. `locked` tells whether Gemfile.lock
    holds it, `loaded` whether the app loads the parts of Rails it is for. It looks for its tables
    in `database`, as config/database.yml calls it ("" where that could not be read), and `told`
    tells whether the app says so itself; `opened` whether production has that database. `holders`
    are the databases whose schemas have the gem's tables, "" one whose name is not known.
    """

    gem: str
    own: str
    locked: bool
    loaded: bool
    database: str
    told: bool
    opened: bool
    holders: frozenset[str]

    @property
    def title(self) -> str:
        """Its name in a sentence."""
        return self.gem.replace("_", " ").title()

    @property
    def tables(self) -> bool:
        """Whether its tables are where it looks for them."""
        return bool(self.holders & {self.database, ""} if self.database else self.holders)

    @property
    def works(self) -> bool:
        """Whether all of it is there."""
        return self.locked and self.loaded and self.opened and self.tables


@dataclass(frozen=True)
class _Gem:
    name: str
    own: str
    table: str
    railties: tuple[str, ...]


_GEMS = (
    _Gem("solid_cache", "cache", "solid_cache_entries", ("active_record/railtie",)),
    _Gem(
        *("solid_queue", "queue", "solid_queue_jobs"),
        ("active_record/railtie", "active_job/railtie"),
    ),
    _Gem(
        *("solid_cable", "cable", "solid_cable_messages"),
        ("active_record/railtie", "action_cable/engine"),
    ),
)


def solid_gems(app: Path) -> dict[str, Solid]:
    """Return each of the three by its name, as the app in the folder `app` has it."""
    locked = gemfile_lock(app).gems
    opened = production_databases(app)
    names = {*opened.sqlite, *opened.other, *opened.unread}
    found = {}
    for gem in _GEMS:
        told = _told(app, gem.name)
        database = _PRIMARY if told is None else told
        found[gem.name] = Solid(
            gem.name,
            gem.own,
            gem.name in locked,
            all(loads(app, one) for one in gem.railties),
            database,
            told is not None,
            # The first database may have another name, and that of all may not be known.
            database in (_PRIMARY, "") or not names or database in names,
            frozenset(_holders(app, gem.table)),
        )
    return found


def cable_adapter(app: Path) -> str | None:
    """Return the `adapter` of production in config/cable.yml, None where that is not known."""
    settings = _production(app, CABLE_YML)
    return settings.get("adapter") if settings else None


def _holders(app: Path, table: str) -> Iterator[str]:
    """Yield the databases whose schemas make `table`; "" for one that the file does not name.

    ActiveRecord::DatabaseConfigurations::HashConfig#schema_dump: schema.rb, NAME_schema.rb.
    """
    for file in sorted((app / "db").rglob("*")):
        if (
            file.suffix in (".rb", ".sql")
            and file.is_file()
            and table in read_text(file, "replace")
        ):
            schema = re.fullmatch(r"(?:(\w+)_)?(?:schema|structure)", file.stem)
            yield (schema[1] or _PRIMARY) if schema else ""


def _told(app: Path, gem: str) -> str | None:
    """Return the database that the app tells `gem` to use, "" for one that could not be read.

    None where it says nothing: then it is the primary one.
    """
    settings: Mapping[str, str] | None = {}
    if gem == "solid_cable":
        settings = _production(app, CABLE_YML)
    elif gem == "solid_cache":
        file = next((one for one in _CACHE_YML if (app / one).is_file()), None)
        settings = _production(app, file) if file else {}
    if settings is None:
        return ""
    for key in ("database", "databases.0", "connects_to.database.writing"):
        if key in settings:
            return settings[key]
    if any(key.startswith(("databases", "connects_to")) for key in settings):
        return ""
    return _told_by_code(app, gem)


def _told_by_code(app: Path, gem: str) -> str | None:
    module = gem.title().replace("_", "")
    files = [app / APPLICATION_RB, app / PRODUCTION_RB]
    files += sorted((app / "config/initializers").glob("*.rb"))
    for file in files:
        code = "\n".join(line for _, line in code_lines(file))
        said = re.search(rf"\b(?:config\.{gem}|{module})\.connects_to\s*=(.*)", code, re.DOTALL)
        if said:
            name = re.match(r"[^}]*\bwriting[\"']?\s*(?::|=>)\s*[:\"']+(\w+)", said[1])
            return name[1] if name else ""
    return None


def _production(app: Path, file: str) -> dict[str, str] | None:
    """Return the settings of production in `file`, dotted key → value; None if it is not read.

    Those whose value code decides have the value "".
    """
    try:
        document = erb_yaml.read(app, file, {})
        section = document.mapping(document.root).get("production")
        return dict(_settings(document, section.value)) if section else {}
    except (UnreadableError, RecursionError):
        return None if (app / file).exists() else {}


def _settings(
    document: erb_yaml.Document, node: yaml.Node, path: str = ""
) -> Iterator[tuple[str, str]]:
    if isinstance(node, yaml.MappingNode):
        for key, entry in document.mapping(node).items():
            yield from _settings(document, entry.value, f"{path}.{key}" if path else key)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _settings(document, value, f"{path}.{index}")
    else:
        try:
            text = document.scalar(node).text
        except UnknownValueError:
            text = ""
        if text is not None:
            # Psych reads a plain :name as a symbol.
            yield path, text.removeprefix(":")
