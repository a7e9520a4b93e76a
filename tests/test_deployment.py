"""The one model of the deployment: which there are, and what is read of each."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kamalstream.inspect.kamal.deployment import Kamal, kamal
from kamalstream.inspect.kamal.files import destination_names
from kamalstream.inspect.kamal.mounts import Mount, mount_of
from kamalstream.inspect.kamal.values import Unknown
from tests.deployments import BASE, HEAD, SIDECAR, main, read, staging, write

# ── Which deployments there are ──────────────────────────────────────────────


def test_an_app_without_deploy_yml_has_no_deployment(tmp_path: Path) -> None:
    assert kamal(tmp_path) is None
    assert kamal(write(tmp_path, None, staging="service: x\n")) is None


def test_without_destinations_the_base_is_the_main_deployment(tmp_path: Path) -> None:
    found = read(tmp_path, BASE)

    assert found.main == found.base
    assert (found.deployments, found.further) == ((found.base,), ())
    assert found.base.name is None
    assert (found.base.label, found.base.file) == ("production", "config/deploy.yml")
    assert found.files == ("config/deploy.yml",)


def test_production_is_the_main_deployment_where_there_is_such_a_destination(
    tmp_path: Path,
) -> None:
    found = read(tmp_path, BASE, production="image: a/b\n", staging="image: a/c\n")

    assert found.main is not None
    assert (found.main.name, found.main.file) == ("production", "config/deploy.production.yml")
    assert [one.name for one in found.deployments] == ["production", "staging"]
    assert [one.name for one in found.further] == ["staging"]
    assert found.files == (
        "config/deploy.yml",
        "config/deploy.production.yml",
        "config/deploy.staging.yml",
    )


def test_a_base_with_servers_is_main_beside_a_destination_of_another_name(tmp_path: Path) -> None:
    found = read(tmp_path, BASE, staging="image: a/c\n")

    assert found.main == found.base
    assert [one.name for one in found.deployments] == [None, "staging"]


@pytest.mark.parametrize(
    "base",
    [HEAD, HEAD + "servers:\n  web: []\n", BASE + "require_destination: true\n"],
    ids=["no servers", "no hosts", "require_destination"],
)
def test_a_base_that_cannot_be_deployed_is_no_deployment(tmp_path: Path, base: str) -> None:
    found = read(tmp_path, base, staging="servers: [10.0.0.2]\n", live="servers: [10.0.0.3]\n")

    assert found.main is None
    assert [one.name for one in found.further] == ["live", "staging"]
    assert [one.hosts for one in found.further] == [("10.0.0.3",), ("10.0.0.2",)]


def test_a_base_whose_servers_are_not_known_may_be_deployed(tmp_path: Path) -> None:
    found = read(tmp_path, HEAD + 'servers:\n  - <%= ENV["SERVER"] %>\n', staging="image: x\n")

    assert found.main == found.base
    assert [one.line for one in found.unreadable] == [8]


def test_examples_and_backups_are_no_destinations(tmp_path: Path) -> None:
    examples = ["example", "sample", "template", "dist", "tt", "erb", "production.bak"]
    examples += ["staging.example", "example.staging", "staging-sample", "orig", "old"]
    for name in [*examples, "staging", "eu.prod", "distant", "old-hetzner"]:
        write(tmp_path, BASE, **{name: "image: x\n"})
    (tmp_path / "config/deploy..yml").write_text("")
    (tmp_path / "config/deploy.folder.yml").mkdir()
    (tmp_path / "config/deploy.other.yaml").write_text("")

    assert destination_names(tmp_path) == ("distant", "eu.prod", "old-hetzner", "staging")
    found = kamal(tmp_path)
    assert found is not None
    assert set(found.examples) == {f"config/deploy.{name}.yml" for name in examples}


# ── What a destination makes of the base ─────────────────────────────────────


def test_volumes_of_a_destination_replace_those_of_the_base(tmp_path: Path) -> None:
    deployment = staging(tmp_path, BASE + SIDECAR, "volumes:\n  - other:/rails/storage\n")

    assert [str(one) for one in deployment.mounts] == ["other:/rails/storage"]
    [mount] = deployment.mounts
    assert (mount.file, mount.line) == ("config/deploy.staging.yml", 2)
    [sidecar] = deployment.litestreams
    held = sidecar.mount_of("/rails/storage/production.sqlite3")
    assert held is not None
    assert held.source == "shop_storage"


def test_secrets_of_a_destination_replace_those_of_the_base(tmp_path: Path) -> None:
    base = BASE + "env:\n  clear:\n    A: 1\n  secret:\n    - KEY_ID\n"
    deployment = staging(tmp_path, base, "env:\n  clear:\n    B: x\n  secret:\n    - OTHER\n")

    assert deployment.env_secret == {"OTHER": "OTHER"}
    assert deployment.env_clear == {"A": "1", "B": "x"}
    assert deployment.line("env", "secret") == ("config/deploy.staging.yml", 4)
    assert deployment.line("env", "clear", "A") == ("config/deploy.yml", 14)
    assert list(deployment.secrets_wanted) == ["OTHER"]


def test_a_role_of_a_destination_is_laid_over_the_role_of_the_base(tmp_path: Path) -> None:
    base = HEAD + "servers:\n  web: [10.0.0.1]\n  job:\n    hosts: [10.0.0.1]\n    cmd: bin/jobs\n"
    text = "servers:\n  web: [10.0.0.2]\n  job:\n    hosts: [10.0.0.2]\n"
    deployment = staging(tmp_path, base, text)

    assert deployment.hosts == ("10.0.0.2",)
    assert deployment.roles["job"].cmd == "bin/jobs"


def test_a_host_over_the_roles_of_the_base_makes_two_placements(tmp_path: Path) -> None:
    text = "accessories:\n  backup:\n    host: 10.0.0.9\n"
    deployment = staging(tmp_path, BASE + SIDECAR, text)

    assert deployment.accessories["backup"].placements == ("host", "roles")
    assert main(tmp_path, BASE + SIDECAR).accessories["backup"].placements == ("roles",)


def test_an_accessory_of_the_primary_role_follows_each_destination(tmp_path: Path) -> None:
    deployment = staging(tmp_path, BASE + SIDECAR, "servers:\n  web: [10.0.0.7]\n")

    assert deployment.accessories["backup"].hosts == deployment.hosts == ("10.0.0.7",)
    assert deployment.accessories["backup"].service_name == "shop-backup"


def test_a_server_and_volume_that_two_deployments_share_can_be_told(tmp_path: Path) -> None:
    found = read(tmp_path, BASE + SIDECAR, staging="image: acme/staging\n")
    one, other = found.deployments

    assert set(one.hosts) & set(other.hosts) == {"10.0.0.1"}
    assert one.mounts == other.mounts
    assert one.accessories["backup"].service_name == other.accessories["backup"].service_name


def test_the_image_of_a_sidecar_is_that_of_the_destination(tmp_path: Path) -> None:
    text = "accessories:\n  backup:\n    image: litestream/litestream:latest\n"
    deployment = staging(tmp_path, BASE + SIDECAR, text)

    assert deployment.accessories["backup"].image == "litestream/litestream:latest"
    where = ("accessories", "backup", "image")
    assert deployment.line(*where) == ("config/deploy.staging.yml", 3)


def test_rails_env_of_a_destination(tmp_path: Path) -> None:
    env = "env:\n  clear:\n    RAILS_ENV: staging\n"
    assert staging(tmp_path, BASE, env).rails_env == "staging"
    assert main(tmp_path, BASE).rails_env == "production"
    assert main(tmp_path, BASE + "env:\n  secret: [RAILS_ENV]\n").rails_env is None


def test_a_destination_may_set_a_part_back_to_nothing(tmp_path: Path) -> None:
    deployment = staging(tmp_path, BASE + SIDECAR, "accessories:\nvolumes:\n")

    assert (dict(deployment.accessories), deployment.mounts) == ({}, ())
    assert deployment.line("accessories", "backup") == ("config/deploy.staging.yml", 0)
    assert deployment.line("accessories") == ("config/deploy.staging.yml", 1)


def test_lines_are_those_of_the_file_that_decides(tmp_path: Path) -> None:
    deployment = staging(tmp_path, BASE, "# over it\nimage: x\n")

    assert deployment.line("image") == ("config/deploy.staging.yml", 2)
    assert deployment.line("service") == ("config/deploy.yml", 1)
    assert deployment.line("servers", "web", 0) == ("config/deploy.yml", 9)
    assert deployment.line("servers", "web", 7) == ("config/deploy.yml", 0)
    assert deployment.line("nowhere") == ("config/deploy.staging.yml", 0)
    assert deployment.line("service", "below") == ("config/deploy.yml", 0)


def test_an_anchor_and_a_merge_key_are_read_as_psych_does(tmp_path: Path) -> None:
    base = BASE + "x-env: &env\n  clear:\n    A: 1\nenv:\n  clear:\n    A: 2\n  <<: *env\n"

    assert main(tmp_path, base).env_clear == {"A": "1"}


# ── What cannot be read ──────────────────────────────────────────────────────


def test_one_unknown_value_leaves_the_rest_readable(tmp_path: Path) -> None:
    text = 'env:\n  clear:\n    HOST: <%= `hostname` %>\n    PORT: "80"\nservers: [10.0.0.2]\n'
    found = read(tmp_path, BASE, staging=text)
    deployment = found.deployment("staging")

    assert deployment is not None
    assert deployment.readable
    assert deployment.hosts == ("10.0.0.2",)
    assert deployment.env_clear == {"HOST": None, "PORT": "80"}
    assert isinstance(deployment.get("env", "clear", "HOST"), Unknown)
    [unknown] = found.unreadable
    assert (unknown.file, unknown.line) == ("config/deploy.staging.yml", 3)
    assert deployment.unreadable_at("env") == (unknown,)
    assert deployment.unreadable_at("env", "clear", "HOST", "below") == (unknown,)
    assert deployment.unreadable_at("servers") == ()


def test_what_a_destination_replaces_need_not_be_known(tmp_path: Path) -> None:
    base = HEAD + "servers:\n  web:\n    - <%= `server` %>\n"
    found = read(tmp_path, base, production="servers:\n  web: [10.0.0.1]\n")

    assert found.main is not None
    assert (found.unreadable, found.main.hosts) == ((), ("10.0.0.1",))


def test_a_mapping_over_what_is_not_known_is_not_known(tmp_path: Path) -> None:
    base = BASE + "env:\n  clear: <%= `clear` %>\n"
    deployment = staging(tmp_path, base, "env:\n  clear:\n    A: 1\n")

    assert deployment.env_clear == {}
    assert [one.line for one in deployment.unreadable_at("env", "clear")] == [13]


def test_what_a_block_of_code_decides_is_not_known_and_the_rest_is(tmp_path: Path) -> None:
    text = """\
