"""All that is read of a Rails app before anything is asked or written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kamalstream.inspect.code_lines import code_lines
from kamalstream.inspect.database_yml import Databases, production_databases
from kamalstream.inspect.deploy_yml import DeployYml, deploy_yml, destinations, secret_names
from kamalstream.inspect.dockerfile import dockerfile_env
from kamalstream.inspect.gemfile_lock import GemfileLock, gemfile_lock
from kamalstream.inspect.javascript import JavaScript, javascript
from kamalstream.inspect.railties import application, uses_active_storage
from kamalstream.inspect.ruby_version import RubyVersion, ruby_version
from kamalstream.inspect.unreadable import Assumed, Unreadable

SERVICE = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*")
"""A name that Kamal takes for a service, Docker for a volume and S3 for a folder."""

# Gems that need packages in the image, or a step in its build.
_IMAGE_GEMS = (
    *("image_processing", "ruby-vips", "mini_magick", "rmagick", "pg", "mysql2", "trilogy"),
    *("sqlite3", "charlock_holmes", "rugged", "grover", "ferrum", "wicked_pdf", "tesseract"),
)
_ASSET_BUILDERS = (
    *("importmap-rails", "jsbundling-rails", "cssbundling-rails", "vite_ruby", "vite_rails"),
    *("shakapacker", "webpacker", "tailwindcss-rails", "dartsass-rails", "bun_bun_bundle"),
)
_CONNECTS = re.compile(r"establish_connection\b.*(?:adapter|sqlite)|SQLite3::Database\.new")
_SOLID = ("solid_queue", "solid_cache", "solid_cable")
# Files by which other ways to deploy are known.
_HOSTING = {
    "fly": ("fly.toml",),
    "once": ("hooks/pre-backup", "hooks/post-restore"),
    "hatchbox": ("bin/hatchbox*", "script/hatchbox*", "config/hatchbox*", ".hatchbox*"),
    "render": ("render.yaml",),
    "heroku": ("app.json", "heroku.yml"),
    "railway": ("railway.json", "railway.toml"),
    "capistrano": ("Capfile",),
    "dokku": ("DOKKU_SCALE",),
    "compose": ("docker-compose*.yml", "compose*.yml", "compose*.yaml"),
}


@dataclass(frozen=True)
class AppFacts:
    """What is known of a Rails app; `unreadable` gathers all that could not be read.

    `app_name` is a suggestion that Kamal accepts: the service in use, else from the application's
    module, else from the folder. `image_gems`, `asset_builders` and `solid` are those of the gems
    known here that Gemfile.lock holds; `assets` is "propshaft", "sprockets" or None.
    `active_storage` tells whether the railtie is loaded, `attachments` whether its tables are
    there too, `storage_service` the service production.rb names. `connects` holds places outside
    of database.yml where code connects to a database. `dockerfile_env` are the variables that the
    existing Dockerfile sets. `hosting` names other ways to deploy that have files here.
    """

    path: Path
    is_rails: bool
    rails_version: str | None
    module: str | None
    app_name: str
    ruby: RubyVersion
    lock: GemfileLock
    databases: Databases
    connects: tuple[Unreadable, ...]
    image_gems: tuple[str, ...]
    asset_builders: tuple[str, ...]
    solid: tuple[str, ...]
    javascript: JavaScript
    assets: str | None
    api_only: bool
    active_storage: bool
    attachments: bool
    storage_service: str | None
    dockerfile: bool
    dockerfile_env: dict[str, str]
    deploy: DeployYml | None
    destinations: tuple[str, ...]
    secrets: dict[str, tuple[str, ...]]
    hosting: tuple[str, ...]

    @property
    def bootsnap(self) -> bool:
        """Whether the image can precompile with bootsnap."""
        return "bootsnap" in self.lock.gems

    @property
    def thruster(self) -> bool:
        """Whether the app can be started by Thruster."""
        return "thruster" in self.lock.gems

    @property
    def litestream_gem(self) -> bool:
        """Whether the app has a gem that replicates by itself."""
        return "litestream" in self.lock.gems

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """All that could not be read, in the order of what matters most."""
        deploy = self.deploy.unreadable if self.deploy else ()
        parts = (self.databases, self.lock, self.ruby, self.javascript)
        said = [one for part in parts for one in part.unreadable]
        return (*said, *self.connects, *deploy)

    @property
    def assumed(self) -> tuple[Assumed, ...]:
        """All that was read as if an environment variable were unset."""
        return self.databases.assumed + (self.deploy.assumed if self.deploy else ())


def inspect_app(path: Path) -> AppFacts:
    """Read the app in the folder `path` without running its code; never raises for what it says."""
    lock = gemfile_lock(path)
    deploy = deploy_yml(path)
    app = application(path)
    gems = lock.gems
    return AppFacts(
        path=path,
        is_rails=app is not None,
        rails_version=gems.get("rails") or gems.get("railties"),
        module=app.module if app else None,
        app_name=_app_name(path, deploy.service if deploy else None, app.module if app else ""),
        ruby=ruby_version(path, lock),
        lock=lock,
        databases=production_databases(path, deploy.environment if deploy else None),
        connects=_connects(path),
        image_gems=_present(_IMAGE_GEMS, gems),
        asset_builders=_present(_ASSET_BUILDERS, gems),
        solid=_present(_SOLID, gems),
        javascript=javascript(path),
        assets=next(iter(_present(("propshaft", "sprockets"), gems)), None),
        api_only=app.api_only if app else False,
        active_storage=uses_active_storage(path),
        attachments=_attachments(path),
        storage_service=_storage_service(path),
        dockerfile=(path / "Dockerfile").is_file(),
        dockerfile_env=dockerfile_env(path),
        deploy=deploy,
        destinations=destinations(path),
        secrets=secret_names(path),
        hosting=tuple(
            name
            for name, files in _HOSTING.items()
            if any(match for file in files for match in path.glob(file))
        ),
    )


def _present(names: tuple[str, ...], gems: dict[str, str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in gems)


def _app_name(path: Path, service: str | None, module: str) -> str:
    if service and SERVICE.fullmatch(service):
        return service
    # ActiveSupport::Inflector#underscore
    words = re.sub(r"([A-Z]+)([A-Z][a-z])|([a-z\d])([A-Z])", r"\1\3_\2\4", module)
    for name in (words, path.resolve().name):
        suggestion = re.sub(r"[^a-z0-9_-]+|[_-]{2,}", "_", name.replace("::", "_").lower())
        suggestion = suggestion.strip("_-")
        if SERVICE.fullmatch(suggestion):
            return suggestion
    return "app"


def _connects(app: Path) -> tuple[Unreadable, ...]:
    """Find code that opens databases which database.yml does not name."""
    found = []
    why = "code connects to a database that database.yml may not name"
    for folder in ("app", "lib", "config"):
        for file in sorted((app / folder).rglob("*.rb")):
            for number, line in code_lines(file):
                if _CONNECTS.search(line):
                    name = file.relative_to(app).as_posix()
                    found.append(Unreadable(name, number, line.strip(), why))
    return tuple(found)


def _attachments(app: Path) -> bool:
    for file in ("db/schema.rb", "db/structure.sql"):
        if (app / file).is_file():
            schema = (app / file).read_text(encoding="utf-8", errors="replace")
            return "active_storage_blobs" in schema
    return any((app / "db/migrate").glob("*active_storage*"))


def _storage_service(app: Path) -> str | None:
    for _, line in code_lines(app / "config/environments/production.rb"):
        service = re.search(r"config\.active_storage\.service\s*=\s*:(\w+)\s*$", line)
        if service:
            return service[1]
    return None
