"""An app that already deploys is adopted: what its owner wrote stays, and backups are right.

Each scenario is an app with one thing of its owner's. The real Kamal says whether its configuration
is valid, and what the sidecar of each deployment sees is asked of the model of the deployment.
"""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from kamalstream import facts
from kamalstream.edit.secrets_file import names
from kamalstream.inspect.kamal.deployment import Deployment, kamal
from kamalstream.inspect.kamal.files import merged

from .conftest import APPS, ROOT, requires
from .fixtures_init import Files, Ran, _answers, _kamalstream, files_of  # noqa: F401
from .fixtures_template import commit
from .kamal_oracle import Oracle

pytestmark = requires("kamal")
RAILS = APPS / "rails_8_1"
DOCKERFILE = (RAILS / "Dockerfile").read_text("utf-8")
HEAD = """\
service: notes
image: acme/notes
"""
REST = """\
proxy:
  ssl: true
  host: notes.example.com
registry:
  server: ghcr.io
  username: acme
  password:
    - KAMAL_REGISTRY_PASSWORD
builder:
  arch: amd64
"""
SERVERS = "servers:\n  web:\n    - 203.0.113.7\n"
ENV = "env:\n  secret:\n    - RAILS_MASTER_KEY\n"
VOLUMES = 'volumes:\n  - "notes_storage:/rails/storage"\n'
#: What a deploy.yml of the generators does not say.
GIVEN = {"server_ip": "203.0.113.7", "domain": "notes.example.com"}
DEPLOY = HEAD + SERVERS + REST + ENV + VOLUMES
SECRETS = "RAILS_MASTER_KEY=$(cat config/master.key)\nKAMAL_REGISTRY_PASSWORD=$(gh auth token)\n"
COMMON = {".kamal/secrets": None, ".kamal/secrets-common": SECRETS}
STAGING = "servers:\n  web:\n    - 198.51.100.9\nproxy:\n  host: staging.example.com\n"


@dataclass(frozen=True)
class App:
    """An app that is adopted, and what it was before."""

    path: Path
    before: Files
    run: Callable[..., Ran]
    data: Path
    oracle: Oracle

    def adopt(self) -> Ran:
        return self.run("init", self.path, "--defaults", "--yes", "--data-file", self.data)

    def text(self, file: str) -> str:
        return (self.path / file).read_text("utf-8")

    def was(self, file: str) -> str:
        return self.before[file][1].decode()

    def added(self, file: str) -> list[str]:
        """Return the lines that came; fail where one of its owner's has gone or moved."""
        rest, left = self.text(file).splitlines(), []
        for line in self.was(file).splitlines():
            assert line in rest, f"{file}: {line!r} is gone"
            at = rest.index(line)
            left += rest[:at]
            rest = rest[at + 1 :]
        return left + rest

    def deployment(self, name: str | None = None) -> Deployment:
        found = kamal(self.path)
        deployment = found.deployment(name) if found else None
        assert deployment, f"no deployment {name}"
        return deployment


Build = Callable[..., App]


@pytest.fixture
def build(
    kamalstream: Callable[..., Ran],
    answers: Callable[..., Path],
    tmp_path: Path,
    oracle: Oracle,
) -> Callable[..., App]:
    """Make an app of Rails 8.1 with these files of its owner's; None takes one away."""

    def make(
        files: Mapping[str, str | None] | None = None, source: Path = RAILS, **given: object
    ) -> App:
        path = tmp_path / "notes"
        shutil.copytree(source, path)
        for file, text in (files or {}).items():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                (path / file).unlink()
            else:
                (path / file).write_bytes(text.encode())
                (path / file).chmod(0o755 if file.startswith("bin/") else 0o644)
        commit(path, "As its owner wrote it")
        blank = {"app_name": None, "server_ip": None, "domain": None}
        return App(path, files_of(path), kamalstream, answers(**{**blank, **given}), oracle)

    return make


def accepted(app: App, destination: str | None) -> None:
    """Fail where Kamal does not take the configuration of `destination`."""
    said = app.oracle(app.path, destination)
    assert "error" not in said, said