servers: [10.0.0.2]
proxy:
  host: a.example.com
<% if ENV["X"] %>
  ssl: true
<% elsif ENV["Y"] -%>
  app_port: 3000
<% end %>
volumes:
<% ENV["VOLUMES"].split.each do |volume| %>
  - <%= volume %>
<% end %>
"""
    found = read(tmp_path, BASE, staging=text, qa="servers: [10.0.0.3]\n")
    some, sound = found.deployment("staging"), found.deployment("qa")

    assert some is not None
    assert sound is not None
    assert (some.readable, some.hosts, some.proxy.hosts) == (
        *(True, ("10.0.0.2",)),
        ("a.example.com",),
    )
    assert (some.proxy.ssl, some.proxy.app_port, some.mounts) == (None, None, ())
    places = [(one.file, one.line) for one in some.unreadable]
    assert places == [("config/deploy.staging.yml", line) for line in (9, 5, 7)]
    assert some.unreadable_at("volumes")
    assert not some.unreadable_at("servers")
    assert (sound.readable, sound.hosts) == (True, ("10.0.0.3",))
    assert found.main is not None
    assert found.main.hosts == ("10.0.0.1",)


@pytest.mark.parametrize(
    "text",
    [
        "<% if true %>\nservers: [10.0.0.2]\n",
        "<% end %>\nservers: [10.0.0.2]\n",
        "<%= link do %>\nservers: [10.0.0.2]\n<% end %>\n",
        "<% if x %>\n<%= y %>: [10.0.0.2]\n<% end %>\n",
        "<% if x %>\n<% eval y %>\n<% end %>\nservers: [10.0.0.2]\n",
    ],
)
def test_code_that_is_not_understood_makes_only_its_own_file_unreadable(
    tmp_path: Path, text: str
) -> None:
    found = read(tmp_path, BASE, staging=text, qa="servers: [10.0.0.3]\n")
    broken, sound = found.deployment("staging"), found.deployment("qa")

    assert broken is not None
    assert sound is not None
    assert not broken.readable
    assert (broken.config, broken.hosts, broken.server, broken.service) == ({}, (), None, None)
    assert broken.unreadable_at("servers") == broken.unreadable
    assert {one.file for one in broken.unreadable} == {"config/deploy.staging.yml"}
    assert (sound.readable, sound.hosts) == (True, ("10.0.0.3",))


def test_a_broken_base_leaves_the_names_of_its_destinations(tmp_path: Path) -> None:
    found = read(tmp_path, "service: [\n", staging="image: x\n")

    assert [one.name for one in found.deployments] == [None, "staging"]
    assert not any(one.readable for one in found.deployments)
    assert [one.file for one in found.unreadable] == ["config/deploy.yml"]


def test_a_default_of_an_unset_variable_is_assumed(tmp_path: Path) -> None:
    base = BASE.replace("10.0.0.1", '<%= ENV.fetch("SERVER", "10.0.0.5") %>')
    found = read(tmp_path, base)

    assert found.base.server == "10.0.0.5"
    [assumed] = found.assumed
    assert (assumed.file, assumed.line, assumed.variable) == ("config/deploy.yml", 9, "SERVER")


def test_what_decides_nothing_about_the_data_is_not_said(tmp_path: Path) -> None:
    base = BASE.replace("  arch: amd64", "  arch: amd64\n  args:\n    V: <%= RUBY_VERSION %>")
    base += "labels:\n  by: <%= `whoami` %>\naliases:\n  a: <%= `pwd` %>\nx-y: <%= `pwd` %>\n"
    found = read(tmp_path, base)

    assert (found.unreadable, found.assumed) == ((), ())
    assert len(found.base.unreadable_at()) == 4
    assert found.base.aliases == {"a": ""}


@pytest.mark.parametrize(
    "text",
    [
        "a: &a\n  b: *a\n",
        "a: &a\n  <<: *a\n",
        "a: &a [*a]\n",
        "volumes: " + "[" * 5000,
        'a: "\\UFFFFFFFF"\n',
        "a: 0x_\nb: 0b_\nc: -_\nd: .e\n",
        "1: 2\n",
        "? [a]\n: b\n",
        ":service: x\n",
        "- a\n",
        "",
        "\0",
        "a: !!int x\nb: !!float y\nc: !!binary '*'\nd: !!python/object:os.system x\n",
        "servers: {web: {hosts: [{}]}}\nregistry: {username: [], password: [[]]}\n",
        "proxy: true\nssh: [1]\nbuilder: x\nenv: [A]\naccessories: [a]\nvolumes: {a: b}\n",
        "accessories: {a: null, b: [], c: {files: x, volumes: [[a]], roles: {a: b}}}\n",
        "servers: {web: {options: {volume: [a, [b], {}], mount: ['', 'a', 'type=bind']}}}\n",
        "proxy: {app_port: x, ssl: {}, hosts: {}, healthcheck: 1}\nssh: {port: [], user: {}}\n",
    ],
)
def test_nothing_a_file_says_raises(tmp_path: Path, text: str) -> None:
    everything(read(tmp_path, text, staging=text, production=BASE))
    everything(read(tmp_path, BASE, staging=text, production=text))


def everything(found: Kamal) -> None:
    """Ask for all there is."""
    for one in (found, found.base, *found.deployments):
        for name in dir(one):
            if not name.startswith("_"):
                getattr(one, name)
    for deployment in found.deployments:
        deployment.line("accessories", "a", "volumes", 0)
        deployment.mount_of("/rails/storage")


# ── The parts ────────────────────────────────────────────────────────────────


def test_the_mount_of_a_path_is_the_one_with_the_longest_target(tmp_path: Path) -> None:
    volumes = "  - /data/x:/rails/storage/db/:ro\n  - ./logs:/rails/log\n  - /tmp/cache\n"
    deployment = main(tmp_path, BASE + volumes)

    def source(path: str) -> str | None:
        mount = deployment.mount_of(path)
        return mount.source if mount else None

    assert source("/rails/storage/production.sqlite3") == "shop_storage"
    assert source("/rails/storage/db/production.sqlite3") == "/data/x"
    assert source("/rails/storage/db") == "/data/x"
    assert source("/rails/storage/dbx/a.sqlite3") == "shop_storage"
    assert source("/rails/db/a.sqlite3") is None
    assert source("/tmp/cache/a") == ""
    assert [one.folder for one in deployment.mounts] == [False, True, True, False]
    assert [str(one) for one in deployment.mounts] == [
        "shop_storage:/rails/storage",
        "/data/x:/rails/storage/db:ro",
        "./logs:/rails/log",
        "/tmp/cache",
    ]
    assert mount_of([Mount("all", "/")], "/a/b") == Mount("all", "/")


def test_options_of_the_primary_role_mount_too(tmp_path: Path) -> None:
    servers = """\
