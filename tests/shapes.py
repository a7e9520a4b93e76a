"""Apps as people deploy them, put together by hypothesis from the forms that occur.

The forms are those counted over public repositories, and those that adoptions have failed on. What
a containers' file system looks like is known of each by the way it is put together.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.sample_apps import STOCK, app, databases, lock

Draw = Callable[[st.SearchStrategy[Any]], Any]
SOLID_GEMS = ("solid_queue", "solid_cache", "solid_cable")
DATABASES = ("cable", "cache", "primary", "queue")


@dataclass(frozen=True)
class Shape:
    """An app: its files, and what it opens in containers with the variables given.

    `root` is where Rails lives in the image; databases are absolute paths in the containers.
    """

    files: dict[str, str]
    root: str
    opens: Callable[[Mapping[str, str]], dict[str, str]]

    @property
    def destinations(self) -> list[str | None]:
        """The names of the destinations, and None for the base."""
        named = [file[len("config/deploy.") : -4] for file in self.files if "deploy." in file]
        return [name or None for name in named]

    def create(self, folder: Path) -> Path:
        for file, text in self.files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
            if file.startswith("bin/"):
                path.chmod(0o755)
        return folder

    def __repr__(self) -> str:
        """Show the files that differ from app to app."""
        dull = {".ruby-version", "Gemfile.lock", "config/application.rb"}
        shown = [f"--- {f}\n{text}" for f, text in self.files.items() if f not in dull]
        return "\n".join([f"Shape in {self.root}:", *shown])


def often(draw: Draw, *forms: Any) -> Any:
    """Draw one of `forms`, of which the first is what most people have."""
    return draw(st.sampled_from((forms[0], *forms)))


def maybe(draw: Draw, text: str, chance: int = 3) -> str:
    """Draw `text` once in `chance`, else nothing."""
    return text if draw(st.integers(1, chance)) == chance else ""


# --- config/database.yml --------------------------------------------------------------------------

_STORAGE = "storage/{env}.sqlite3"


def _database_yml(
    draw: Draw, root: str
) -> tuple[str, Callable[[Mapping[str, str]], dict[str, str]]]:
    """Return the file, and what it opens, given the variables of a container."""
    path = often(
        draw,
        "storage/{env}.sqlite3",
        "storage/db/{env}.sqlite3",
        "/storage/{env}.sqlite3",
        '<%= Rails.root.join("storage", "{env}.sqlite3") %>',
        '<%= ENV.fetch("DATABASE_FOLDER", "storage") %>/{env}.sqlite3',
        "db/{env}.sqlite3",
    )
    several = draw(st.booleans())
    staging = draw(st.booleans())

    def section(env: str) -> str:
        if not several:
            return f"  <<: *default\n  database: {path.replace('{env}', env)}\n"
        names = {"primary": env, **{one: f"{env}_{one}" for one in ("cache", "queue", "cable")}}
        return "".join(
            f"  {name}:\n    <<: *default\n    database: {path.replace('{env}', file)}\n"
            + f"    migrations_paths: db/{name}_migrate\n" * (name != "primary")
            for name, file in names.items()
        )

    text = databases(section("production")) + ("\nstaging:\n" + section("staging")) * staging

    def opens(variables: Mapping[str, str]) -> dict[str, str]:
        form = path.replace('<%= Rails.root.join("storage", "{env}.sqlite3") %>', _STORAGE)
        folder = variables.get("DATABASE_FOLDER", "storage")
        form = form.replace('<%= ENV.fetch("DATABASE_FOLDER", "storage") %>', folder)
        env = variables.get("RAILS_ENV", "production")
        files = {one: f"{env}_{one}" if one != "primary" else env for one in DATABASES}
        found = {one: form.replace("{env}", file) for one, file in files.items()}
        names = DATABASES if several else ("primary",)
        return {one: posixpath.join(root, found[one]) for one in names}

    return text, opens


# --- Dockerfile and entrypoint --------------------------------------------------------------------

_STAGES = """\
# syntax=docker/dockerfile:1
ARG RUBY_VERSION=3.4.5
FROM {image} AS base
WORKDIR {root}
RUN apt-get update -qq && \\
    apt-get install --no-install-recommends -y curl libvips sqlite3 && \\
    rm -rf /var/lib/apt/lists /var/cache/apt/archives