def backed_up(app: App, name: str | None = None, *, main: bool = True, sidecar: str = "") -> None:
    """Fail where the databases of the deployment `name` are not replicated as they should be."""
    accepted(app, name)
    one = app.deployment(name)
    accessory = one.accessories[sidecar or "litestream"]
    config = facts.LITESTREAM if main or name is None else facts.litestream_of(name)
    assert (config, "/etc/litestream.yml") in accessory.files
    assert set(accessory.hosts) == {one.server}
    databases = yaml.safe_load(app.text(config))["dbs"]
    assert databases
    for database in databases:
        mounted = one.mount_of(database["path"])
        assert mounted, f"{database['path']} is on no volume"
        assert (mounted.source, mounted.target) in [(m.source, m.target) for m in accessory.mounts]
        key = database["replica"]["path"]
        further = f"notes/{name}/"
        assert key.startswith("notes/")
        assert key.startswith(further) == (not main)
    said = one.environment.get("LITESTREAM_CONFIG")
    assert said == (None if main else config)
    read = {key for f in one.secrets_files if (app.path / f).exists() for key in names(app.text(f))}
    for key in facts.BUCKET_KEYS:
        assert key in one.env_secret
        assert key in accessory.env.secret
        assert key in read, f"Kamal finds no {key} for {one.label}"


def adopted(app: App, *edited: str, limit: int = 60) -> Ran:
    """Adopt the app: right, with a few lines in the `edited` files, once and for all."""
    ran = app.adopt()
    assert ran.code == 0, ran.out + ran.err
    stored = yaml.safe_load(app.text(facts.ANSWERS))
    for file in edited:
        assert 0 < len(app.added(file)) <= limit, file
        assert file in stored["own_files"] or file not in facts.OWNABLE
    again = files_of(app.path)
    second = app.run("init", app.path, "--yes")
    assert "Nothing would change" in second.out, second.out + second.err
    assert files_of(app.path) == again
    return ran


# --- Whole apps -------------------------------------------------------------------------------


def test_an_app_that_was_changed_by_hand(build: Build) -> None:
    app = build(source=APPS / "changed_by_hand")
    own = ("Dockerfile", "bin/docker-entrypoint", facts.DEPLOY, facts.SECRETS, facts.DOCKERIGNORE)
    adopted(app, *own, limit=44)
    accepted(app, None)
    sidecar = app.deployment().accessories["litestream"]
    assert [str(mount) for mount in sidecar.mounts] == ["atelier_storage:/rails/storage"]


def test_an_app_with_a_litestream_by_hand(build: Build, tmp_path: Path) -> None:
    source = tmp_path / "by hand"
    shutil.copytree(RAILS, source)
    shutil.copytree(ROOT / "tests/by_hand", source, dirs_exist_ok=True)
    (source / ".ruby-version").write_text("3.4.1\n")
    app = build(source=source, server_ip="203.0.113.7", domain="notes.example.com")
    ran = app.adopt()
    deploy = app.text(facts.DEPLOY)
    # Filled in, and its release pinned; every other line is as it was.
    gone = [line for line in app.was(facts.DEPLOY).splitlines() if line not in deploy.splitlines()]
    assert [line.strip() for line in gone] == [
        "- YOUR_SERVER_IP",
        "image: litestream/litestream:0.3",
        "host: YOUR_SERVER_IP",
    ]
    accepted(app, None)
    sidecar = app.deployment().accessories["litestream"]
    assert "myapp_storage:/rails/storage" in [str(mount) for mount in sidecar.mounts]
    assert "litestream/litestream:0.3." in deploy, "the series whose backups are there"
    assert ran.code == 0, ran.out
    kept = next((app.path / "tmp").glob("before-kamalstream-*/config/litestream.yml"))
    assert kept.read_bytes() == app.before[facts.LITESTREAM][1]
    assert "-  - path: /storage/production.sqlite3" in ran.out, "it is in the diff"


# --- The owner's Dockerfile -------------------------------------------------------------------