servers:
  web:
    hosts: [10.0.0.1]
    options:
      volume: [a:/a, b:/b:ro]
      mount: type=bind,source=/srv,target=/c,readonly
  job:
    hosts: [10.0.0.1]
    options:
      volume: d:/d
      mount: ["type=tmpfs,target=/e", "src=f,dst=/f"]
"""
    deployment = main(tmp_path, HEAD + servers + "volumes: [z:/z]\n")

    assert [str(one) for one in deployment.mounts] == ["z:/z", "a:/a", "b:/b:ro", "/srv:/c:ro"]
    assert [str(one) for one in deployment.roles["job"].mounts] == ["d:/d", "f:/f"]
    assert [one.line for one in deployment.mounts] == [18, 11, 11, 12]


def test_an_accessory_has_files_and_folders_in_both_forms(tmp_path: Path) -> None:
    accessory = """\
accessories:
  search:
    image: getmeili/meilisearch
    host: 10.0.0.1
    port: 7700
    files:
      - config/meili.toml:/etc/meili.toml
      - local: config/b.toml
        remote: /etc/b.toml
        mode: "0600"
    directories:
      - data:/meili_data
      - /srv/dump:/dump:z
      - local: more
        remote: /more
        options: ro
    volumes:
      - shop_storage:/rails/storage
    options:
      user: "1000:1000"
      volume: x:/x