ENV RAILS_ENV="production" \\
    BUNDLE_PATH="/usr/local/bundle"

FROM base AS build
RUN apt-get install -y build-essential git
COPY Gemfile Gemfile.lock ./
RUN --mount=type=cache,target=/tmp/bundle bundle install
COPY . .
RUN SECRET_KEY_BASE_DUMMY=1 ./bin/rails assets:precompile

# Final stage for app image
FROM base
{copies}
{user}"""
_ONE_STAGE = """\
FROM {image}
WORKDIR {root}
RUN apt-get update && apt-get install -y nodejs sqlite3
COPY Gemfile Gemfile.lock ./
RUN bundle install
COPY . .
RUN bundle exec rails assets:precompile
{user}"""
_ACCOUNT = """\
RUN groupadd --system --gid 1000 rails && \\
    useradd rails --uid 1000 --gid 1000 --create-home --shell /bin/bash"""
_ALPINE_ACCOUNT = "RUN addgroup -S -g 1000 rails && adduser -S -u 1000 -G rails rails"
_BUILT = 'COPY --from=build "${BUNDLE_PATH}" "${BUNDLE_PATH}"\nCOPY --from=build {root} {root}'
_BUILT_OWN = _BUILT.replace("COPY ", "COPY --chown=rails:rails ")


def _dockerfile(draw: Draw, root: str) -> str:
    alpine = draw(st.integers(0, 7)) == 7
    image = (
        "ruby:3.4.5-alpine"
        if alpine
        else often(draw, "docker.io/library/ruby:3.4.5-slim", "ruby:3.4.5")
    )
    account = _ALPINE_ACCOUNT if alpine else _ACCOUNT
    built, built_own = _BUILT.replace("{root}", root), _BUILT_OWN.replace("{root}", root)
    # Rails 8.1, 8.0 and 7.1; then people's own.
    copies, user = often(
        draw,
        ("", f"{account}\nUSER 1000:1000\n{built_own}\n"),
        (built, f"{account} && \\\n    chown -R rails:rails db log storage tmp\nUSER 1000:1000\n"),
        (built, f"{account}\nRUN chown -R rails:rails .\nUSER rails:rails\n"),
        (built, ""),
        (built, f"{account}\nRUN mkdir -p /storage {root}/storage\nUSER rails\n"),
    )
    text = _STAGES if draw(st.integers(0, 7)) else _ONE_STAGE
    if text is _ONE_STAGE:
        user = often(draw, "", f"{account}\nRUN chown -R rails:rails {root}\nUSER 1000\n")
    text = text.replace("{image}", image).replace("{root}", root)
    text = text.replace("{copies}\n", f"{copies}\n" if copies else "").replace("{user}", user)
    if alpine:
        text = text.replace("apt-get update -qq && \\\n    apt-get", "apk update && \\\n    apk")
    text += maybe(draw, "RUN curl -L https://x.example/ext.so -o /usr/lib/ext.so\n", 5)
    entrypoint = often(
        draw,
        f'\n# Entrypoint prepares the database.\nENTRYPOINT ["{root}/bin/docker-entrypoint"]\n',
        'ENTRYPOINT ["./bin/docker-entrypoint"]\n',
        "",
        f'ENTRYPOINT ["/usr/bin/tini", "--", "{root}/bin/docker-entrypoint"]\n',
        'ENTRYPOINT ["/usr/bin/tini", "--"]\n',
        f"ENTRYPOINT {root}/bin/docker-entrypoint\n",
        'ENTRYPOINT ["bundle", "exec"]\n',
    )
    cmd = often(
        draw,
        'CMD ["./bin/thrust", "./bin/rails", "server"]\n',
        'CMD ["./bin/rails", "server", "-b", "0.0.0.0"]\n',
        'CMD ["bin/boot"]\n',
        "CMD bundle exec puma -C config/puma.rb\n",
        'CMD ["foreman", "start"]\n',
        'CMD ["litestream", "replicate", "-exec", "bin/rails server"]\n',
    )
    return str(text + entrypoint + "EXPOSE 80\n" + cmd)


ENTRYPOINTS = {
    "stock": "#!/bin/bash -e\n\n"
    "# If running the rails server then create or migrate existing database\n"
    'if [ "${@: -2:1}" == "./bin/rails" ] && [ "${@: -1:1}" == "server" ]; then\n'
    '  ./bin/rails db:prepare\nfi\n\nexec "${@}"\n',
    "always": "#!/usr/bin/env bash\nset -euo pipefail\n\n# Ours.\n./bin/rails db:prepare\n\n"
    'exec "$@"\n',
    "functions": "#!/bin/bash\nset -e\n\nprepare() {\n  ./bin/rails db:prepare\n}\n\n"
    'rm -f tmp/pids/server.pid\nprepare\nexec "$@"\n',
    "heredoc": "#!/bin/sh\ncat > tmp/note <<EOF\nbin/boot-restore is not here\nEOF\n"
    './bin/rails db:migrate &&\n  exec "$@"\n',
    "gosu": '#!/bin/bash\nset -e\nchown -R rails /rails/storage\nexec gosu rails "$@"\n',
    "ruby": '#!/usr/bin/env ruby\nsystem("./bin/rails db:prepare")\nexec(*ARGV)\n',
    "own restore": "#!/bin/bash -e\n"
    "litestream restore -if-replica-exists storage/production.sqlite3\n"
    '[ -f x ] && ./bin/rails db:prepare\nexec "$@"\n',
}


# --- config/deploy.yml and destinations -----------------------------------------------------------

SERVERS = (
    "servers:\n  web:\n    - {host}\n",
    "servers:\n  - {host}\n",
    "servers:\n  web:\n    - {host}: [main]\n",
    "servers:\n  web:\n    hosts:\n      - {host}\n    options:\n      memory: 1g\n",
    "servers:\n  web:\n    - {host}\n  job:\n    hosts:\n      - {host}\n    cmd: bin/jobs\n",
    "servers:\n  web: [{host}]\n",
    "servers:\n  web:\n    - {host}\n    - 10.0.0.200\n",
)
_OTHER_ROLE = "primary_role: app\nservers:\n  app:\n    - {host}\n"
_BY_OPTIONS = (
    "servers:\n  web:\n    hosts: [{host}]\n    options:\n"
    "      volume: {name}_data:{root}/storage\n"
)
VOLUMES = (
    'volumes:\n  - "{name}_storage:{root}/storage"\n',
    "# The data.\nvolumes:\n  - {name}_storage:{root}/storage # all of it\n",
    "volumes:\n  - /var/lib/{name}:{root}/storage\n",
    "volumes:\n  - {name}_data:{root}/storage\n  - /data/{name}:{root}/storage/db\n",
    "volumes:\n  - {name}_data:/storage\n",
    "volumes:\n  - uploads:{root}/public/uploads\n  - {name}_data:/storage\n",
    'volumes: ["{name}_storage:{root}/storage", "logs:{root}/log"]\n',
    'volumes:\n  - <%= ENV.fetch("VOLUME", "{name}_x") %>:{root}/storage\n',
    "x-volumes: &data\n  - {name}_storage:{root}/storage\nvolumes: *data\n",
    "volumes:\n  - {name}_db:{root}/db\n",
    "",
)
ENVS = (
    "env:\n  secret:\n    - RAILS_MASTER_KEY\n  clear:\n    SOLID_QUEUE_IN_PUMA: true\n{clear4}",
    "env:\n  clear:\n    A: 1 # one\n{clear4}  secret:\n  - RAILS_MASTER_KEY\n",
    "env:\n  secret:\n    - RAILS_MASTER_KEY\n",
    "env:\n  A: 1\n  # Two.\n  B: two\n{clear2}",
    "env:\n  secret: [RAILS_MASTER_KEY, OTHER:NAME]\n",
    "env:\n  clear: {A: 1}\n",
    "x-keys: &keys\n  - RAILS_MASTER_KEY\nenv:\n  secret: *keys\n",
    "x-env: &env\n  secret:\n    - RAILS_MASTER_KEY\nenv:\n  <<: *env\n  clear:\n    A: 1\n",
    "env:\n  clear:\n    A: 1\n{clear4}  tags:\n    main:\n      B: 2\n",
    "env:\n{clear2}",
    "",
)
REGISTRIES = (
    "registry:\n  username: acme\n  password:\n    - KAMAL_REGISTRY_PASSWORD\n",
    "registry:\n  server: ghcr.io\n  username: acme\n  password:\n    - KAMAL_REGISTRY_PASSWORD\n",
    "registry:\n  server: localhost:5555\n",
    "registry:\n  server: ghcr.io\n  username: [REGISTRY_USER]\n  password: [REGISTRY_PASSWORD]\n",
)
PROXIES = (
    "proxy:\n  ssl: true\n  host: {name}.example.com\n",
    "proxy:\n  hosts:\n    - {name}.example.com\n    - www.{name}.example.com\n  app_port: 3000\n",
    "",
)
_REDIS = "  redis:\n    image: redis:7\n    {place}\n    directories:\n      - data:/data\n"
_LITESTREAM = """\
  {called}:
    image: {image}
    {place}
    cmd: replicate
    files:
      - config/litestream.yml:/etc/litestream.yml
    volumes:
      - {mount}
    env:
      secret:
        - LITESTREAM_ACCESS_KEY_ID
        - LITESTREAM_SECRET_ACCESS_KEY