FINAL = "# Final stage for app image\n"
ALPINE = """\
FROM ruby:3.4.7-alpine AS build
WORKDIR /rails
RUN apk add --no-cache build-base git yaml-dev sqlite-dev
COPY . .
RUN bundle install && SECRET_KEY_BASE_DUMMY=1 ./bin/rails assets:precompile

FROM ruby:3.4.7-alpine
RUN apk add --no-cache bash sqlite-libs vips tzdata && adduser -D -u 1000 rails
WORKDIR /rails
ENV RAILS_ENV=production BUNDLE_WITHOUT=development
COPY --from=build /usr/local/bundle /usr/local/bundle
COPY --from=build --chown=rails:rails /rails /rails
USER 1000:1000
ENTRYPOINT ["/rails/bin/docker-entrypoint"]
EXPOSE 80
CMD ["./bin/thrust", "./bin/rails", "server"]
"""
NODE = "COPY --from=node:22-slim /usr/local/bin/node /usr/local/bin/node\n"
WHEELS = """\
RUN curl -fsSL https://example.com/uuid.so -o /usr/lib/sqlite-uuid.so && \\
    chmod +x bin/*
"""


@pytest.mark.parametrize(
    "text",
    [
        DOCKERFILE.replace(FINAL, WHEELS + FINAL),
        DOCKERFILE.replace('CMD ["./bin/thrust", "./bin/rails", "server"]', 'CMD ["bin/boot"]'),
        DOCKERFILE.replace("FROM base\n", f"FROM base\n{NODE}"),
        ALPINE,
    ],
    ids=["build steps", "bin/boot", "node", "alpine"],
)
def test_a_dockerfile_of_the_owners(build: Build, text: str) -> None:
    boot = "#!/bin/bash\nbin/jobs &\nexec ./bin/thrust ./bin/rails server\n"
    app = build({"Dockerfile": text, "bin/boot": boot}, **GIVEN)
    adopted(app, "Dockerfile", limit=6)
    accepted(app, None)
    assert any("litestream/litestream:" in line for line in app.added("Dockerfile"))
    assert '/rails/bin/boot-restore "$@" || exit 1' in app.text("bin/docker-entrypoint")


def test_an_image_without_an_entrypoint_gets_one(build: Build) -> None:
    lines = [line for line in DOCKERFILE.splitlines() if "ntrypoint" not in line.lower()]
    app = build({"Dockerfile": "\n".join(lines) + "\n", "bin/docker-entrypoint": None}, **GIVEN)
    adopted(app, "Dockerfile", limit=10)
    assert 'ENTRYPOINT ["/rails/bin/boot-restore", "exec"]' in app.added("Dockerfile")
    assert not (app.path / "bin/docker-entrypoint").exists(), "nothing starts it"


def test_rails_in_another_folder(build: Build) -> None:
    app = build(
        {
            "Dockerfile": DOCKERFILE.replace("/rails", "/app").replace("./bin/app", "./bin/rails"),
            facts.DEPLOY: DEPLOY.replace("/rails/", "/app/"),
            facts.SECRETS: SECRETS,
        }
    )
    adopted(app, "Dockerfile", facts.DEPLOY)
    backed_up(app)
    assert '/app/bin/boot-restore "$@" || exit 1' in app.text("bin/docker-entrypoint")
    assert "- path: /app/storage/production.sqlite3" in app.text(facts.LITESTREAM)


# --- The owner's deploy.yml -------------------------------------------------------------------