"""
    search = main(tmp_path, BASE + accessory).accessories["search"]

    assert search.files == (
        ("config/meili.toml", "/etc/meili.toml"),
        ("config/b.toml", "/etc/b.toml"),
    )
    assert [str(one) for one in search.mounts] == [
        "shop_storage:/rails/storage",
        "$PWD/shop-search/data:/meili_data",
        "/srv/dump:/dump:z",
        "$PWD/shop-search/more:/more:ro",
        "x:/x",
    ]
    assert (search.user, search.port, search.line) == ("1000:1000", "7700", 13)
    assert not search.runs_litestream


@pytest.mark.parametrize(
    ("accessory", "is_litestream"),
    [
        ("image: litestream/litestream", True),
        ("image: ghcr.io/acme/litestream-age:0.3.13@sha256:0123", True),
        ("image: localhost:5000/tools\n    cmd: litestream replicate -exec x", True),
        ("image: alpine\n    options: {entrypoint: /usr/bin/litestream}", True),
        ("image: postgres:16", False),
        ("image: acme/tools:litestream", False),
        ("cmd: replicate", False),
    ],
)
def test_a_litestream_is_known_by_image_and_command_not_by_name(
    tmp_path: Path, accessory: str, is_litestream: bool
) -> None:
    text = f"accessories:\n  litestream:\n    host: 10.0.0.1\n    {accessory}\n"

    assert bool(main(tmp_path, BASE + text).litestreams) is is_litestream


def test_every_secret_is_wanted_somewhere(tmp_path: Path) -> None:
    base = """\
