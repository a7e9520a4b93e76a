"""Small Rails apps for the tests: a table of files, each with what is to be known of it.

`SAMPLES[name].create(folder)` writes one. The facts are paths into AppFacts with their values;
`unreadable` holds (file, line, part of the reason) of all that cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from kamalstream.inspect.app import AppFacts
from kamalstream.inspect.database_yml import Databases
from kamalstream.inspect.unreadable import Assumed

SOLID = {
    "primary": "storage/production.sqlite3",
    "cache": "storage/production_cache.sqlite3",
    "queue": "storage/production_queue.sqlite3",
    "cable": "storage/production_cable.sqlite3",
}
ONE = {"primary": "storage/production.sqlite3"}


def _plain(value: Any) -> Any:
    """Write assumptions as VARIABLE=default, one after the other."""
    if isinstance(value, tuple) and value and isinstance(value[0], Assumed):
        return " ".join(f"{assumed.variable}={assumed.default}" for assumed in value)
    return value


@dataclass(frozen=True)
class Sample:
    """The files of an app (path → text) and its expected facts."""

    files: dict[str, str]
    facts: dict[str, Any]
    unreadable: tuple[tuple[str, int, str], ...] = field(default=())

    def create(self, folder: Path) -> Path:
        for file, text in self.files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
        return folder

    def found_in(self, app: AppFacts) -> dict[str, Any]:
        """Return what `app` says of the facts of this sample."""
        found = {path: reduce(getattr, path.split("."), app) for path in self.facts}
        return {path: _plain(value) for path, value in found.items()}


def application(module: str, require: str = 'require "rails/all"', config: str = "") -> str:
    return (
        f'require_relative "boot"\n\n{require}\n\nBundler.require(*Rails.groups)\n\n'
        f"module {module}\n  class Application < Rails::Application\n"
        f"    config.load_defaults 8.0\n    # config.api_only = true\n    {config}\n  end\nend\n"
    )


def lock(*gems: str) -> str:
    specs = "".join(
        f"    {name} ({version or '1.0.0'})\n"
        for name, _, version in (gem.partition(" ") for gem in gems)
    )
    return (
        f"GEM\n  remote: https://rubygems.org/\n  specs:\n{specs}\nPLATFORMS\n  x86_64-linux\n\n"
        "DEPENDENCIES\n  rails\n\nBUNDLED WITH\n   2.7.1\n"
    )


def databases(production: str) -> str:
    return f"default: &default\n  adapter: sqlite3\n  timeout: 5000\n\nproduction:\n{production}"


def several(databases_by_name: dict[str, str]) -> str:
    return databases(
        "".join(
            f"  {name}:\n    <<: *default\n    database: {path}\n"
            for name, path in databases_by_name.items()
        )
    )


def one(path: str) -> str:
    return databases(f"  <<: *default\n  database: {path}\n")


STOCK = ("rails 8.0.2", "sqlite3 2.7.3", "propshaft", "bootsnap", "thruster", "importmap-rails")


def app(files: dict[str, str] | None = None, module: str = "Shop") -> dict[str, str]:
    """Return the files of a Rails 8 app on one SQLite database; `files` replace or add."""
    return {
        ".ruby-version": "ruby-3.4.5\n",
        "Gemfile.lock": lock(*STOCK),
        "config/application.rb": application(module),
        "config/database.yml": one("storage/production.sqlite3"),
        **(files or {}),
    }


DEPLOY = """\
# <%= this is not run %>
<% require "dotenv" -%>
service: corner-shop
image: acme/corner-shop

servers:
  web:
    hosts:
      - 192.0.2.10
      - 192.0.2.11: experiment
  job:
    hosts: [192.0.2.12]
    cmd: bin/jobs
    env:
      clear:
        JOB_CONCURRENCY: 3

proxy:
  ssl: true
  host: shop.example.com,shop.example.org

registry:
  server: ghcr.io
  username: <%= ENV.fetch("REGISTRY_USER", "acme") %>
  password:
    - KAMAL_REGISTRY_PASSWORD

env:
  clear:
    SOLID_QUEUE_IN_PUMA: yes
    DATABASE_FOLDER: storage/db
    BASE_URL: <%= BaseUrl.of(:shop) %>
  secret:
    - RAILS_MASTER_KEY
    - S3_KEY:SHOP_S3_KEY