"""
_LITESTREAM_FLOW = """\
  litestream:
    image: litestream/litestream:0.5.17
    roles: [web]
    cmd: replicate
    files: ["config/litestream.yml:/etc/litestream.yml"]
    volumes: ["{mount}"]
    env: {secret: [LITESTREAM_ACCESS_KEY_ID, LITESTREAM_SECRET_ACCESS_KEY]}
"""
_LITESTREAM_OWN_KEYS = """\
  litestream:
    image: litestream/litestream:0.5.17
    {place}
    cmd: replicate -config /etc/own.yml
    directories:
      - litestream:/data
    env:
      AWS_REGION: eu
"""


def _place(draw: Draw, host: str) -> str:
    return often(
        draw, f"host: {host}", "roles:\n      - web", f"hosts:\n      - {host}", "role: web"
    )


def _accessories(draw: Draw, host: str, mount: str) -> str:
    said = maybe(draw, _REDIS.replace("{place}", _place(draw, host)))
    image = often(
        draw,
        "litestream/litestream",
        "litestream/litestream:0.3.13",
        "litestream/litestream:0.5.17",
    )
    called = often(draw, "litestream", "backup")
    where = often(draw, mount, mount.split(":")[0] + ":/storage", mount.split(":")[0] + ":/data:ro")
    form = draw(
        st.sampled_from(
            ("", "", "", "", _LITESTREAM, _LITESTREAM, _LITESTREAM_FLOW, _LITESTREAM_OWN_KEYS)
        )
    )
    form = form.replace("{called}", called).replace("{image}", image).replace("{mount}", where)
    said += form.replace("{place}", _place(draw, host))
    return f"accessories:\n{said}" if said else ""


_ALIASES = (
    'aliases:\n  console: app exec --interactive --reuse "bin/rails console"\n',
    "",
    "aliases:\n  backups: app exec bin/my-backups\n",
)


@dataclass
class _Deploy:
    """A file of Kamal in the making: the sections, and what they come to."""

    sections: list[str]
    host: str | None
    rails_env: str | None = None


def _base(draw: Draw, root: str, name: str, folder: str | None) -> tuple[str, str]:
    """Return config/deploy.yml and the main volume."""
    host = "10.0.0.1"
    servers = often(draw, *SERVERS, _OTHER_ROLE, _BY_OPTIONS, "")
    volumes = often(draw, *VOLUMES) if servers != _BY_OPTIONS else ""
    if folder == "/storage" and "/storage" not in volumes.replace("{root}/storage", ""):
        volumes = draw(st.sampled_from((VOLUMES[4], VOLUMES[5], volumes)))
    if folder == "db":
        volumes = draw(st.sampled_from((VOLUMES[9], VOLUMES[9], volumes)))
    clear = "DATABASE_FOLDER: storage/live\n" if draw(st.integers(0, 9)) == 9 else ""
    env = often(draw, *ENVS)
    env = env.replace("{clear4}", f"    {clear}" if clear else "")
    env = env.replace("{clear2}", f"  {clear}" if clear else "")
    mount = f"{name}_storage:{root}/storage"
    sections = [
        often(draw, *REGISTRIES),
        servers,
        volumes,
        env,
        often(draw, *PROXIES),
        _accessories(draw, host, mount),
        often(draw, *_ALIASES),
        maybe(draw, "require_destination: true\n", 8),
        maybe(draw, f"asset_path: {root}/public/assets\n"),
        maybe(draw, "deploy_timeout: 60\n", 6),
        maybe(draw, "ssh:\n  user: app\n", 5),
        maybe(draw, "retain_containers: <%= ENV['X'] || 3 %>\n", 8),
        maybe(draw, "# <% if ENV['Y'] %>\n# <% end %>\n", 30),
    ]
    order = draw(st.permutations(sections)) if draw(st.booleans()) else sections
    gap = often(draw, "\n", "")
    head = f"# {name}\nservice: {name}\nimage: acme/{name}\nbuilder:\n  arch: amd64\n"
    text = gap.join([head, *filter(None, order)])
    return text.replace("{host}", host).replace("{root}", root).replace("{name}", name), mount


_ENV_OF_DESTINATION = (
    "",
    "env:\n  clear:\n    BASE_URL: https://x.example\n{more}",
    "env:\n  secret:\n    - RAILS_MASTER_KEY\n    - OTHER\n",
    "env:\n  secret: [RAILS_MASTER_KEY]\n  clear: {B: 1}\n",
    "env:\n  B: 1\n{flat}",
)
_ACCESSORIES_OF_DESTINATION = (
    "",
    "",
    "accessories:\n  litestream:\n    host: {host}\n",
    "accessories:\n  litestream:\n    image: litestream/litestream:latest\n",
    "accessories:\n  litestream:\n    volumes:\n      - {volume}:{root}/storage\n",
    "accessories:\n  redis:\n    image: redis:7\n    host: {host}\n",
    "accessories:\n  litestream:\n    image: litestream/litestream\n    host: {host}\n"
    "    cmd: replicate\n    volumes:\n      - {volume}:/storage\n",
    "accessories:\n  litestream:\n    env:\n      secret:\n        - LITESTREAM_ACCESS_KEY_ID\n",
    "accessories:\n  litestream:\n    service: {name}-ls\n    hosts: [{host}]\n",
)


def _destination(draw: Draw, root: str, name: str, service: str, staging: bool) -> str:
    """Return a destination's file; `staging` tells whether it may be another RAILS_ENV."""
    number = {"production": 1, "staging": 2, "demo": 3, "eu-west": 4}[name]
    host = often(draw, f"10.0.0.{number}", "10.0.0.1")
    servers = often(
        draw,
        *("servers:\n  web:\n    - {host}\n", "servers:\n  - {host}\n", ""),
        "servers:\n  web:\n    hosts: [{host}]\n",
        "servers:\n  web:\n    - <%= ENV['SERVER_IP'] || '{host}' %>\n",
        "servers:\n  web:\n    - <%= `hostname` %>\n",
    )
    volume = often(draw, f"{service}_{name}", f"/data/{name}", f"{service}_storage")
    volumes = often(
        draw,
        "",
        f"volumes:\n  - {volume}:{root}/storage\n",
        f"volumes:\n  - {volume}:{root}/storage\n  - x:{root}/storage/db\n",
        f"volumes:\n  - logs:{root}/log\n",
        f'volumes: ["{volume}:{root}/storage"]\n',
        f"volumes:\n  - {volume}:/storage\n",
    )
    env = often(draw, *_ENV_OF_DESTINATION)
    env = env.replace("{more}", "    RAILS_ENV: staging\n" * staging)
    env = env.replace("{flat}", "  RAILS_ENV: staging\n" * staging)
    sections = [
        maybe(draw, f"service: {service}-{name}\n", 3),
        servers,
        volumes,
        env,
        often(draw, f"proxy:\n  ssl: true\n  host: {name}.example.com\n", ""),
        often(draw, *_ACCESSORIES_OF_DESTINATION),
        maybe(draw, "image: other/shop\nregistry:\n  server: ghcr.io\n  username: other\n", 6),
        maybe(draw, "<% if ENV['CANARY'] %>\nretain_containers: 2\n<% end %>\n", 10),
        maybe(draw, "# A note.\n", 3),
    ]
    order = draw(st.permutations(sections)) if draw(st.booleans()) else sections
    text = often(draw, "\n", "").join(filter(None, order)) or "labels:\n  x: y\n"
    text = text.replace("{host}", host).replace("{root}", root).replace("{volume}", volume)
    return text.replace("{name}", service)