service: shop
image: acme/shop
registry:
  username: [REGISTRY_USER]
  password:
    - REGISTRY_PASSWORD
builder:
  arch: [amd64, arm64]
  secrets: [GITHUB_TOKEN]
proxy:
  hosts: [a.example, b.example]
  ssl:
    certificate_pem: CERT
    private_key_pem: CERT_KEY
ssh:
  key_data: [SSH_KEY, "-----BEGIN KEY-----"]
servers:
  web:
    - 10.0.0.1: [one]
  job:
    hosts: [10.0.0.1]
    env:
      secret: [JOB_KEY]
env:
  secret:
    - RAILS_MASTER_KEY
    - DATABASE_PASSWORD:MAIN_PASSWORD
  tags:
    one:
      secret: [ONE]
accessories:
  db:
    image: mysql
    host: 10.0.0.1
    registry:
      server: ghcr.io
      username: someone
      password: [GHCR]
    env:
      secret: [MYSQL_ROOT_PASSWORD, "PW:MAIN_PASSWORD"]
"""
    deployment = main(tmp_path, base)
    wanted = deployment.secrets_wanted

    assert {name: [one.where for one in places] for name, places in wanted.items()} == {
        "RAILS_MASTER_KEY": ["env.secret"],
        "MAIN_PASSWORD": ["env.secret", "accessories.db.env.secret"],
        "ONE": ["env.tags.one.secret"],
        "CERT": ["proxy.ssl.certificate_pem"],
        "CERT_KEY": ["proxy.ssl.private_key_pem"],
        "REGISTRY_USER": ["registry.username"],
        "REGISTRY_PASSWORD": ["registry.password"],
        "GITHUB_TOKEN": ["builder.secrets"],
        "SSH_KEY": ["ssh.key_data"],
        "JOB_KEY": ["servers.job.env.secret"],
        "MYSQL_ROOT_PASSWORD": ["accessories.db.env.secret"],
        "GHCR": ["accessories.db.registry.password"],
    }
    assert [one.line for one in wanted["MAIN_PASSWORD"]] == [27, 40]
    assert deployment.env_secret["DATABASE_PASSWORD"] == "MAIN_PASSWORD"
    assert deployment.accessories["db"].image == "ghcr.io/mysql"
    assert deployment.registry.username is None
    assert deployment.proxy.ssl is True


def test_the_environment_knows_what_it_does_not_know(tmp_path: Path) -> None:
    env = """\