volumes:
  - "shop_data:/rails/storage"
  - /srv/exports:/rails/exports:ro

accessories:
  # Search.
  meili:
    image: getmeili/meilisearch:v1.10
    host: 192.0.2.10
    env:
      secret:
        - MEILI_MASTER_KEY # rotated
  redis: { image: "redis:7", host: 192.0.2.10 }

aliases:
  console: app exec --interactive --reuse "bin/rails console"

builder:
  arch: [amd64, arm64]
  args:
    GIT_SHA: <%= `git rev-parse HEAD` %>

ssh:
  user: deploy
"""

SAMPLES: dict[str, Sample] = {
    "what Rails 8 generates": Sample(
        app(
            {
                "config/database.yml": several(SOLID),
                "Gemfile.lock": lock(*STOCK, "solid_queue", "solid_cache", "solid_cable"),
                "Dockerfile": "FROM ruby:3.4.5-slim\nENV RAILS_ENV=production \\\n"
                '    BUNDLE_DEPLOYMENT="1"\nENV LANG C.UTF-8\n# ENV NOT=this\n',
                "db/schema.rb": "# empty\n",
            }
        ),
        {
            "rails_version": "8.0.2",
            "app_name": "shop",
            "ruby.version": "3.4.5",
            "lock.bundler": "2.7.1",
            "databases.sqlite": SOLID,
            "assumed": (),
            "image_gems": ("sqlite3",),
            "asset_builders": ("importmap-rails",),
            "javascript.lockfiles": (),
            "assets": "propshaft",
            "api_only": False,
            "active_storage": True,
            "attachments": False,
            "bootsnap": True,
            "thruster": True,
            "rails_root": "/rails",
            "dockerfile_env": {
                "RAILS_ENV": "production",
                "BUNDLE_DEPLOYMENT": "1",
                "LANG": "C.UTF-8",
            },
            "kamal": None,
        },
    ),
    "one file in a folder of its own": Sample(
        app(
            {"config/database.yml": one("storage/db/<%= Rails.env %>.sqlite3")}, module="CornerShop"
        ),
        {
            "app_name": "corner_shop",
            "databases.sqlite": {"primary": "storage/db/production.sqlite3"},
        },
    ),
    "renamed files": Sample(
        app({"config/database.yml": several({"primary": "storage/shop.db"})}, module="HTMLShop"),
        {"app_name": "html_shop", "databases.sqlite": {"primary": "storage/shop.db"}},
    ),
    "paths from the environment": Sample(
        app(
            {
                "config/database.yml": several(
                    {
                        "primary": '<%= ENV.fetch("DATA_PATH", "storage") %>/production.sqlite3',
                        "queue": '<%= ENV["QUEUE_DB"] || "storage/queue.sqlite3" %>',
                    }
                )
            }
        ),
        {
            "databases.sqlite": {
                "primary": "storage/production.sqlite3",
                "queue": "storage/queue.sqlite3",
            },
            "databases.assumed": "DATA_PATH=storage QUEUE_DB=storage/queue.sqlite3",
        },
    ),
    "a URL": Sample(
        app({"config/database.yml": "production:\n  url: sqlite3:storage/production.sqlite3\n"}),
        {"databases.sqlite": ONE},
    ),
    "PostgreSQL beside SQLite": Sample(
        app(
            {
                "config/database.yml": databases(
                    "  primary:\n    adapter: postgresql\n    database: shop\n"
                    "  cache:\n    <<: *default\n    database: storage/cache.sqlite3\n"
                ),
                "Gemfile.lock": lock(*STOCK, "pg"),
            }
        ),
        {
            "databases.sqlite": {"cache": "storage/cache.sqlite3"},
            "databases.other": {"primary": "postgresql"},
            "image_gems": ("pg", "sqlite3"),
        },
    ),
    "PostgreSQL alone": Sample(
        app(
            {
                "config/database.yml": "production:\n  adapter: postgresql\n",
                "Gemfile.lock": lock("rails 7.1.3", "pg", "sprockets", "mysql2"),
            }
        ),
        {
            "rails_version": "7.1.3",
            "databases.sqlite": {},
            "databases.other": {"primary": "postgresql"},
            "image_gems": ("pg", "mysql2"),
            "assets": "sprockets",
            "bootsnap": False,
            "thruster": False,
        },
    ),
    "one file for each tenant": Sample(
        app(
            {
                "config/database.yml": several(
                    {
                        "primary": "storage/tenants/%{tenant}/main.sqlite3",
                        "queue": "storage/queue.sqlite3",
                    }
                )
            }
        ),
        {"databases.sqlite": {"queue": "storage/queue.sqlite3"}},
        (("config/database.yml", 8, "one file for each tenant"),),
    ),
    "tenants in a loop": Sample(
        app(
            {
                "config/database.yml": "production:\n<% Tenant.names.each do |name| %>\n"
                "  <%= name %>:\n    adapter: sqlite3\n<% end %>\n"
            }
        ),
        {"databases.sqlite": {}},
        (
            ("config/database.yml", 2, "code decides"),
            ("config/database.yml", 3, "code puts whole lines here"),
            ("config/database.yml", 5, "code decides"),
        ),
    ),
    "database.yml from elsewhere": Sample(
        app({"config/database.yml": '<%= ERB.new(File.read("config/sqlite.yml")).result %>\n'}),
        {"databases.sqlite": {}},
        (("config/database.yml", 1, "code puts whole lines here"),),
    ),
    "no database.yml": Sample(
        {k: v for k, v in app().items() if k != "config/database.yml"},
        {"databases.sqlite": {}},
        (("config/database.yml", 0, "there is no such file"),),
    ),
    "a database that code opens": Sample(
        app(
            {
                "app/models/log.rb": "class Log < ActiveRecord::Base\n"
                '  # establish_connection adapter: "sqlite3"\n'
                '  establish_connection adapter: "sqlite3", database: "storage/log.sqlite3"\nend\n'
            }
        ),
        {"databases.sqlite": ONE},
        (("app/models/log.rb", 3, "code connects to a database"),),
    ),
    "an API": Sample(
        app(
            {
                "config/application.rb": application(
                    "Api::V1",
                    'require "rails"\nrequire "active_record/railtie"\n'
                    '# require "active_storage/engine"\nrequire "action_controller/railtie"',
                    "config.api_only = true",
                ),
                "Gemfile.lock": lock("rails 8.1.0", "sqlite3"),
            },
            module="Api::V1",
        ),
        {
            "app_name": "api_v1",
            "api_only": True,
            "active_storage": False,
            "assets": None,
            "asset_builders": (),
        },
    ),
    "yarn and esbuild": Sample(
        app(
            {
                "package.json": '{"scripts": {"build": "esbuild"}, "engines": {"node": ">=20"},\n'
                ' "packageManager": "yarn@1.22.22+sha512.abc"}\n',
                "yarn.lock": "",
                "Gemfile.lock": lock(*STOCK, "jsbundling-rails", "cssbundling-rails"),
            }
        )
        | {".tool-versions": "nodejs 22.11.0\nruby 3.4.5\n"},
        {
            "javascript.manager": "yarn",
            "javascript.manager_version": "1.22.22",
            "javascript.lockfiles": ("yarn.lock",),
            "javascript.node": "22.11.0",
            "javascript.engine": ">=20",
            "javascript.builds": True,
            "asset_builders": ("importmap-rails", "jsbundling-rails", "cssbundling-rails"),
        },
    ),
    "npm and vite": Sample(
        app(
            {
                "package.json": '{"devDependencies": {"vite": "^6"}}',
                "Gemfile.lock": lock("rails 8.0.2", "vite_ruby", "vite_rails", "sqlite3"),
            }
        )
        | {"package-lock.json": "{}", ".node-version": "v22.1.0\n"},
        {
            "javascript.manager": "npm",
            "javascript.node": "22.1.0",
            "javascript.builds": False,
            "asset_builders": ("vite_ruby", "vite_rails"),
            "bootsnap": False,
        },
    ),
    "pnpm": Sample(
        app({"package.json": "{}"}) | {"pnpm-lock.yaml": "", ".nvmrc": "20\n"},
        {"javascript.manager": "pnpm", "javascript.node": "20"},
    ),
    "bun": Sample(
        app({"package.json": "{}", "bun.lock": ""}) | {"mise.toml": '[tools]\nbun = "1.2.3"\n'},
        {"javascript.manager": "bun", "javascript.bun": "1.2.3", "javascript.node": None},
    ),
    "two lockfiles": Sample(
        app({"package.json": "{}", "yarn.lock": ""}) | {"package-lock.json": "{}"},
        {"javascript.manager": "yarn"},
        (("package.json", 0, "there are lockfiles of yarn and npm, and yarn is taken"),),
    ),
    "images and files": Sample(
        app(
            {
                "Gemfile.lock": lock(*STOCK, "image_processing", "ruby-vips"),
                "db/schema.rb": '  create_table "active_storage_blobs", force: :cascade do |t|\n',
                "config/environments/production.rb": "Rails.application.configure do\n"
                "  # config.active_storage.service = :local\n"
                "  config.active_storage.service = :amazon # bucket\nend\n",
            }
        ),
        {
            "image_gems": ("image_processing", "ruby-vips", "sqlite3"),
            "active_storage": True,
            "attachments": True,
            "storage_service": "amazon",
        },
    ),
    "deployed with Kamal": Sample(
        app({"config/deploy.yml": DEPLOY})
        | {
            "config/database.yml": one(
                '<%= ENV.fetch("DATABASE_FOLDER", "storage") %>/production.sqlite3'
            ),
            "config/deploy.staging.yml": "service: x\n",
            ".kamal/secrets": "# SHOWN=no\nRAILS_MASTER_KEY=$(cat config/master.key)\n"
            "KAMAL_REGISTRY_PASSWORD=dckr_very_secret\nexport SHOP_S3_KEY='x'\n",
        },
        {
            "app_name": "corner-shop",
            "databases.sqlite": {"primary": "storage/db/production.sqlite3"},
            "kamal.base.image": "acme/corner-shop",
            "kamal.main.hosts": ("192.0.2.10", "192.0.2.11", "192.0.2.12"),
            "kamal.main.registry.server": "ghcr.io",
            "kamal.main.env_clear": {
                "SOLID_QUEUE_IN_PUMA": "true",
                "DATABASE_FOLDER": "storage/db",
                "BASE_URL": None,
            },
            "kamal.main.proxy.hosts": ("shop.example.com", "shop.example.org"),
            "further": {
                "staging": Databases({"primary": "storage/db/production.sqlite3"}),
            },
            "assumed": "REGISTRY_USER=acme",
        },
        (("config/deploy.yml", 32, "only by running it"),),
    ),
    "a database URL among the secrets": Sample(
        app(
            {
                "config/deploy.yml": "service: shop.v2\nservers: [192.0.2.1]\n"
                "env:\n  secret: [DATABASE_URL]\n"
            }
        ),
        {
            "app_name": "shop",
            "databases.sqlite": {},
            "kamal.main.hosts": ("192.0.2.1",),
            "kamal.main.env_secret": {"DATABASE_URL": "DATABASE_URL"},
        },
        (("config/database.yml", 5, 'ENV["DATABASE_URL"] is set to a value that is not read'),),
    ),
    "deploy.yml decided by code": Sample(
        app({"config/deploy.yml": "service: shop\n<% if ENV['X'] -%>\nimage: x\n<% end -%>\n"}),
        {"app_name": "shop", "databases.sqlite": ONE, "kamal.base.service": "shop"},
        (("config/deploy.yml", 3, "code (<% … %>) decides"),),
    ),
    "no Rails app": Sample(
        {"Gemfile.lock": lock("sinatra"), "config/database.yml": one("storage/x.sqlite3")},
        {"rails_version": None},
        ((".ruby-version", 0, "no file says"),),
    ),
    "a folder without anything": Sample(
        {"README.md": ""},
        {"rails_version": None, "databases.sqlite": {}, "javascript.lockfiles": ()},
        (
            ("config/database.yml", 0, "there is no such file"),
            ("Gemfile.lock", 0, "there is no such file"),
            (".ruby-version", 0, "no file says"),
        ),
    ),
}
