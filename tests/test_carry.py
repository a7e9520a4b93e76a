"""What the owner of an app added to a file is carried over, or named with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kamalstream.render import carry
from kamalstream.render.lost import Lost
from kamalstream.render.own_instructions import own_instructions

from .conftest import requires
from .fixtures_template import render

Fresh = Callable[..., Path]
DEPLOY = "config/deploy.yml"


@pytest.fixture(scope="module")
def rendered(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh") / "fresh"
    answers = {"registry_server": "ghcr.io", "registry_username": "jane"}
    render(template, folder, answers, skip_tasks=True)
    return folder


@pytest.fixture
def carried(rendered: Path) -> Callable[[str, str], tuple[str, list[Lost]]]:
    return lambda file, before: carry.over(file, before, (rendered / file).read_text())


Carry = Callable[[str, str], tuple[str, list[Lost]]]

FULL = """\
service: notes
image: acme/notes
servers:
  web:
    - 203.0.113.7
  # The workers
  job:
    hosts:
      - 203.0.113.7
    cmd: bin/jobs
  far:
    hosts:
      - 198.51.100.9
proxy:
  ssl: true
  hosts:
    - notes.example.com
    - www.example.com
  # Uploads are slow.
  response_timeout: 120
  healthcheck:
    interval: 5
registry:
  server: ghcr.io
  username: jane
  password:
    - KAMAL_REGISTRY_PASSWORD
env:
  clear:
    # Two processes are enough.
    WEB_CONCURRENCY: 2
    SMTP_HOST: "mail.example.com"   # ours
  secret:
    - RAILS_MASTER_KEY
    - SMTP_PASSWORD
volumes:
  - "old_data:/rails/storage"
  - "/var/log/notes:/rails/log"
asset_path: /rails/public/assets
builder:
  arch: amd64
  dockerfile: docker/Dockerfile
  args:
    COMMIT: abc
ssh:
  port: 2222
logging:
  options:
    max-size: 100m
aliases:
  console: app exec -i --reuse "bin/rails console"
  tail: app logs -f --lines 10
accessories:
  # The search engine
  search:
    image: getmeili/meilisearch:v1.10
    host: 203.0.113.7
    env:
      secret:
        - MEILI_MASTER_KEY