env:
  clear:
    A: text
    B: 3
    C: false
    D: ""
    E: <%= `e` %>
    F: here
    G: here
  secret: [S, "T:U"]
  tags:
    one:
      F: there
servers:
  web:
    hosts: [10.0.0.1]
    env:
      G: there
      H: there
"""
    deployment = staging(tmp_path, BASE.replace("servers:\n  web:\n    - 10.0.0.1\n", env), "{}\n")

    assert deployment.environment == {
        "KAMAL_CONTAINER_NAME": None,
        "KAMAL_VERSION": None,
        "KAMAL_HOST": None,
        "KAMAL_DESTINATION": "staging",
        **{"A": "text", "B": "3", "C": "false", "E": None, "F": None, "G": "there"},
        **{"H": "there", "S": None, "T": None},
    }
    assert deployment.env_clear["D"] == ""


def test_what_differs_between_roles_is_not_known(tmp_path: Path) -> None:
    job = "  job:\n    hosts: [10.0.0.1]\n    env:\n      RAILS_ENV: {0}\n"
    web = BASE.replace("    - 10.0.0.1\n", "    hosts: [10.0.0.1]\n    env:\n      RAILS_ENV: qa\n")
    both = web.replace("volumes:", job.format("qa") + "volumes:")

    assert main(tmp_path, both).rails_env == "qa"
    assert main(tmp_path, both.replace("_ENV: qa\nvol", "_ENV: x\nvol")).rails_env is None
    assert main(tmp_path, BASE + "env: <%= `env` %>\n").rails_env is None


@pytest.mark.parametrize(
    ("path", "name", "files"),
    [
        ("", None, (".kamal/secrets-common", ".kamal/secrets")),
        ("", "staging", (".kamal/secrets-common", ".kamal/secrets.staging")),
        ("secrets_path: a/b\n", "staging", ("a/b-common", "a/b.staging")),
    ],
)
def test_the_files_of_secrets_that_kamal_reads(
    tmp_path: Path, path: str, name: str | None, files: tuple[str, ...]
) -> None:
    deployment = read(tmp_path, BASE + path, staging="image: x\n").deployment(name)

    assert deployment is not None
    assert deployment.secrets_files == files


SHAPES = st.sampled_from(
    [
        *("<%= x %>", "<% if x %>", "- ", "  ", "\n", ": ", "&a ", "*a", "<<: *a", '"', "#"),
        *("{", "}", "[", "]", "servers:", "web:", "env:", "clear:", "volumes:", "a:/b", "0x"),
    ]
)
TEXTS = st.text() | st.lists(SHAPES, max_size=12).map("".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(base=TEXTS, over=TEXTS)
def test_arbitrary_text_never_raises(tmp_path: Path, base: str, over: str) -> None:
    write(tmp_path, BASE, staging=BASE)
    (tmp_path / "config/deploy.yml").write_bytes(base.encode("utf-8", "surrogatepass"))
    (tmp_path / "config/deploy.staging.yml").write_bytes(over.encode("utf-8", "surrogatepass"))
    found = kamal(tmp_path)

    assert found is not None
    everything(found)