JOBS = "  job:\n    hosts:\n      - 203.0.113.7\n    cmd: bin/jobs\n"
SEARCH = """\
accessories:
  # The search engine
  search:
    image: getmeili/meilisearch:v1.10
    host: 203.0.113.7
    env:
      secret:
        - MEILI_MASTER_KEY
"""
SHAPES = {
    "plain": DEPLOY,
    "no volume": HEAD + SERVERS + REST + ENV,
    "no env": HEAD + SERVERS + REST + VOLUMES,
    "flat env": DEPLOY.replace(ENV, "env:\n  WEB_CONCURRENCY: 2\n"),
    "volume below storage": DEPLOY.replace(
        VOLUMES, VOLUMES + '  - "/data/queue:/rails/storage/queue"\n'
    ),
    "host folder": DEPLOY.replace("notes_storage", "/data/notes"),
    "volume of another name": DEPLOY.replace("notes_storage", "old-data"),
    "job role": DEPLOY.replace(SERVERS, SERVERS + JOBS),
    "roles": DEPLOY.replace(SERVERS, "primary_role: app\nservers:\n  app:\n    - 203.0.113.7\n"),
    "tags": DEPLOY.replace("- 203.0.113.7", "- 203.0.113.7: [first]").replace(
        ENV, ENV + "  tags:\n    first:\n      ROLE: main\n"
    ),
    "hosts of the proxy": DEPLOY.replace(
        "  host: notes.example.com\n",
        "  hosts:\n    - notes.example.com\n    - www.example.com\n",
    ),
    "other accessories": DEPLOY + SEARCH,
    "flow lists": DEPLOY.replace(ENV, "env: { secret: [RAILS_MASTER_KEY] } # ours\n"),
    "code that only prepares": '<% require "time" %>\n'
    + DEPLOY.replace(ENV, ENV + '  clear:\n    MAIL: <%= ENV.fetch("MAIL", "a@example.com") %>\n'),
    "windows line ends": DEPLOY.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_deploy_yml_of_the_owners(build: Build, shape: str) -> None:
    meili = "MEILI_MASTER_KEY=$(op read op://vault/meili/key)\n"
    files: dict[str, str | None] = {facts.DEPLOY: SHAPES[shape], facts.SECRETS: SECRETS + meili}
    if shape == "volume below storage":
        config = (RAILS / "config/database.yml").read_text("utf-8")
        files["config/database.yml"] = config.replace(
            "storage/production_queue", "storage/queue/production_queue"
        )
    app = build(files)
    if shape in ("flow lists", "flat env"):
        ran = app.adopt()
        assert ran.code == 0, ran.out + ran.err
        whole, was = yaml.safe_load(app.text(facts.DEPLOY)), yaml.safe_load(app.was(facts.DEPLOY))
        assert {k: v for k, v in whole.items() if k in was and k != "env"} == {
            k: v for k, v in was.items() if k != "env"
        }
    else:
        adopted(app, facts.DEPLOY, limit=44)
    backed_up(app)
    if shape == "volume below storage":
        mounts = app.deployment().accessories["litestream"].mounts
        assert [str(mount) for mount in mounts] == [
            "notes_storage:/rails/storage",
            "/data/queue:/rails/storage/queue",
        ]
    if shape == "windows line ends":
        held = (app.path / facts.DEPLOY).read_bytes()
        assert held.count(b"\r\n") == held.count(b"\n")


@pytest.mark.parametrize(
    "text",
    [
        DEPLOY + '<% if ENV["LOGS"] %>\nlogging:\n  driver: local\n<% end %>\n',
        "x: &names\n  - RAILS_MASTER_KEY\n" + DEPLOY.replace(ENV, "env:\n  secret: *names\n"),
        DEPLOY + "logging: [\n",
    ],
    ids=["code that decides", "a list from an anchor", "no YAML"],
)
def test_what_cannot_be_edited_is_left_alone_and_the_lines_are_said(
    build: Build, text: str
) -> None:
    app = build({facts.DEPLOY: text, facts.SECRETS: SECRETS}, **GIVEN)
    ran = app.adopt()
    assert ran.code == 1
    assert app.text(facts.DEPLOY) == text
    *_, last = ran.out.partition("What comes next:")
    assert "To put in by hand" in last
    for line in ("- LITESTREAM_ACCESS_KEY_ID", "litestream:", "- config/litestream.yml:/etc/"):
        assert line in last
    assert (app.path / facts.LITESTREAM).exists()


def test_a_second_litestream_of_the_owners_is_said(build: Build) -> None:
    backup = """\
accessories:
  backup:
    image: litestream/litestream:0.5.2
    cmd: replicate
    roles: [web]
    files:
      - config/litestream.yml:/etc/litestream.yml
    volumes:
      - notes_storage:/rails/storage
"""
    app = build({facts.DEPLOY: DEPLOY + backup, facts.SECRETS: SECRETS})
    ran = app.adopt()
    assert app.added(facts.DEPLOY)
    assert ran.code == 1
    assert "backup" in ran.out.partition("To mend")[2]


# --- Secrets ----------------------------------------------------------------------------------

FETCH = "SECRETS=$(kamal secrets fetch --adapter 1password --account acme --from Deploy/Notes"
VAULT = f"""\
{FETCH} RAILS_MASTER_KEY KAMAL_REGISTRY_PASSWORD)
RAILS_MASTER_KEY=$(kamal secrets extract RAILS_MASTER_KEY ${{SECRETS}})
KAMAL_REGISTRY_PASSWORD=$(kamal secrets extract KAMAL_REGISTRY_PASSWORD ${{SECRETS}})
"""


def test_keys_are_fetched_from_the_vault_that_has_the_others(build: Build) -> None:
    app = build({facts.DEPLOY: DEPLOY, facts.SECRETS: VAULT})
    ran = app.adopt()
    assert ran.code == 0, ran.out
    backed_up(app)
    fetch, *rest = app.text(facts.SECRETS).splitlines()
    assert fetch == f"{VAULT.splitlines()[0][:-1]} {' '.join(facts.BUCKET_KEYS)})"
    assert rest[:2] == VAULT.splitlines()[1:]
    assert not any("read_secrets.rb" in line for line in rest)


def test_secrets_that_all_destinations_share_get_the_keys(build: Build) -> None:
    app = build({facts.DEPLOY: DEPLOY, **COMMON})
    adopted(app, ".kamal/secrets-common", limit=6)
    backed_up(app)
    assert not (app.path / facts.SECRETS).exists(), "its other secrets would win"


def test_patterns_of_a_dockerignore_of_the_owners_stay(build: Build) -> None:
    app = build({facts.DOCKERIGNORE: "# Ours\n/docs/\n*.psd\n!/docs/api\n.git\n"}, **GIVEN)
    adopted(app, facts.DOCKERIGNORE)
    assert "/config/master.key" in "\n".join(app.added(facts.DOCKERIGNORE))


# --- Destinations -----------------------------------------------------------------------------

DESTINATIONS = {
    "other hosts": STAGING,
    "own secrets list": STAGING + "env:\n  secret:\n    - RAILS_MASTER_KEY\n    - SMTP_PASSWORD\n",
    "own volume": STAGING + 'volumes:\n  - "staging_data:/rails/storage"\n',
    "own accessory": STAGING + SEARCH.replace("203.0.113.7", "198.51.100.9"),
    "its own environment": STAGING + "env:\n  clear:\n    RAILS_ENV: staging\n",
    "same host": STAGING.replace("198.51.100.9", "203.0.113.7")
    + 'service: notes-staging\nvolumes:\n  - "staging_data:/rails/storage"\n',
}


@pytest.mark.parametrize("shape", DESTINATIONS)
def test_a_destination_is_replicated_to_a_path_of_its_own(build: Build, shape: str) -> None:
    more = "SMTP_PASSWORD=$(op read op://vault/smtp/password)\nMEILI_MASTER_KEY=$(op read op://vault/meili/key)\n"
    files: dict[str, str | None] = {
        facts.DEPLOY: DEPLOY,
        "config/deploy.staging.yml": DESTINATIONS[shape],
        **{**COMMON, ".kamal/secrets-common": SECRETS + more},
    }
    if shape == "its own environment":
        config = (RAILS / "config/database.yml").read_text("utf-8")
        files["config/database.yml"] = (
            config + "\nstaging:\n  <<: *default\n  database: storage/staging.sqlite3\n"
        )
        production = (RAILS / "config/environments/production.rb").read_text("utf-8")
        files["config/environments/staging.rb"] = production
    app = build(files)
    ran = app.adopt()
    assert ran.code == 0, ran.out + ran.err
    before = yaml.safe_load(app.was("config/deploy.staging.yml"))
    for key, value in yaml.safe_load(app.text("config/deploy.staging.yml")).items():
        assert key in ("env", "accessories") or before[key] == value
    assert len(app.added("config/deploy.staging.yml")) < 20
    backed_up(app)
    backed_up(app, "staging", main=False)
    if shape == "its own environment":
        config = app.text("config/litestream.staging.yml")
        assert "- path: /rails/storage/staging.sqlite3" in config
        assert "production" not in app.text("config/litestream.staging.yml").partition("dbs:")[2]
    again = files_of(app.path)
    assert "Nothing would change" in app.run("init", app.path, "--yes").out
    assert files_of(app.path) == again


@pytest.mark.parametrize(
    "base",
    [
        HEAD + "require_destination: true\n" + SERVERS + REST + ENV + VOLUMES,
        HEAD + REST + ENV + VOLUMES,
    ],
    ids=["required", "no host in the base"],
)
def test_production_among_destinations_is_the_main_deployment(build: Build, base: str) -> None:
    production = STAGING.replace("198.51.100.9", "203.0.113.7").replace("staging.", "notes.")
    app = build(
        {
            facts.DEPLOY: base,
            "config/deploy.production.yml": production,
            "config/deploy.staging.yml": STAGING,
            **COMMON,
        }
    )
    adopted(app, facts.DEPLOY, "config/deploy.staging.yml")
    backed_up(app, "production")
    backed_up(app, "staging", main=False)
    assert "deploy.production.yml" not in app.text(facts.ANSWERS)


def test_code_in_a_destination_is_left_to_its_owner(build: Build) -> None:
    staging = STAGING + '<% if ENV["BETA"] %>\nenv:\n  clear:\n    BETA: 1\n<% end %>\n'
    app = build({facts.DEPLOY: DEPLOY, "config/deploy.staging.yml": staging, **COMMON})
    ran = app.adopt()
    assert ran.code == 1, ran.out
    assert app.text("config/deploy.staging.yml") == staging
    *_, last = ran.out.partition("What comes next:")
    assert "config/deploy.staging.yml" in last
    assert "LITESTREAM_CONFIG: config/litestream.staging.yml" in last
    assert "- config/litestream.staging.yml:/etc/litestream.yml" in last


def test_two_destinations_on_one_server_have_accessories_of_different_names(build: Build) -> None:
    volume = 'volumes:\n  - "{0}_data:/rails/storage"\n'
    app = build(
        {
            facts.DEPLOY: HEAD + "require_destination: true\n" + REST + ENV,
            "config/deploy.production.yml": SERVERS + volume.format("production"),
            "config/deploy.staging.yml": SERVERS
            + "proxy:\n  host: staging.example.com\n"
            + volume.format("staging"),
            **COMMON,
        }
    )
    ran = app.adopt()
    assert ran.code == 0, ran.out + ran.err
    backed_up(app, "production")
    backed_up(app, "staging", main=False)
    called = {
        app.deployment(name).accessories["litestream"].service_name
        for name in ("production", "staging")
    }
    assert len(called) == 2


def test_an_example_is_no_destination(build: Build) -> None:
    app = build(
        {
            facts.DEPLOY: DEPLOY,
            facts.SECRETS: SECRETS,
            "config/deploy.example.yml": "service: shop\nservers: [192.0.2.1]\n",
        }
    )
    adopted(app, facts.DEPLOY)
    backed_up(app)
    assert (
        app.before["config/deploy.example.yml"] == files_of(app.path)["config/deploy.example.yml"]
    )
    assert not (app.path / "config/litestream.example.yml").exists()


# --- What is not known ------------------------------------------------------------------------

REMOTE = '  <% if ENV["BUILDER"] %>remote: <%= ENV["BUILDER"] %><% end %>\n'
DECIDED = DEPLOY.replace("  arch: amd64\n", f"  arch: amd64\n{REMOTE}")


def by_hand(ran: Ran) -> dict[str, Any]:
    """Return what is to be put into config/deploy.yml by hand, all of it together."""
    *_, said = ran.out.rpartition("To put in by hand")
    whole: dict[str, Any] = {}
    _, *parts = re.split(r"^  (\S+): .*\n", said, flags=re.MULTILINE)
    for place, block in zip(parts[::2], parts[1::2], strict=True):
        if place.startswith(facts.DEPLOY):
            whole = merged(whole, yaml.safe_load(textwrap.dedent(block)))
    return whole


def test_what_code_decides_hides_nothing_else(build: Build) -> None:
    staging = "servers:\n  web:\n    - 198.51.100.9\nenv:\n  clear:\n    MAIL: none\n  secret:\n"
    files = {"config/deploy.staging.yml": staging + "    - RAILS_MASTER_KEY\n", **COMMON}
    app = build({facts.DEPLOY: DECIDED.replace("notes_storage", "old-data"), **files})
    ran = app.adopt()
    assert ran.code == 1
    assert app.text(facts.DEPLOY) == app.was(facts.DEPLOY)
    assert app.text("config/deploy.staging.yml") == staging + "    - RAILS_MASTER_KEY\n"
    assert (
        "config/deploy.staging.yml: the accessory has to be in config/deploy.yml first" in ran.out
    )
    accepted(app, "staging")
    again = app.adopt()
    assert again.code == 1
    assert by_hand(again) == by_hand(ran), "what was never put in was not taken out"

    wanted = by_hand(ran)
    text = app.text(facts.DEPLOY).replace(
        "    - RAILS_MASTER_KEY\n",
        "    - RAILS_MASTER_KEY\n" + "".join(f"    - {one}\n" for one in facts.BUCKET_KEYS),
    )
    del wanted["env"]
    (app.path / facts.DEPLOY).write_text(f"{text}\n{yaml.safe_dump(wanted)}")
    done = app.adopt()
    assert "To put in by hand" not in done.out
    backed_up(app)
    backed_up(app, "staging", main=False)
    # Nothing of what config/deploy.yml gives to both is there a second time.
    assert yaml.safe_load(app.text("config/deploy.staging.yml"))["accessories"] == {
        "litestream": {
            "files": [
                "config/litestream.staging.yml:/etc/litestream.yml:ro",
                "bin/one-writer:/usr/local/bin/one-writer:ro",
            ]
        }
    }
    assert "old-data:/rails/storage" in map(str, app.deployment().accessories["litestream"].mounts)


def test_a_rails_environment_that_is_a_secret_is_asked_for(build: Build) -> None:
    secret = ENV + "    - RAILS_ENV\n"
    files = {"config/deploy.production.yml": SERVERS + secret, **COMMON}
    app = build({facts.DEPLOY: HEAD + REST + VOLUMES, **files})
    ran = app.adopt()
    assert ran.code == 2
    assert "config/deploy.production.yml:7: the RAILS_ENV of production is a secret" in ran.err
    assert files_of(app.path) == app.before
    told = SERVERS + ENV + "  clear:\n    RAILS_ENV: production\n"
    (app.path / "config/deploy.production.yml").write_text(told)
    assert app.adopt().code == 0
    backed_up(app, "production")


def test_destinations_that_are_not_in_the_repository_are_said(build: Build) -> None:
    key = "RAILS_MASTER_KEY=$RAILS_MASTER_KEY\n"
    files = {".kamal/secrets.production": key, ".kamal/secrets.staging": key}
    app = build({facts.DEPLOY: "require_destination: true\n", **files}, **GIVEN)
    ran = app.adopt()
    assert ran.code == 1
    assert "[destination.none]" in ran.out
    assert "kamal setup -d NAME" in ran.out
    for file in files:
        assert {*facts.BUCKET_KEYS} <= names(app.text(file))
    assert app.text(facts.SECRETS) == app.was(facts.SECRETS), "Kamal reads it for no destination"
    # The remedy is followed.
    for name in ("production", "staging"):
        shown = HEAD + SERVERS + REST + ENV + f'volumes:\n  - "{name}:/rails/storage"\n'
        (app.path / f"config/deploy.{name}.yml").write_text(shown.replace("notes.", f"{name}."))
        (app.path / f".kamal/secrets.{name}").write_text(
            SECRETS + app.text(f".kamal/secrets.{name}")
        )
    assert app.run("init", app.path, "--yes", "--defaults").code == 0
    backed_up(app, "production")
    backed_up(app, "staging", main=False)


def test_production_that_comes_later_gets_the_keys(build: Build) -> None:
    app = build({facts.DEPLOY: DEPLOY, facts.SECRETS: SECRETS})
    assert app.adopt().code == 0
    production = 'volumes:\n  - "prod:/rails/storage"\n' + ENV
    (app.path / "config/deploy.production.yml").write_text(production)
    (app.path / ".kamal/secrets.production").write_text(SECRETS)
    assert app.adopt().code == 0
    backed_up(app, "production")


def test_a_list_of_secrets_that_comes_later_gets_the_keys(build: Build) -> None:
    app = build({facts.DEPLOY: DEPLOY, "config/deploy.staging.yml": STAGING, **COMMON})
    assert app.adopt().code == 0
    staging = app.text("config/deploy.staging.yml").replace("env:\n", ENV)
    (app.path / "config/deploy.staging.yml").write_text(staging)
    assert app.adopt().code == 0
    backed_up(app, "staging", main=False)


def test_a_script_that_is_by_hand_is_said_in_one_way_and_again(build: Build) -> None:
    script = '#!/bin/bash\nexec su rails -c "$*"\n'
    app = build({facts.ENTRYPOINT: script, facts.DEPLOY: DEPLOY, facts.SECRETS: SECRETS})
    why = "it becomes another user by su, and restoring has to come after that"
    call = '/rails/bin/boot-restore "$@" || exit 1'
    for _ in range(2):
        ran = app.adopt()
        assert ran.code == 1
        assert app.text(facts.ENTRYPOINT) == script
        assert f"bin/docker-entrypoint:2: {why}\n      {call}" in ran.out
    (app.path / facts.GUIDE).unlink()
    assert f"→ {why}:\n    → {call}" in app.adopt().out, "the check says the same"


def test_a_placeholder_for_the_server_becomes_the_server(build: Build) -> None:
    text = DEPLOY.replace("203.0.113.7", "app.example.com").replace("notes.example", "app.example")
    app = build({facts.DEPLOY: text, facts.SECRETS: SECRETS}, **GIVEN)
    assert app.adopt().code == 0
    assert app.deployment().hosts == ("203.0.113.7",)
    assert app.deployment().proxy.hosts == ("notes.example.com",)


def test_credentials_of_each_destination_are_read_for_it(build: Build) -> None:
    enc = {f"config/credentials/{name}.yml.enc": "x" for name in ("production", "staging")}
    text = HEAD + "require_destination: true\n" + REST + ENV + VOLUMES
    destinations = {
        "config/deploy.production.yml": SERVERS,
        "config/deploy.staging.yml": STAGING,
    }
    app = build({facts.DEPLOY: text, **destinations, **COMMON, **enc})
    ran = app.adopt()
    assert "(RAILS_ENV=$KAMAL_DESTINATION ruby .kamal/read" in app.text(".kamal/secrets-common")
    steps = ran.out.partition("What comes next:")[2]
    for step in ("credentials:edit -e staging", "setup -d production", "setup -d staging"):
        assert step in steps


def test_the_next_step_is_the_vault_that_has_the_other_secrets(build: Build) -> None:
    vault = "S=$(kamal secrets fetch -a test --account a --from v RAILS_MASTER_KEY)\n"
    vault += "RAILS_MASTER_KEY=$(kamal secrets extract RAILS_MASTER_KEY $S)\n"
    app = build({facts.DEPLOY: DEPLOY, facts.SECRETS: vault + "KAMAL_REGISTRY_PASSWORD=$P\n"})
    steps = app.adopt().out.partition("What comes next:")[2]
    assert "kamalstream credentials" not in steps
    assert "for .kamal/secrets to fetch" in steps


def test_a_server_that_was_given_otherwise_is_read_again(build: Build) -> None:
    app = build({facts.DEPLOY: DEPLOY, facts.SECRETS: SECRETS}, server_ip="198.51.100.1")
    assert "kamalstream init --defaults reads it again" in app.adopt().out
    ran = app.run("init", app.path, "--yes", "--defaults")
    assert ran.code == 0
    assert "answers.server-ip" not in ran.out
    assert "`203.0.113.7`" in app.text(facts.GUIDE)