"""


@requires("kamal")
def test_additions_to_deploy_yml_are_carried_over(
    carried: Carry, rendered: Path, kamal_accepts: Callable[[Path], str]
) -> None:
    text, lost = carried(DEPLOY, FULL)
    new = yaml.safe_load(text)

    assert new["servers"] == {
        "web": ["203.0.113.7"],
        "job": {"hosts": ["203.0.113.7"], "cmd": "bin/jobs"},
    }
    assert "  # The workers\n  job:\n    hosts:" in text
    assert new["image"] == "acme/notes"
    assert "host" not in new["proxy"]
    assert new["proxy"]["hosts"] == ["notes.example.com", "www.example.com"]
    assert new["proxy"]["response_timeout"] == 120
    assert new["proxy"]["healthcheck"] == {"interval": 5}
    assert "  # Uploads are slow.\n  response_timeout: 120\n" in text
    assert new["env"]["clear"]["WEB_CONCURRENCY"] == 2
    assert new["env"]["clear"]["SOLID_QUEUE_IN_PUMA"] is True
    assert '    SMTP_HOST: "mail.example.com"   # ours\n' in text
    assert new["env"]["secret"][-2:] == ["LITESTREAM_SECRET_ACCESS_KEY", "SMTP_PASSWORD"]
    assert new["volumes"] == ["old_data:/rails/storage", "/var/log/notes:/rails/log"]
    assert new["accessories"]["litestream"]["volumes"] == ["old_data:/rails/storage"]
    assert new["accessories"]["search"]["env"]["secret"] == ["MEILI_MASTER_KEY"]
    assert new["builder"] == {"arch": "amd64", "args": {"COMMIT": "abc"}}
    assert new["ssh"] == {"port": 2222}
    assert new["logging"] == {"options": {"max-size": "100m"}}
    assert new["aliases"]["console"] == 'app exec -i --reuse "bin/rails console"'
    assert new["aliases"]["tail"] == "app logs -f --lines 10"
    assert "backups" in new["aliases"]
    assert sorted((one.line, one.text) for one in lost) == [
        (11, "far:"),
        (42, "dockerfile: docker/Dockerfile"),
    ]
    assert all(one.file == DEPLOY for one in lost)

    # And all of it is a configuration that Kamal takes.
    (rendered / DEPLOY).rename(rendered / "kept.yml")
    try:
        (rendered / DEPLOY).write_text(text)
        assert kamal_accepts(rendered) == ""
    finally:
        (rendered / "kept.yml").replace(rendered / DEPLOY)


@pytest.fixture
def kamal_accepts() -> Callable[[Path], str]:
    """Return what Kamal says against the configuration in a folder, nothing where it takes it."""
    import subprocess

    from kamalstream import programs

    kamal = programs.find("kamal")
    assert kamal

    def ask(folder: Path) -> str:
        result = subprocess.run(
            [kamal, "config", "--version", "x"], cwd=folder, capture_output=True, text=True
        )
        return result.stderr if result.returncode else ""

    return ask


def test_carrying_over_twice_gives_the_same_text(carried: Carry) -> None:
    once, _ = carried(DEPLOY, FULL)
    twice, lost = carried(DEPLOY, once)
    assert twice == once
    assert lost == []


def test_what_kamal_init_generates_changes_nothing(carried: Carry, rendered: Path) -> None:
    stock = (Path(__file__).parent / "apps/rails_8_0/config/deploy.yml").read_text()
    text, lost = carried(DEPLOY, stock.replace("ledger", "notes"))
    assert text == (rendered / DEPLOY).read_text()
    assert lost == []


@pytest.mark.parametrize(
    ("before", "path", "value"),
    [
        ("env:\n  PLAIN: 1\n", "env.clear.PLAIN", 1),
        ("env:\n  clear: {FLOW: 'a b', MORE: 2}\n", "env.clear.FLOW", "a b"),
        (
            "x-common: &common\n  A: 1\nenv:\n  clear:\n    <<: *common\n    B: 2\n",
            "env.clear.A",
            1,
        ),
        ("x-ip: &ip 9.9.9.9\nlogging:\n  options: {tag: *ip}\n", "logging.options.tag", "9.9.9.9"),
        ("env:\n  clear:\n    HOOK: <%= ENV['HOOK'] %>\n", "env.clear.HOOK", "<%= ENV['HOOK'] %>"),
        ("env:\n  clear:\n    TEXT: |\n      one\n      two\n", "env.clear.TEXT", "one\ntwo\n"),
        ("servers:\n  web:\n  - 9.9.9.9: x\n  # odd\n", "servers.web", [{"203.0.113.7": "x"}]),
        ("proxy:\n  host: notes.example.com,b.c\n", "proxy.host", "notes.example.com,b.c"),
        ("proxy:\n  ssl:\n    certificate_pem: A\n", "proxy.ssl.certificate_pem", "A"),
        ("builder:\n  arch:\n  - arm64\n  - amd64\n", "builder.arch", ["arm64", "amd64"]),
        ("hooks_path: deploy/hooks", "hooks_path", "deploy/hooks"),
        ("env:\n    secret:\n    - API:KEY\n", "env.secret", None),
    ],
)
def test_shapes_of_yaml_are_carried_over(
    carried: Carry, before: str, path: str, value: object
) -> None:
    text, _ = carried(DEPLOY, before)
    found: Any = yaml.safe_load(text)
    for key in path.split("."):
        found = found[key]
    assert found == value if value is not None else found[-1] == "API:KEY"


def test_roles_go_along_to_another_server(carried: Carry) -> None:
    before = (
        "servers:\n  web:\n    hosts:\n      - 198.51.100.9\n    options:\n      memory: 1g\n"
        "  job:\n    hosts: [198.51.100.9]\n    cmd: bin/jobs\n"
    )
    text, lost = carried(DEPLOY, before)
    assert yaml.safe_load(text)["servers"] == {
        "web": {"hosts": ["203.0.113.7"], "options": {"memory": "1g"}},
        "job": {"hosts": ["203.0.113.7"], "cmd": "bin/jobs"},
    }
    assert lost == []


def test_code_that_prepares_something_comes_along(carried: Carry) -> None:
    before = (
        '<% require "dotenv"; Dotenv.load(".env") %>\n\nservice: notes\n'
        'env:\n  clear:\n    MAIL: <%= ENV["MAIL"] %>\nvolumes:\n  - "data:/rails/storage"\n'
    )
    text, lost = carried(DEPLOY, before)
    assert text.startswith('<% require "dotenv"; Dotenv.load(".env") %>\n#')
    assert '    MAIL: <%= ENV["MAIL"] %>\n' in text
    assert text.count("data:/rails/storage") == 2
    assert lost == []
    assert carried(DEPLOY, text) == (text, [])


@pytest.mark.parametrize(
    "before",
    [
        '<% if true %>\nservice: x\n<% end %>\nvolumes:\n  - "data:/rails/storage"\n',
        "a: [\nvolumes: ['data:/rails/storage']\n",
        "a: [\n# - old:/rails/storage\nvolumes:\n  - data:/rails/storage\n",
    ],
)
def test_the_volume_with_the_data_is_kept_even_where_nothing_else_is(
    carried: Carry, before: str
) -> None:
    text, lost = carried(DEPLOY, before)
    new = yaml.safe_load(text)
    assert new["volumes"] == ["data:/rails/storage"]
    assert new["accessories"]["litestream"]["volumes"] == ["data:/rails/storage"]
    assert len(lost) == 1


def test_additions_to_the_sidecar_are_carried_over_or_named(carried: Carry) -> None:
    before = (
        "accessories:\n  litestream:\n    image: litestream/litestream:0.3\n    roles: [web]\n"
        "    cmd: replicate -exec x\n    env:\n      clear:\n        TZ: UTC\n"
        "      secret:\n        - LITESTREAM_BUCKET\n        - SENTRY_DSN\n"
        "    options:\n      memory: 256m\n"
    )
    text, lost = carried(DEPLOY, before)
    new = yaml.safe_load(text)["accessories"]["litestream"]
    assert new["options"] == {"user": "1000:1000", "memory": "256m"}
    assert new["env"]["clear"] == {"TZ": "UTC"}
    assert new["env"]["secret"][2:] == ["SENTRY_DSN"]
    assert [(one.line, one.why.split(":")[0]) for one in lost] == [
        (4, "the accessory of the template has no such setting"),
        (5, "now replicate"),
        (9, "LITESTREAM_BUCKET"),
    ]
    assert carried(DEPLOY, text) == (text, [])


def test_other_host_names_are_named_where_the_domain_is_not_one_of_them(carried: Carry) -> None:
    _, lost = carried(DEPLOY, "proxy:\n  hosts:\n    - a.example.org\n    - b.example.org\n")
    assert "a.example.org, b.example.org: the domain is notes.example.com now" in str(lost[0])


def test_a_deploy_yml_that_is_no_yaml_is_named_with_its_line(
    carried: Carry, rendered: Path
) -> None:
    text, lost = carried(DEPLOY, "service: x\n<% if true %>\nfoo: [\n")
    assert text == (rendered / DEPLOY).read_text()
    assert [(one.file, one.line) for one in lost] == [(DEPLOY, 2)]


def test_other_secrets_stay_and_replaced_ones_are_named(carried: Carry) -> None:
    text, lost = carried(
        ".kamal/secrets",
        "SECRETS=$(kamal secrets fetch --adapter 1password --from Vault/Item SMTP_PASSWORD)\n"
        "SMTP_PASSWORD=$(kamal secrets extract SMTP_PASSWORD ${SECRETS})\n"
        "RAILS_MASTER_KEY=$(cat config/master.key)\n"
        "KAMAL_REGISTRY_PASSWORD=$(gh auth token)\n",
    )
    lines = text.splitlines()
    ours = lines.index("SECRETS=$(ruby .kamal/read_secrets.rb)")
    theirs = next(i for i, line in enumerate(lines) if "1password" in line)
    assert ours < lines.index("RAILS_MASTER_KEY=$(kamal secrets extract RAILS_MASTER_KEY $SECRETS)")
    assert theirs > max(i for i, line in enumerate(lines) if "extract LITESTREAM" in line)
    assert lines[theirs + 1].startswith("SMTP_PASSWORD=")
    assert [(one.line, one.text) for one in lost] == [(4, "KAMAL_REGISTRY_PASSWORD=…")]
    assert "gh auth token" not in str(lost)


def test_a_secret_of_several_lines_is_kept_whole(carried: Carry) -> None:
    pem = 'PEM="-----BEGIN\nabc\\"=\n-----END"\nexport TOKEN=\'a\nB=c\'\nLAST=$(op read "x")\n'
    text, lost = carried(".kamal/secrets", pem)
    assert text.endswith(f"\n{pem}")
    assert lost == []
    assert carried(".kamal/secrets", text) == (text, [])


def test_patterns_of_dockerignore_stay(carried: Carry) -> None:
    before = "# Ours\nnode_modules\n/docs/\n*.psd\n!/docs/api\n.git\nlog/*\n"
    text, lost = carried(".dockerignore", before)
    assert text.endswith(
        "\n\n# Carried over from the file that was here before.\n/docs/\n*.psd\n!/docs/api\n"
    )
    assert lost == []


def test_instructions_of_a_dockerfile_are_named_and_stock_ones_are_not(carried: Carry) -> None:
    before = (
        "ARG RUBY_VERSION=3.3\nFROM ruby:$RUBY_VERSION-slim AS base\n"
        "ENV RAILS_ENV=production\nENV TZ=Europe/Berlin\n"
        "RUN apt-get update && \\\n    apt-get install -y curl\n"
        "RUN wget -O - https://example.com/install | \\\n    sh\n"
        'COPY fonts /usr/share/fonts\nCMD ["./bin/rails", "server"]\n'
    )
    _, lost = carried("Dockerfile", before)
    assert [(one.line, one.text) for one in lost] == [
        (4, "ENV TZ=Europe/Berlin"),
        (7, "RUN wget -O - https://example.com/install | sh"),
        (9, "COPY fonts /usr/share/fonts"),
    ]


@pytest.mark.parametrize(
    ("before", "named"),
    [
        ('CMD ["bin/boot"]', True),
        ('CMD ["bundle", "exec", "thrust", "./bin/rails", "server"]', None),
        ('ENTRYPOINT ["/rails/bin/start.sh"]', True),
        ("FROM ruby:3.4-slim-bookworm AS base", True),
        ("FROM ruby:3.4.5-slim AS base", None),
        ("EXPOSE 8080", True),
        ("RUN curl -fsSL https://example.com/x | sh", True),
        ("RUN SECRET_KEY_BASE_DUMMY=1 ./bin/rails sitemap:refresh", True),
        (
            "RUN apt-get update && apt-get install -y curl && ./configure; make && rm -rf /tmp/x",
            "RUN ./configure; make",
        ),
        ("RUN bundle install && yarn build", "RUN yarn build"),
        ("RUN --mount=type=cache,target=/var/cache/apt apt-get install -y git", None),
        ("RUN --mount=type=secret,id=TOKEN bundle install", True),
        (
            "RUN echo deb https://x > /etc/apt/sources.list.d/x.list && apt-get install -y chrome",
            True,
        ),
        ("RUN echo 'a && b; c' > /etc/apt/apt.conf", True),
        ("COPY --from=ffmpeg /usr/local/bin/ffmpeg /usr/local/bin/", True),
        ("COPY --from=build --chown=rails:rails /usr/local/bundle /usr/local/bundle", None),
        ("ENV BUNDLE_GEMS__EXAMPLE__COM=$TOKEN", True),
        ("HEALTHCHECK CMD curl localhost", True),
        ("RUN rm -rf spec", True),
        ("RUN mkdir -p log tmp /data", True),
        ("RUN apt-get install -y ./chrome.deb", True),
        ("RUN apt-get install -y linux-headers-$(uname -r)", True),
        ("COPY --exclude=keys . .", True),
        ("RUN <<EOF\nset -e\napt-get update\nmake\nEOF", "RUN make"),
        ("COPY <<EOF /etc/motd\nEXPOSE 80\nEOF", "COPY <<EOF /etc/motd EXPOSE 80;"),
        ("RUN yarn install --frozen-lockfile", True),
    ],
)
def test_each_instruction_of_a_dockerfile_is_the_owners_or_rails_own(
    carried: Carry, before: str, named: str | bool | None
) -> None:
    _, lost = carried("Dockerfile", before)
    assert [one.text for one in lost] == ([before if named is True else named] if named else [])


def test_installing_packages_of_node_is_stock_where_the_new_image_does() -> None:
    before = "ARG NODE_VERSION=20.1.0\nCOPY package.json yarn.lock ./\nRUN yarn install\n"
    after = "FROM docker.io/library/node:22-slim AS node\nFROM docker.io/library/ruby:3.4-slim\n"
    assert list(own_instructions(before, after)) == []
    assert len(list(own_instructions(before, after.replace("node", "litestream")))) == 3


def test_precompiling_is_stock_where_the_new_image_does() -> None:
    before = "RUN SECRET_KEY_BASE=1 bundle exec rails assets:precompile\n"
    assert list(own_instructions(before, "RUN ./bin/rails assets:precompile\n")) == []
    assert list(own_instructions(before, "")) == [(1, before.strip())]


def test_the_variables_of_an_owner_are_named_one_by_one(carried: Carry) -> None:
    before = (
        'FROM base\nENV RAILS_ENV="production" \\\n    BUNDLE_PATH="/usr/local/bundle" \\\n'
        '    DATA_PATH="/data" \\\n    GREETING="a b"\n'
    )
    _, lost = carried("Dockerfile", before)
    assert [(one.line, one.text) for one in lost if "ENV" in one.text] == [
        (4, "ENV DATA_PATH=/data"),
        (5, 'ENV GREETING="a b"'),
    ]


def test_lines_of_an_entrypoint_that_begin_like_rails_own_are_named(carried: Carry) -> None:
    own = ['if [ "$ROLE" == "jobs" ]; then', "exec bin/jobs", "./bin/rails db:prepare db:seed"]
    _, lost = carried("bin/docker-entrypoint", "\n".join(["#!/bin/bash -e", *own, 'exec "$@"']))
    assert [(one.line, one.text) for one in lost] == list(enumerate(own, 2))


def test_a_database_that_is_replicated_no_more_is_named(carried: Carry) -> None:
    before = "dbs:\n  - path: storage/production.sqlite3\n  - path: storage/other.sqlite3\n"
    _, [lost] = carried("config/litestream.yml", before)
    assert str(lost) == "config/litestream.yml:3: - path: storage/other.sqlite3"


@pytest.mark.parametrize("file", ["docs/DEPLOYMENT.md", "bin/restore", ".kamal/read_secrets.rb"])
def test_of_other_files_the_first_line_is_named(carried: Carry, rendered: Path, file: str) -> None:
    text = (rendered / file).read_text()
    assert carried(file, text) == (text, [])
    _, [lost] = carried(file, f"{text}\n# Ours\n\nCall Bob.\n")
    assert str(lost) == f"{file}:{text.count(chr(10)) + 2}: # Ours (and 1 more)"


def test_rails_own_dockerfiles_lose_nothing(carried: Carry) -> None:
    for app in ("rails_8_0", "rails_8_1"):
        root = Path(__file__).parent / "apps" / app
        for file in ("Dockerfile", "bin/docker-entrypoint"):
            assert carried(file, (root / file).read_text())[1] == [], (app, file)