# --- Secrets --------------------------------------------------------------------------------------

SECRETS = (
    "# Ours.\nKAMAL_REGISTRY_PASSWORD=$KAMAL_REGISTRY_PASSWORD\n\n"
    "RAILS_MASTER_KEY=$(cat config/master.key)\n",
    "SECRETS=$(kamal secrets fetch --adapter 1password --account me --from Vault/Item"
    " KAMAL_REGISTRY_PASSWORD RAILS_MASTER_KEY)\n"
    "KAMAL_REGISTRY_PASSWORD=$(kamal secrets extract KAMAL_REGISTRY_PASSWORD ${SECRETS})\n"
    "RAILS_MASTER_KEY=$(kamal secrets extract RAILS_MASTER_KEY ${SECRETS})\n",
    "SECRETS=$(kamal secrets fetch --adapter bitwarden-sm all)\n"
    "RAILS_MASTER_KEY=$(kamal secrets extract RAILS_MASTER_KEY $SECRETS)\n",
    "RAILS_MASTER_KEY=$RAILS_MASTER_KEY\nOTHER=$OTHER\n",
    "SECRET_KEY_BASE=$(bin/rails runner 'puts 1')\n"
    "RAILS_MASTER_KEY=$(cat config/credentials/production.key)",
    "",
)


