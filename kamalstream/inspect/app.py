"""All that is read of a Rails app before anything is asked or written."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace
from pathlib import Path

from kamalstream.facts import DATABASE_YML, DOCKERFILE, RAILS_ROOT
from kamalstream.inspect.code_lines import code_lines
from kamalstream.inspect.database_yml import Databases, production_databases
from kamalstream.inspect.gemfile_lock import GemfileLock, gemfile_lock
from kamalstream.inspect.image.built import Build, Image, read_image
from kamalstream.inspect.image.dockerfile import dockerfile_env
from kamalstream.inspect.javascript import JavaScript, javascript
from kamalstream.inspect.kamal.deployment import Deployment, Kamal, kamal
from kamalstream.inspect.litejob import NAME as LITEJOB
from kamalstream.inspect.litejob import litejob, litejob_yml
from kamalstream.inspect.railties import application, loads
from kamalstream.inspect.ruby_version import RubyVersion, ruby_version
from kamalstream.inspect.solid import Solid, solid_gems
from kamalstream.inspect.stock import owned
from kamalstream.inspect.storage_yml import StorageService, storage_service
from kamalstream.inspect.unreadable import Assumed, Unreadable
from kamalstream.regular_file import read_text

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


@dataclass(frozen=True)
class AppFacts:
    """What is known of a Rails app; `unreadable` gathers all that could not be read.

    `app_name` is a suggestion that Kamal accepts: the service in use, else from the application's
    module, else from the folder. `databases` are those of the main deployment, `further` those of
    each other destination. `image_gems` and `asset_builders` are those of the gems known here that
    Gemfile.lock holds, `solid` how each of the Solid gems is there; `assets` is "propshaft",
    "sprockets" or None. `active_storage` tells whether the railtie is loaded, `attachments`
    whether its tables are there too, `storage_service` the service production.rb names. `connects`
    holds places outside of database.yml where code connects to a database. `image` and
    `dockerfile_env` (the variables of any stage) are those of the Dockerfile that is there.
    `own_files` are files that are not as Rails or Kamal wrote them.
    """

    path: Path
    rails_version: str | None
    app_name: str
    ruby: RubyVersion
    lock: GemfileLock
    databases: Databases
    further: dict[str, Databases]
    connects: tuple[Unreadable, ...]
    image_gems: tuple[str, ...]
    asset_builders: tuple[str, ...]
    solid: dict[str, Solid]
    javascript: JavaScript
    assets: str | None
    api_only: bool
    active_storage: bool
    attachments: bool
    storage_service: str | None
    dockerfile_env: dict[str, str]
    image: Image | None
    own_files: tuple[str, ...]
    kamal: Kamal | None

    @property
    def rails_root(self) -> str:
        """Where Rails lives in the image."""
        return root_of(self.image)

    @property
    def uploads(self) -> StorageService | None:
        """The service that keeps what people upload; None where that is not known."""
        return storage_service(self.path, self.storage_service, self.rails_root)

    @property
    def bootsnap(self) -> bool:
        """Whether the image can precompile with bootsnap."""
        return "bootsnap" in self.lock.gems

    @property
    def thruster(self) -> bool:
        """Whether the app can be started by Thruster."""
        return "thruster" in self.lock.gems

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """All that could not be read, in the order of what matters most."""
        deploy = self.kamal.unreadable if self.kamal else ()
        parts = (self.databases, self.lock, self.ruby, self.javascript)
        said = [one for part in parts for one in part.unreadable]
        said += [one for databases in self.further.values() for one in databases.unreadable]
        return tuple(dict.fromkeys((*said, *self.connects, *deploy)))

    @property
    def assumed(self) -> tuple[Assumed, ...]:
        """All that was read as if an environment variable were unset."""
        return self.databases.assumed + (self.kamal.assumed if self.kamal else ())


def inspect_app(path: Path) -> AppFacts:
    """Read the app in the folder `path` without running its code; never raises for what it says."""
    lock = gemfile_lock(path)
    deployed = kamal(path)
    main = deployed.main if deployed else None
    image = image_of(path, main or (deployed.base if deployed else None))
    app = application(path)
    gems = lock.gems
    return AppFacts(
        path=path,
        rails_version=gems.get("rails") or gems.get("railties"),
        app_name=_app_name(path, deployed, app.module if app else ""),
        ruby=ruby_version(path, lock),
        lock=lock,
        databases=opened_databases(path, main, image),
        further={
            str(one.name): opened_databases(path, one, image)
            for one in (deployed.further if deployed else ())
        },
        connects=_connects(path),
        image_gems=_present(_IMAGE_GEMS, gems),
        asset_builders=_present(_ASSET_BUILDERS, gems),
        solid=solid_gems(path),
        javascript=javascript(path),
        assets=next(iter(_present(("propshaft", "sprockets"), gems)), None),
        api_only=app.api_only if app else False,
        active_storage=loads(path, "active_storage/engine"),
        attachments=_attachments(path),
        storage_service=_storage_service(path),
        dockerfile_env=dockerfile_env(path),
        image=image,
        own_files=owned(path),
        kamal=deployed,
    )


def image_of(app: Path, one: Deployment | None) -> Image | None:
    """Return what the Dockerfile of `one` in the folder `app` builds; None without one."""
    file = app / ((one.builder.dockerfile if one else None) or DOCKERFILE)
    if not file.is_file():
        return None
    return read_image(read_text(file, "replace"), build_of(one))


def build_of(one: Deployment | None) -> Build:
    """Return how Kamal builds the image of `one`."""
    return Build(one.builder.target, one.builder.args) if one else Build()


def root_of(image: Image | None) -> str:
    """Return where Rails lives in `image`."""
    return (image.workdir if image and image.workdir not in (None, "/") else None) or RAILS_ROOT


def holds_code(folder: Path) -> bool:
    """Return whether a `folder` of an app has code, which a volume mounted there would hide.

    A volume keeps what the first image had there; what later ones have is never seen.
    """
    return next(folder.rglob("*.rb"), None) is not None


def opened_databases(app: Path, one: Deployment | None, image: Image | None) -> Databases:
    """Return the databases that the app in the folder `app` opens where `one` deploys it."""
    if one and one.rails_env is None:
        # Which section of database.yml is read hangs on it.
        return Databases(unreadable=(_rails_env(one),))
    env = {**(image.env if image else {}), **(one.environment if one else {})}
    opened = production_databases(app, env, root_of(image))
    return replace(opened, sqlite={**opened.sqlite, **litejob(app, env, root_of(image))})


def below_storage(app: AppFacts, one: Deployment | None, name: str, path: str) -> tuple[str, str]:
    """Return the file that decides where the database `name` is, and its line for storage/.

    `path` is where it is now in the containers of `one`: below the Rails root, or absolute.
    """
    storage = f"storage/{posixpath.basename(path)}"
    if name == LITEJOB:
        return litejob_yml(app.path), f"path: {storage}"
    of_image = app.image.env if app.image else {}
    of_kamal = one.environment if one else {}
    for file, env in ((one.file if one else "", of_kamal), (DOCKERFILE, of_image)):
        for variable, value in env.items():
            if value and value.endswith(path):
                others = {k: v for k, v in {**of_image, **of_kamal}.items() if k != variable}
                without = production_databases(app.path, others, app.rails_root)
                if without.sqlite.get(name) != path:
                    there = posixpath.join(app.rails_root, storage)
                    return file, f"{variable}={value.removesuffix(path)}{there}"
    return DATABASE_YML, f"database: {storage}"


def _rails_env(one: Deployment) -> Unreadable:
    """Return where it is that the Rails environment of `one` is not known."""
    secret = one.secrets_wanted.get("RAILS_ENV")
    if secret:
        why = f"the RAILS_ENV of {one.label} is a secret: it is none, so write it under env: clear:"
        return Unreadable(secret[0].file, secret[0].line, "", why)
    why = f"code decides the RAILS_ENV of {one.label}"
    hidden = one.unreadable_at("env")
    return replace(hidden[0], why=why) if hidden else Unreadable(*one.line("env"), "", why)


def _present(names: tuple[str, ...], gems: dict[str, str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in gems)


def _app_name(path: Path, deployed: Kamal | None, module: str) -> str:
    main = deployed and (deployed.main or deployed.base)
    service = main.service if main else None
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
            schema = read_text(app / file, "replace")
            return "active_storage_blobs" in schema
    return any((app / "db/migrate").glob("*active_storage*"))


def _storage_service(app: Path) -> str | None:
    for _, line in code_lines(app / "config/environments/production.rb"):
        service = re.search(r"config\.active_storage\.service\s*=\s*:(\w+)\s*$", line)
        if service:
            return service[1]
    return None
