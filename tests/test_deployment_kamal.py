"""The model of the deployment against the real Kamal, and against ActiveSupport's merge."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kamalstream.inspect.kamal.deployment import kamal
from kamalstream.inspect.kamal.files import merged
from tests.conftest import requires
from tests.deployments import BASE, HEAD, SIDECAR, read, staging, write
from tests.kamal_oracle import Oracle, kamals, ours


class Case(NamedTuple):
    """A base and the file of the destination "staging", if there is one."""

    base: str
    staging: str | None = None


CASES = {
    "stock": Case(BASE + "proxy:\n  ssl: true\n  host: shop.example\n"),
    "a list of servers": Case(HEAD + "servers: [10.0.0.1, 10.0.0.2: web, 10.0.0.1]\n"),
    "roles in the order of the alphabet": Case(
        HEAD
        + "servers:\n  web: [10.0.0.2]\n  job:\n    hosts: [10.0.0.1]\n    cmd: bin/jobs\n"
        + "    proxy: false\n  api:\n    hosts: [10.0.0.3]\n    proxy:\n      app_port: 3000\n"
        + "proxy:\n  host: a.example,b.example\n  healthcheck:\n    path: /healthy\n"
    ),
    "another primary role": Case(
        HEAD + "primary_role: app\nservers:\n  app: [10.0.0.1]\n  web: [10.0.0.2]\n"
    ),
    "tags": Case(
        HEAD
        + "servers:\n  web:\n    - 10.0.0.1: [blue, main]\n    - 10.0.0.2: bluegreen\n"
        + "  job:\n    hosts:\n      - 10.0.0.3: blue\n"
        + "env:\n  clear: {A: 1}\n  tags:\n    blue:\n      A: 2\n    main:\n"
        + "      clear: {B: 3}\n      secret: [X, Y:Z]\n"
        + "accessories:\n  a: {image: a, tag: blue}\n  b: {image: b, tags: [main, blue]}\n"
    ),
    "accessories": Case(
        BASE
        + "accessories:\n  a: {image: a, role: web, directories: [d:/d, /e:/e:ro]}\n"
        + "  b: {image: b, hosts: [10.0.0.4, 10.0.0.5], service: bee, volumes: [v:/v]}\n"
        + "  c: {image: c, host: 10.0.0.6, cmd: run, proxy: {host: c.example, app_port: 8080},"
        + "      env: {A: true, B: 1.5}, files: [a:/a, {local: b, remote: /b}]}\n"
        + "  d: {image: d, host: 10.0.0.6, env: {clear: {A: x}, secret: [S, T:U]},"
        + "      registry: {server: ghcr.io, username: me, password: [P]}}\n"
    ),
    "all clear": Case(BASE + "env:\n  A: 1\n  B: yes\n  C: 'no'\n  D: 017\n  E: 1_000\n"),
    "lists replace": Case(
        BASE + "env:\n  clear: {A: 1, B: 2}\n  secret: [X, Y]\n",
        "env:\n  clear: {B: 3}\n  secret: [Z]\nvolumes: [a:/a, b:/b:ro]\n",
    ),
    "all clear below clear and secret": Case(
        BASE + "env: {clear: {A: 1}}\n", "env: {secret: [B]}\n"
    ),
    "servers of the destination alone": Case(
        HEAD + "require_destination: true\n", "servers: {web: [10.0.0.9]}\nservice: shop-staging\n"
    ),
    "a list over roles": Case(BASE, "servers: [10.0.0.9]\n"),
    "roles over a list": Case(HEAD + "servers: [10.0.0.1]\n", "servers: {web: [10.0.0.9]}\n"),
    "a part of an accessory": Case(
        BASE + SIDECAR,
        "accessories:\n  backup:\n    image: litestream/litestream:latest\n    volumes: [b:/b]\n"
        + "servers: {web: [10.0.0.9]}\n",
    ),
    "an empty list over a list": Case(BASE, "volumes: []\n"),
    "anchors and merges": Case(
        BASE + "x-o: &o {options: {volume: a:/a}}\n", "x-p: &p {A: 1}\nenv:\n  <<: *p\n  B: 2\n"
    ),
    "code": Case(
        BASE.replace("shop_storage", '<%= ENV["KAMAL_DESTINATION"] || "live" %>_data'),
        "<%# nothing -%>\n<% name = 'st' -%>\nservice: shop-<%= name %>\n",
    ),
    "builder, ssh and the rest": Case(
        BASE.replace("amd64", "[amd64, arm64]\n  remote: ssh://b@10.0.0.8\n  local: false")
        + "ssh: {user: app, port: 2222}\nasset_path: /rails/public/assets\nminimum_version: 2.0.0\n"
        + "secrets_path: conf/secrets\naliases: {console: app exec bin/rails c}\n",
        "builder: {context: ., dockerfile: Dockerfile.staging}\nssh: {proxy: jump}\n",
    ),
    "a registry elsewhere": Case(
        BASE.replace("server: localhost:5555", "username: [USER]\n  password: [PASSWORD]"),
        "registry: {server: ghcr.io, username: me}\n",
    ),
    "no image": Case(BASE.replace("image: acme/shop\n", "")),
    "options of roles": Case(
        HEAD
        + "servers:\n  web:\n    hosts: [10.0.0.1]\n    asset_path: /a\n"
        + "    options: {volume: [a:/a, b:/b], cpus: 2, init: true}\n    env: {A: 1}\n"
    ),
}


@requires("kamal")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_model_says_what_kamal_says(tmp_path: Path, oracle: Oracle, case: Case) -> None:
    destinations = {} if case.staging is None else {"staging": case.staging}
    found = read(tmp_path, case.base, **destinations)
    name = "staging" if destinations else None
    said = oracle(tmp_path, name)

    assert "error" not in said
    deployment = found.deployment(name)
    assert deployment is not None
    assert ours(deployment) == kamals(said)
    assert deployment.unreadable == ()


@requires("kamal")
def test_a_destination_may_have_dots_in_its_name(tmp_path: Path, oracle: Oracle) -> None:
    app = write(tmp_path, BASE, **{"eu.prod": "service: eu\n"})
    found = kamal(app)
    assert found is not None
    deployment = found.deployment("eu.prod")

    assert deployment is not None
    assert oracle(app, "eu.prod")["service"] == deployment.service == "eu"
    assert deployment.secrets_files == (".kamal/secrets-common", ".kamal/secrets.eu.prod")


@requires("kamal")
def test_a_destination_without_a_key_is_refused_by_kamal_too(
    tmp_path: Path, oracle: Oracle
) -> None:
    app = write(tmp_path, BASE, staging="# image: x\n")
    deployment = staging(app, BASE, "# image: x\n")

    assert not deployment.readable
    assert "symbolize_keys" in oracle(app, "staging")["error"]


@requires("kamal")
def test_code_may_ask_for_the_destination(tmp_path: Path, oracle: Oracle) -> None:
    base = BASE.replace("shop_", 'shop_<%= ENV.fetch("KAMAL_DESTINATION", "live") %>_')
    found = read(tmp_path, base, staging="image: x\n")

    for deployment in found.deployments:
        said = oracle(tmp_path, deployment.name)
        assert [str(one) for one in deployment.mounts] == said["volumes"]
    assert [one.mounts[0].source for one in found.deployments] == [
        "shop_live_storage",
        "shop_staging_storage",
    ]
    assert (found.unreadable, found.assumed) == ((), ())


HOSTS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"])
NAMES = st.sampled_from(["A", "B", "C"])
TAGS = st.sampled_from(["blue", "red", "bluered"])
ENTRIES = st.lists(
    st.one_of(
        HOSTS,
        st.builds(lambda host, tags: {host: tags}, HOSTS, TAGS | st.lists(TAGS, max_size=2)),
    ),
    min_size=1,
    max_size=3,
)
VALUES = st.sampled_from(["x", "", "1", "yes", "a:b", "007", "~"]) | st.integers() | st.booleans()
CLEAR = st.dictionaries(NAMES, VALUES, max_size=3)
SECRET = st.lists(st.sampled_from(["S", "T", "S:T", "U:S"]), max_size=3, unique=True)
ENV = CLEAR | st.fixed_dictionaries({}, optional={"clear": CLEAR, "secret": SECRET})
TAGGED_ENV = CLEAR | st.fixed_dictionaries(
    {}, optional={"clear": CLEAR, "secret": SECRET, "tags": st.dictionaries(TAGS, ENV)}
)
VOLUMES = st.lists(
    st.sampled_from(["a:/a", "/srv/b:/b", "c:/c:ro", "/anonymous", "$PWD/d:/d"]), max_size=3
)
PROXY = st.fixed_dictionaries(
    {},
    optional={
        "app_port": st.integers(1, 65535),
        "ssl": st.booleans(),
        "host": st.sampled_from(["a.example", "a.example,b.example"]),
        "healthcheck": st.just({"path": "/healthy"}),
    },
)
OPTIONS = st.fixed_dictionaries({}, optional={"volume": st.just("o:/o") | VOLUMES})
ROLE = ENTRIES | st.fixed_dictionaries(
    {"hosts": ENTRIES},
    optional={
        "cmd": st.just("bin/jobs"),
        "env": ENV,
        "options": OPTIONS,
        "proxy": PROXY | st.booleans(),
    },
)
SERVERS = ENTRIES | st.fixed_dictionaries({"web": ROLE}, optional={"job": ROLE, "api": ROLE})
PLACEMENT = st.one_of(
    st.builds(lambda host: {"host": host}, HOSTS),
    st.builds(lambda hosts: {"hosts": hosts}, st.lists(HOSTS, min_size=1, max_size=2)),
    st.sampled_from([{"role": "web"}, {"roles": ["web"]}, {"roles": ["web", "job"]}]),
    st.builds(lambda tag: {"tag": tag}, TAGS),
    st.builds(lambda tags: {"tags": tags}, st.lists(TAGS, min_size=1, max_size=2)),
)
PATHS = st.lists(
    st.sampled_from(
        ["a:/a", "/b:/b:ro", {"local": "c", "remote": "/c"}, {"local": "/d", "remote": "/d"}]
    ),
    max_size=2,
    unique_by=str,
)
ACCESSORY = st.builds(
    lambda own, place: {"image": "litestream/litestream", **own, **place},
    st.fixed_dictionaries(
        {},
        optional={
            "volumes": VOLUMES,
            "directories": PATHS,
            "files": PATHS,
            "env": ENV,
            "cmd": st.just("replicate"),
            "service": st.just("other"),
        },
    ),
    PLACEMENT,
)
CONFIG = st.fixed_dictionaries(
    {},
    optional={
        "servers": SERVERS,
        "env": TAGGED_ENV,
        "volumes": VOLUMES,
        "proxy": PROXY,
        "accessories": st.dictionaries(st.sampled_from(["a", "b"]), ACCESSORY, max_size=2),
        "primary_role": st.sampled_from(["web", "job"]),
        "require_destination": st.booleans(),
        "service": st.sampled_from(["shop", "other"]),
    },
)


@requires("kamal")
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(base=CONFIG, over=CONFIG)
def test_whatever_kamal_accepts_is_read_as_kamal_reads_it(
    tmp_path: Path, oracle: Oracle, base: dict[str, Any], over: dict[str, Any]
) -> None:
    head = yaml.safe_load(HEAD)
    said_in_staging = {"x-staging": True, **over}
    found = read(
        tmp_path, yaml.safe_dump({**head, **base}), staging=yaml.safe_dump(said_in_staging)
    )
    for name, deployment in ((None, found.base), ("staging", found.deployment("staging"))):
        said = oracle(tmp_path, name)
        assert deployment is not None
        if "error" not in said:
            assert ours(deployment) == kamals(said)
    # Kamal also deploys accessories alone.
    assert not oracle(tmp_path, None).get("server") or found.main == found.base


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("abc: ", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(NAMES, PLAIN, max_size=3)


def deep_merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """ActiveSupport's Hash#deep_merge!, word for word."""
    result = copy.deepcopy(base)
    for key, other in over.items():
        this = result.get(key)
        both = isinstance(this, dict) and isinstance(other, dict)
        result[key] = deep_merge(this, other) if both and this is not None else other
    return result


@given(base=MAPPINGS, over=MAPPINGS)
def test_a_merge_is_active_supports(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = copy.deepcopy((base, over))

    assert merged(base, over) == deep_merge(base, over)
    assert list(merged(base, over)) == list(deep_merge(base, over))
    assert (base, over) == before


@requires("kamal")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(base=MAPPINGS, over=MAPPINGS)
def test_a_merge_is_kamals(
    tmp_path: Path, oracle: Oracle, base: dict[str, Any], over: dict[str, Any]
) -> None:
    config = {**yaml.safe_load(BASE), "x-any": base}
    app = write(tmp_path, yaml.safe_dump(config), staging=yaml.safe_dump({"x-any": over}))
    found = kamal(app)

    assert found is not None
    deployment = found.deployment("staging")
    assert deployment is not None
    said = oracle(app, "staging")["raw"]["x-any"]
    assert json.loads(json.dumps(deployment.get("x-any"))) == said