def _secrets(draw: Draw, destinations: list[str]) -> dict[str, str]:
    files = {}
    names = [
        ".kamal/secrets",
        ".kamal/secrets-common",
        *(f".kamal/secrets.{d}" for d in destinations),
    ]
    for at, file in enumerate(names):
        if draw(st.integers(0, 3)) >= (1 if at == 0 else 2):
            files[file] = often(draw, *SECRETS)
    return files


# --- All of it ------------------------------------------------------------------------------------


@st.composite
def shapes(draw: Draw) -> Shape:
    """Put an app together."""
    root = often(draw, "/rails", "/rails", "/rails", "/app")
    database_yml, opens = _database_yml(draw, root)
    has_staging = "staging:" in database_yml
    folder = "/storage" if "database: /storage" in database_yml else None
    folder = "db" if "database: db/" in database_yml else folder
    base, _ = _base(draw, root, "shop", folder)
    names = draw(
        st.lists(
            st.sampled_from(("staging", "production", "demo", "eu-west")), max_size=3, unique=True
        )
        if draw(st.booleans())
        else st.just([])
    )
    files = app({"config/database.yml": database_yml, "Gemfile.lock": lock(*STOCK, *SOLID_GEMS)})
    files["config/deploy.yml"] = base
    said = {n: _destination(draw, root, n, "shop", has_staging) for n in names}
    if "require_destination" in base or "servers:" not in base:
        said = said or {"staging": _destination(draw, root, "staging", "shop", has_staging)}
    files |= {f"config/deploy.{n}.yml": text for n, text in said.items()}
    files["Dockerfile"] = _dockerfile(draw, root)
    files["bin/docker-entrypoint"] = often(draw, *ENTRYPOINTS.values()).replace(
        "/rails/storage", f"{root}/storage"
    )
    files |= _secrets(draw, list(said))
    ignored = often(draw, None, "/.git\n/log/*\n", "*\n!app\n!bin\n!config\n!db\n!lib\n!Gemfile*\n")
    if ignored:
        files[".dockerignore"] = ignored
    if draw(st.integers(0, 14)) == 14:
        for file in [f for f in files if f.startswith(("config/deploy", ".kamal"))]:
            files[file] = files[file].replace("\n", "\r\n")
    return Shape(files, root, opens)
