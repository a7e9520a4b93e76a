"""Every answer is judged before anything is written: what is refused, and in which words."""

from __future__ import annotations

import ipaddress
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml
from copier.errors import UserMessageError
from hypothesis import given
from hypothesis import strategies as st

from kamalstream.facts import DEFAULT_DATABASES, PROVIDERS

from . import warm
from .fixtures_template import ANSWERS, commit, git, render
from .questions import GOOD, problem

DATABASE = "storage/production.sqlite3"
A_PROVIDER_WHOSE_ENDPOINT_IS_ASKED = {"storage_provider": "custom", "region": "us-east-1"}
NO_LOCAL_REGISTRY = {"registry_server": "ghcr.io"}

# Answers the validator takes, with the other answers that matter.
TAKEN: list[tuple[str, Any, dict[str, Any]]] = [
    *[("app_name", good, {}) for good in ("notes", "my-app", "my_app", "app2", "37signals", "x")],
    ("app_name", "a" * 50, {}),
    *[
        ("server_ip", good, {})
        for good in (
            "203.0.113.10",
            "192.168.0.2",
            "10.0.0.1",
            "2001:db8::1",
            "::1",
            "fe80::1",
            "2001:DB8:0:0:8:800:200C:417A",
            "1::",
            "server.example.com",
            "my-server",
            "localhost",
        )
    ],
    *[
        ("domain", good, {})
        for good in (
            "example.com",
            "app.example.com",
            "a.b.c.example.co.uk",
            "xn--bcher-kva.example",
            "1password.com",
            "app.example.xn--p1ai",
        )
    ],
    *[("storage_provider", good, {}) for good in PROVIDERS],
    *[
        ("region", region, {"storage_provider": name})
        for name, provider in PROVIDERS.items()
        for region in provider.get("regions", [provider.get("region")])
    ],
    ("region", "fra2", {}),
    ("region", "RegionOne", A_PROVIDER_WHOSE_ENDPOINT_IS_ASKED),
    ("region", "auto", {"storage_provider": "cloudflare_r2"}),
    ("endpoint", "https://nyc3.digitaloceanspaces.com", {}),
    ("endpoint", "", {"storage_provider": "aws"}),
    *[
        ("endpoint", good, A_PROVIDER_WHOSE_ENDPOINT_IS_ASKED)
        for good in (
            "https://s3.example.com",
            "https://s3.example.com:9000",
            "https://203.0.113.9",
            "https://[2001:db8::1]:9000",
            "http://localhost:9000",
            "http://127.0.0.1:8333",
            "http://minio:9000",
            "http://10.1.2.3",
            "http://192.168.7.7",
            "http://172.16.0.1",
            "http://[::1]:9000",
            "http://[fd12:3456::1]",
            "http://nas.local",
            "http://s3.internal",
        )
    ],
    ("endpoint", "https://abc123.r2.cloudflarestorage.com", {"storage_provider": "cloudflare_r2"}),
    *[
        ("bucket", good, {})
        for good in ("abc", "my-app-backups", "my.bucket", "20250101", "b" * 63)
    ],
    *[
        ("databases", good, {})
        for good in (
            DEFAULT_DATABASES,
            {"primary": "storage/db/main.sqlite3"},
            {"primary": DATABASE, "errors": "storage/production_errors.sqlite3"},
            {"primary": "storage/..data.db"},
            {"primary": DATABASE, "demo-fr": "storage/production_demo-fr.sqlite3"},
        )
    ],
    ("databases", {"primary": "db/data/a.db"}, {"volumes": ["data:/rails/db/data"]}),
    ("databases", {"primary": "/data/a.db"}, {"volumes": ["/mnt/a:/data/:z", "b:/rails/storage"]}),
    ("databases", {"primary": "a/b.db"}, {"rails_root": "/app", "volumes": ["x:/app/a"]}),
    ("own_files", None, {}),
    ("own_files", [], {}),
    ("own_files", ["Dockerfile", ".kamal/secrets"], {}),
    *[("rails_root", good, {}) for good in ("/rails", "/usr/src/app-1", "/home/app.d/web_app")],
    *[("container_user", good, {}) for good in ("1000:1000", "0:0", "65534:100")],
    *[
        ("volumes", [good], {})
        for good in (
            "notes_storage:/rails/storage",
            "notes_storage:/rails/storage/",
            "/mnt/data:/data:rw",
            "/mnt/data:/data:Z,ro",
            "~/storage:/data",
            "./storage:/data",
            "a.b-c_d:/x",
        )
    ],
    ("volumes", [], {}),
    *[
        ("destinations", good, {})
        for good in (
            {},
            {"staging": {}},
            {"qa-2": {"databases": {"primary": DATABASE}, "volumes": []}, "x_y": {}},
            {"eu": {"databases": {"primary": "/d/a.db"}, "volumes": ["eu:/d"]}},
        )
    ],
    *[("litestream_version", good, {}) for good in ("0.5", "0.3")],
    *[("retention", good, {}) for good in ("24h", "720h", "1.5h1500m", "168h30m", "86400s")],
    *[
        ("ruby_version", good, {})
        for good in ("3.4.7", "3.4", "4.0.0", "3.5.0-preview1", "3.5.0rc1")
    ],
    *[
        ("registry_server", good, {})
        for good in (
            "localhost:5555",
            "ghcr.io",
            "docker.io",
            "registry.example.com:5000",
            "registry:5000",
            "10.0.0.5:5000",
        )
    ],
    *[
        ("registry_username", good, NO_LOCAL_REGISTRY)
        for good in ("jane", "jane@x.org", "AWS", "a/b")
    ],
    ("registry_username", "", {}),
    *[("ssh_user", good, {}) for good in ("root", "deploy", "_app", "deploy-1")],
    *[("arch", good, {}) for good in ("amd64", "arm64")],
    *[("verify_schedule", good, {}) for good in ("none", "weekly", "monthly")],
    *[
        ("image", good, {})
        for good in (
            {"packages": ["g++", "libssl3", "nodejs=22.1.0-1~deb12", "libc6:arm64"]},
            {"javascript": "yarn", "javascript_version": "4.9.1", "node": "22"},
            {"javascript": "bun", "javascript_files": ["package.json", "bun.lock", ".npmrc"]},
            {"asset_path": "", "local_gems": ["engines/shop", "vendor/cache"], "thruster": False},
            {"bundle_files": ["Gemfile", ".ruby-version"], "bundle_without": "development"},
        )
    ],
    *[
        ("heartbeat_url", good, {})
        for good in ("", "https://hc-ping.com/0b0b-11", "http://10.0.0.1:8000/alive?x=1")
    ],
]

# Answers the validator refuses, and the good one that its message shows.
BAD_DATABASES: tuple[Any, ...] = (
    {},
    [],
    None,
    "storage/production.sqlite3",
    5,
    {"primary": None},
    {"primary": ["x"]},
    {"primary": "db/production.sqlite3"},
    {"primary": "/rails/storage/production.sqlite3"},
    {"primary": "storage/../production.db"},
    {"primary": "storage/./production.db"},
    {"primary": "storage//a.db"},
    {"primary": "storage/"},
    {"primary": "storage/my db.sqlite3"},
    {"primary": "storage/$HOME.sqlite3"},
    {"primary": 'storage/a".db'},
    {"primary": "storage/<%= Rails.env %>.sqlite3"},
    {"primary": "storage/a.db\n"},
)
REFUSED: list[tuple[str, Any, str, dict[str, Any]]] = [
    *[
        ("app_name", bad, "my-app", {})
        for bad in (
            "",
            "My App",
            "MyApp",
            "my.app",
            "-app",
            "app-",
            "my--app",
            "my/app",
            "å",
            "a" * 51,
            "app\n",
            "a b",
            "123",
            "true",
            "null",
            "on",
            "0x1f",
            "2024-01-01",
        )
    ],
    *[
        ("server_ip", bad, "203.0.113.10", {})
        for bad in (
            "",
            "YOUR_SERVER_IP",
            "your-server",
            "192.168.0.1",
            "0.0.0.0",
            "::",
            "x.x.x.x",
            "changeme",
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.4/24",
            "1.2.3.4:22",
            "root@1.2.3.4",
            "ssh://1.2.3.4",
            "[2001:db8::1]",
            "2001:db8::1::2",
            "2001:db8:::1",
            "12345::",
            ":1",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            "fe80::1%eth0",
            "host_name",
            "-host",
            "a..b",
            "a b",
            "1.2.3.4 5.6.7.8",
            "1.2.3.4\n",
        )
    ],
    *[
        ("domain", bad, "app.example.com", {})
        for bad in (
            "",
            "https://app.example.com",
            "app.example.com/x",
            "app.example.com:443",
            "localhost",
            "1.2.3.4",
            "2001:db8::1",
            "*.example.com",
            "-a.example.com",
            "a..example.com",
            ".example.com",
            "example.com.",
            "my_app.example.com",
            "a b.com",
            "example.123",
            "ex\u00ad\u2028ample.com",
            "\u05d01.com \ue000",
        )
    ],
    ("domain", "bücher.example", "xn--bcher-kva.example", {}),
    ("domain", "BÜCHER.example", "xn--bcher-kva.example", {}),
    ("domain", "пример.рф", "xn--e1afmkfd.xn--p1ai", {}),
    ("domain", "App.Example.com", "app.example.com", {}),
    ("storage_provider", "dropbox", "digitalocean", {}),
    *[
        ("region", bad, "nyc3", {})
        for bad in ("", "NYC3", "nyc 3", "-nyc3", "eu/west", "https://x", "nyc3fra1")
    ],
    ("region", "us-east-1eu-central-003", "us-west-000", {"storage_provider": "backblaze"}),
    ("region", "", "us-west-000", {"storage_provider": "backblaze"}),
    ("endpoint", "https://ref.supabase.co", "/storage/v1/s3", {"storage_provider": "supabase"}),
    (
        "endpoint",
        "https://PROJECT_REF.supabase.co/storage/v1/s3",
        "",
        {"storage_provider": "supabase"},
    ),
    ("region", "eeur", "auto", {"storage_provider": "cloudflare_r2"}),
    ("endpoint", "https://ams3.digitaloceanspaces.com", "custom", {}),
    ("endpoint", "https://s3.amazonaws.com", "custom", {"storage_provider": "aws"}),
    *[
        ("endpoint", bad, "https://s3.example.com", A_PROVIDER_WHOSE_ENDPOINT_IS_ASKED)
        for bad in (
            "",
            "s3.example.com",
            "ftp://s3.example.com",
            "https://s3.example.com/",
            "https://s3.example.com/bucket",
            "https://s3.example.com?x",
            "https://",
            "https://a b",
            "https://s3.example.com:0",
            "https://s3.example.com:99999",
            "https://[nonsense]",
            "https://::1:9000",
            "https://s3.example.com:port",
        )
    ],
    *[
        ("endpoint", bad, "https://", A_PROVIDER_WHOSE_ENDPOINT_IS_ASKED)
        for bad in (
            "http://s3.example.com",
            "http://203.0.113.9",
            "http://10.example.com",
            "http://192.168.example.com",
            "http://fd.example.com",
            "http://172.32.0.1",
            "http://[2001:db8::1]",
            "http://[fd::1]",
            "http://fe80.example.com",
        )
    ],
    (
        "endpoint",
        "https://ACCOUNT_ID.r2.cloudflarestorage.com",
        "account id",
        {"storage_provider": "cloudflare_r2"},
    ),
    *[
        ("bucket", bad, "my-app-backups", {})
        for bad in (
            "",
            "ab",
            "b" * 64,
            "My-Bucket",
            "my_bucket",
            "-bucket",
            "bucket-",
            "my..bucket",
            "192.168.5.4",
            "xn--bucket",
            "sthree-x",
            "amzn-s3-demo-x",
            "x-s3alias",
            "x--ol-s3",
            "a/b",
            "s3://bucket",
            "bücket",
            "a b c",
            "bucket\n",
        )
    ],
    *[("databases", bad, DATABASE, {}) for bad in BAD_DATABASES],
    ("databases", {"primary": DATABASE, "queue": DATABASE}, "a file of its own", {}),
    ("databases", {True: DATABASE}, "primary", {}),
    ("databases", {None: DATABASE}, "primary", {}),
    ("databases", {"primary": "storage/" + "a" * 10000}, DATABASE, {}),
    ("region", "a" * 10000, "nyc3", {}),
    ("retention", "0" * 10000 + "720h", "720h", {}),
    ("app_name", "1e3", "my-app", {}),
    *[
        ("image", {key: bad}, key, {})
        for key, bad in (
            ("packages", ["-oDPkg::Pre-Invoke::=/bin/x"]),
            ("packages", ["curl-"]),
            ("packages", []),
            ("packages", None),
            ("packages", [None]),
            ("build_packages", {"git": True}),
            ("bundle_files", ["--from=evil/x"]),
            ("bundle_files", ["../Gemfile"]),
            ("local_gems", ["engines/../.."]),
            ("javascript", "deno"),
            ("javascript_version", "1; id"),
            ("node", "22 AS x"),
            ("bundle_without", 'a"'),
            ("thruster", "no"),
            ("asset_path", 5),
        )
    ],
    ("image", {"javascript_files": ["package.json"]}, "javascript: npm", {}),
    ("image", {"asset_path": "x:"}, "/rails/public/assets", {}),
    ("databases", {"my db": DATABASE}, "primary", {}),
    ("databases", {"primary": DATABASE}, "/data/production.sqlite3", {"volumes": ["a:/data"]}),
    ("databases", {"primary": "/data2/a.db"}, "below /data/", {"volumes": ["a:/data"]}),
    ("databases", {"primary": "/data/../etc/a"}, "below /data/", {"volumes": ["a:/data"]}),
    (
        "databases",
        {"primary": "storage/data/a.db", "queue": "/data/a.db"},
        "where another database is",
        {"volumes": ["a:/data", "b:/rails/storage"]},
    ),
    *[("own_files", bad, "[Dockerfile]", {}) for bad in ("Dockerfile", {"Dockerfile": True}, 5)],
    *[("own_files", [bad], ".dockerignore", {}) for bad in ("config.ru", "/Dockerfile", "*", 5)],
    *[
        ("rails_root", bad, "/rails", {})
        for bad in ("", "/", "rails", "/rails/", "/a/../b", "/a b", "/$HOME", "/a;b", "/a\n", "//a")
    ],
    *[
        ("container_user", bad, "1000:1000", {})
        for bad in ("", "rails", "1000", "1000:", "rails:rails", "1000:1000:1", "-1:0", "1:1\n")
    ],
    *[("volumes", bad, "my-app_storage:", {}) for bad in ("a:/b", {"a": "/b"}, None, 5)],
    *[
        ("volumes", [bad], "my-app_storage:/rails/storage", {})
        for bad in (
            "",
            "/rails/storage",
            "a:b",
            "a:/",
            "a:/b/../c",
            "a:/b:",
            "a:/b:ro:z",
            "a b:/c",
            "a:/b c",
            "$HOME/a:/b",
            'a":/b',
            "a:/b\n",
            "-v:/b",
            5,
            {"source": "a", "target": "/b"},
        )
    ],
    ("volumes", ["a:/b", "c:/b/"], "my-app_storage:/rails/storage", {}),
    *[("destinations", bad, "staging: {}", {}) for bad in ("staging", ["staging"], None)],
    *[
        ("destinations", {bad: {}}, "staging", {})
        for bad in ("", "Staging", "a/b", "a b", "a.b", "-a", "_a", "2024", "true", "a\n", 5, True)
    ],
    *[
        ("destinations", {"qa": bad}, "staging: {}", {})
        for bad in (None, [], "x", {"server_ip": "1.2.3.4"})
    ],
    ("destinations", {"qa": {"volumes": ["a:b"]}}, '"a:b" is not a volume', {}),
    ("destinations", {"qa": {"databases": {"primary": "x.db"}}}, '"x.db" is outside', {}),
    ("destinations", {"qa": {"databases": {"cache": DATABASE}}}, "nothing to back up", {}),
    ("destinations", {"qa": {"volumes": ["a:/data"]}}, "below /data/", {}),
    (
        "destinations",
        {"qa": {}},
        "where another database is",
        {
            "databases": {
                "primary": "storage/production.sqlite3",
                "b": "storage/qa/production.sqlite3",
            }
        },
    ),
    ("databases", {"cache": "storage/c.db", "cable": "storage/d.db"}, DATABASE, {}),
    ("litestream_version", "0.4", "0.5", {}),
    ("retention", "7d", "168h", {}),
    ("retention", "30 days", "720h", {}),
    ("retention", "2w", "336h", {}),
    *[
        ("retention", bad, "720h", {})
        for bad in (
            "",
            "720",
            "h",
            "-720h",
            "1y",
            "1e3h",
            "720H",
            "24 h",
            "1h",
            "23h59m",
            "0s",
            "1439m",
            "99999999h",
            "720h\n",
            "7d12h",
            "1..5h",
        )
    ],
    *[
        ("ruby_version", bad, "3.4.7", {})
        for bad in ("", "3", "ruby-3.4.7", "jruby-9.4", "latest", "3.4.7 3.3.6", "v3.4.7", "3.4.x")
    ],
    *[
        ("registry_server", bad, "ghcr.io", {})
        for bad in (
            "",
            "https://ghcr.io",
            "ghcr.io/jane",
            "registry",
            "ghcr.io:",
            "ghcr.io:0",
            "ghcr.io:99999",
            "a b.io",
            "-x.io",
            "null",
            "123",
        )
    ],
    ("registry_server", "localhost", "localhost:5555", {}),
    ("registry_username", "", "user name", NO_LOCAL_REGISTRY),
    *[
        ("registry_username", bad, "jane", NO_LOCAL_REGISTRY)
        for bad in ("a b", "$USER", "-x", "a:b", 'a"')
    ],
    *[
        ("ssh_user", bad, "root", {})
        for bad in ("", "Deploy", "a b", "root@host", "5", "a" * 33, "on")
    ],
    ("arch", "x86_64", "amd64", {}),
    ("verify_schedule", "daily", "monthly", {}),
    *[
        ("heartbeat_url", bad, "https://hc-ping.com/", {})
        for bad in (
            "hc-ping.com",
            "ftp://x.org",
            "https://",
            "https://a b",
            'https://x.org/"',
            "https://$x",
            "https://x.org/\x01\x1b[31m",
            "https://x.org/\u202e",
            "https://x.org/" + "a" * 600,
        )
    ],
    ("heartbeat_url", "https://hc-ping.com/x", "0.5", {"litestream_version": "0.3"}),
]


def named(rows: list[tuple[Any, ...]]) -> list[str]:
    return [f"{row[0]}={str(row[1])[:40]!r}" for row in rows]


@pytest.mark.parametrize(("question", "answer", "others"), TAKEN, ids=named([*TAKEN]))
def test_a_good_answer_is_taken(question: str, answer: Any, others: dict[str, Any]) -> None:
    assert problem(question, answer, **others) == ""


def in_one_line(answer: object) -> str:
    text = str(answer)
    cut = text if len(text) <= 60 else f"{text[:59]}…"
    return "".join(one if one.isprintable() else "\ufffd" for one in cut)


@pytest.mark.parametrize(("question", "answer", "shown", "others"), REFUSED, ids=named([*REFUSED]))
def test_a_bad_answer_is_refused_with_a_line_that_names_it_and_shows_a_good_one(
    question: str, answer: Any, shown: str, others: dict[str, Any]
) -> None:
    said = problem(question, answer, **others)
    assert shown in said
    leaves = (
        [*answer.values(), *answer, answer] if isinstance(answer, dict) and answer else [answer]
    )
    lists = [one for one in leaves if isinstance(one, list)]
    leaves += [leaf for one in lists for leaf in (", ".join(map(str, one)), *one)]
    assert (
        any(f'"{in_one_line(leaf)}"' in said for leaf in leaves)
        or "my db" in said
        or "cache, cable" in said
        or not answer
    )


@pytest.mark.parametrize("question", sorted({row[0] for row in REFUSED}))
def test_the_answers_the_tests_build_on_are_good(question: str) -> None:
    assert problem(question, GOOD[question]) == ""


@given(st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(lambda ip: ip.compressed))
def test_every_ip_address_is_a_server_address(address: str) -> None:
    said = problem("server_ip", address)
    assert not said or "placeholder" in said or ("." in address and ":" in address)


@given(st.text("0123456789abcdefABCDEF:.", max_size=24))
def test_what_looks_like_an_ip_address_is_one(text: str) -> None:
    if not problem("server_ip", text) and (":" in text or re.fullmatch(r"[0-9.]+", text)):
        ipaddress.ip_address(text)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_plain_http_goes_to_private_addresses_only(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    if not problem("endpoint", f"http://{host}:9000", **A_PROVIDER_WHOSE_ENDPOINT_IS_ASKED):
        assert address.is_private or address.is_link_local


@given(st.text("abz09-.A_", min_size=1, max_size=70))
def test_a_bucket_name_keeps_the_rules_of_s3(name: str) -> None:
    # docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    allowed = (
        3 <= len(name) <= 63
        and set(name) <= set("abz09-.")
        and name[0] in "abz09"
        and name[-1] in "abz09"
        and ".." not in name
        and not re.fullmatch(r"(\d{1,3}\.){3}\d{1,3}", name)
    )
    assert (problem("bucket", name) == "") is allowed


@given(st.lists(st.tuples(st.decimals(0, 2000, places=1), st.sampled_from("hms")), max_size=4))
def test_a_retention_that_is_taken_is_a_duration_of_go_of_at_least_a_day(
    parts: list[tuple[Any, str]],
) -> None:
    hours = sum(float(number) / {"h": 1, "m": 60, "s": 3600}[unit] for number, unit in parts)
    text = "".join(f"{number}{unit}" for number, unit in parts)
    if abs(hours - 24) > 1e-6:
        assert (problem("retention", text) == "") is (hours > 24)


@given(
    st.sampled_from(
        ["app_name", "server_ip", "domain", "region", "endpoint", "bucket", "retention"]
    ),
    st.text(),
)
def test_no_text_whatever_breaks_a_validator(question: str, text: str) -> None:
    problem(question, text)
    problem(question, text, **A_PROVIDER_WHOSE_ENDPOINT_IS_ASKED)


@given(st.text(min_size=1).filter(lambda text: not text.isascii()))
def test_a_punycode_that_is_proposed_is_a_good_answer(label: str) -> None:
    said = problem("domain", f"{label}.example")
    assert said
    if proposed := re.search(r"punycode, (\S+)", said):
        assert problem("domain", proposed[1]) == ""


def test_a_key_in_an_endpoint_is_not_repeated() -> None:
    for endpoint in ("https://AKIA:s3cret@s3.example.com/x", "AKIA:s3cret@s3.example.com"):
        said = problem("endpoint", endpoint, **A_PROVIDER_WHOSE_ENDPOINT_IS_ASKED)
        assert "credentials" in said
        assert "s3cret" not in said


# --- What Copier does with the answers ------------------------------------------------------------


def answers_of(app: Path) -> dict[str, Any]:
    stored: dict[str, Any] = yaml.safe_load((app / ".copier-answers.yml").read_text("utf-8"))
    return stored


def test_four_answers_are_enough(fresh: Callable[..., Path]) -> None:
    stored = answers_of(fresh())
    expected = {**GOOD, "ruby_version": stored["ruby_version"]}
    # Not asked while the registry is local, so not kept.
    del expected["registry_username"]
    assert {key: value for key, value in stored.items() if key[0] != "_"} == expected


@pytest.mark.parametrize(
    ("provider", "region", "endpoint"),
    [
        ("digitalocean", "ams3", "https://ams3.digitaloceanspaces.com"),
        ("aws", "eu-west-1", ""),
        ("backblaze", "eu-central-003", "https://s3.eu-central-003.backblazeb2.com"),
        ("hetzner", "nbg1", "https://nbg1.your-objectstorage.com"),
        ("scaleway", "nl-ams", "https://s3.nl-ams.scw.cloud"),
    ],
)
def test_the_endpoint_follows_from_provider_and_region(
    fresh: Callable[..., Path], provider: str, region: str, endpoint: str
) -> None:
    stored = answers_of(fresh(storage_provider=provider, region=region))
    assert stored["endpoint"] == endpoint


def test_a_region_that_is_fixed_is_not_asked_for(fresh: Callable[..., Path]) -> None:
    stored = answers_of(fresh(storage_provider="tigris"))
    assert (stored["region"], stored["endpoint"]) == ("auto", "https://t3.storage.dev")


@pytest.mark.parametrize(
    ("folder", "name"),
    [("My App!", "my-app"), ("notes", "notes"), ("__x--y__z", "x-y-z"), ("Café 2", "caf-2")],
)
@pytest.mark.filterwarnings("ignore::copier.errors.MissingFileWarning")
def test_the_name_follows_from_the_folder(
    template: Path, tmp_path: Path, folder: str, name: str
) -> None:
    given = {key: value for key, value in ANSWERS.items() if key != "app_name"}
    copier.run_copy(
        str(template),
        tmp_path / folder,
        given,
        defaults=True,
        quiet=True,
        unsafe=True,
        skip_tasks=True,
    )
    assert answers_of(tmp_path / folder)["app_name"] == name


@pytest.mark.parametrize(
    ("written", "version"),
    [
        ("3.3.6\n", "3.3.6"),
        ("ruby-3.4.5\n", "3.4.5"),
        ("3.4", "3.4"),
        ("truffleruby-24.1\n", None),
        ("", None),
    ],
)
def test_the_ruby_is_that_of_the_app(
    template: Path, tmp_path: Path, written: str, version: str | None
) -> None:
    (tmp_path / ".ruby-version").write_text(written)
    render(template, tmp_path, skip_tasks=True)
    assert answers_of(tmp_path)["ruby_version"] == (version or GOOD["ruby_version"])


def copier_copy(template: Path, app: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        warm.copier("copy", "--trust", "--defaults", "--overwrite", *arguments, template, app),
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
        check=False,
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("bucket: My_Bucket", 'bucket "My_Bucket" is not an S3 bucket name'),
        ("bucket:", "bucket is empty"),
        ("server_ip: [1.2.3.4, 5.6.7.8]", "server_ip \"['1.2.3.4', '5.6.7.8']\" is a list"),
        ("domain: {a: b}", "domain \"{'a': 'b'}\" is a list or a mapping"),
        ("storage_provider: dropbox", 'storage_provider "dropbox" is not a provider'),
        ("storage_provider: cloudflare_r2", "endpoint is missing"),
        ("region: Nowhere", 'region "Nowhere" is not a region'),
        ("endpoint: https://elsewhere.example.com", "is not the endpoint of DigitalOcean"),
        ("litestream_version: 0.4", 'litestream_version "0.4" is not a Litestream series'),
        ("arch: mips", 'arch "mips" is not an architecture'),
        ("retention: 7d", 'retention "7d" has a unit Litestream does not know: write 168h'),
        ("ruby_version: latest", 'ruby_version "latest" is not a Ruby version'),
        ("registry_server: ghcr.io", "registry_username is missing"),
        ("registry_server: https://ghcr.io", 'registry_server "https://ghcr.io" is not a registry'),
        ("ssh_user: Root", 'ssh_user "Root" is not a user'),
        ("heartbeat_url: soon", 'heartbeat_url "soon" is not a URL'),
        ("databases: [primary]", "databases \"['primary']\" is not a mapping"),
        ("databases: '{a'", 'databases "{a" is not a mapping'),
        ("databases: {primary: db/x.sqlite3}", '"db/x.sqlite3" is outside the volume'),
        ("backup_ephemeral: maybe", 'backup_ephemeral "maybe" is neither true nor false'),
        ("advanced:", "advanced is empty"),
        ("app_name: 2024", 'app_name "2024" is a number'),
        ("own_files: Dockerfile", 'own_files "Dockerfile" is not a list'),
        ("own_files: '[a'", 'own_files "[a" is not a list'),
        ("own_files: [config.ru]", 'own_files "config.ru" is no file that may be yours'),
        ("volumes: data:/data", 'volumes "data:/data" is not a list'),
        ("volumes:", "volumes is empty"),
        ("volumes: [data]", 'volumes "data" is not a volume of Kamal'),
        ("rails_root: [/rails]", "rails_root \"['/rails']\" is a list"),
        ("rails_root: /", 'rails_root "/" is no folder of an image'),
        ("container_user: rails", 'container_user "rails" is not the numbers'),
        ("destinations: staging", 'destinations "staging" is not a mapping'),
        ("destinations: {a: {volumes: x}}", 'destinations "a" has volumes that cannot be'),
        ("backed_up: {primary: /etc/passwd}", "backed_up \"{'primary': '/etc/passwd'}\" cannot be"),
        ("versions: {litestream: {}}", "the template works it out: leave it out"),
        ("refuse_bad_data: x\nbucket: A", 'refuse_bad_data "x" cannot be given'),
        ("refuse_unreadable_data: x", 'refuse_unreadable_data "x" cannot be given'),
    ],
)
def test_a_bad_answer_that_is_given_stops_copier_in_one_line_before_it_writes(
    template: Path, tmp_path: Path, given: str, said: str
) -> None:
    (app := tmp_path / "app").mkdir()
    with pytest.raises(UserMessageError) as stopped:
        render(template, app, yaml.safe_load(given), skip_tasks=True)
    assert said in stopped.value.message.replace("\\'", "'")
    assert "\n" not in stopped.value.message
    assert [*app.iterdir()] == []


def test_every_bad_answer_is_named_at_once(template: Path, tmp_path: Path) -> None:
    with pytest.raises(UserMessageError) as stopped:
        render(
            template, tmp_path, {"bucket": "A", "domain": "b", "retention": "1d"}, skip_tasks=True
        )
    assert all(
        f'{bad}"' in stopped.value.message for bad in ('bucket "A', 'domain "b', 'retention "1d')
    )


def test_the_command_says_it_without_a_traceback_and_exits_1(
    template: Path, sample_app: Callable[[str], Path]
) -> None:
    app = sample_app("rails_8_1")
    wrong = copier_copy(
        template,
        app,
        "-d",
        "server_ip=YOUR_SERVER_IP",
        "-d",
        "bucket=no",
        "-d",
        "domain=notes.example.com",
        "-d",
        "databases={a",
    )
    assert wrong.returncode == 1
    assert "Traceback" not in wrong.stderr
    assert 'databases "{a" is not a mapping' in wrong.stderr
    assert wrong.stderr.strip().count("\n") == 0
    missing = copier_copy(template, app)
    assert missing.returncode == 1
    assert "Traceback" not in missing.stderr
    for key in ("server_ip", "domain", "bucket"):
        assert f"{key} is missing" in missing.stderr
    assert git(app, "status", "--short", "--ignored") == ""


def test_databases_can_be_given_on_the_command_line(template: Path, tmp_path: Path) -> None:
    for text in (
        "{primary: storage/a.db, queue: 'storage/b.db'}",
        '{"primary":"storage/a.db","queue":"storage/b.db"}',
        "primary: storage/a.db\nqueue: storage/b.db\n",
    ):
        render(template, tmp_path, {"databases": text}, skip_tasks=True)
        assert answers_of(tmp_path)["databases"] == {
            "primary": "storage/a.db",
            "queue": "storage/b.db",
        }


def test_lists_can_be_given_on_the_command_line(template: Path, tmp_path: Path) -> None:
    given = {"own_files": "[Dockerfile, '.kamal/secrets']", "volumes": '["a:/rails/storage"]'}
    render(template, tmp_path, given, skip_tasks=True)
    stored = answers_of(tmp_path)
    assert stored["own_files"] == ["Dockerfile", ".kamal/secrets"]
    assert stored["volumes"] == ["a:/rails/storage"]


def test_another_provider_brings_its_own_endpoint_on_update(template: Path, tmp_path: Path) -> None:
    render(template, tmp_path, skip_tasks=True)
    commit(tmp_path, "Deployable")
    copier.run_update(
        tmp_path,
        {"storage_provider": "backblaze", "region": "us-west-002"},
        defaults=True,
        overwrite=True,
        quiet=True,
        unsafe=True,
        skip_tasks=True,
    )
    assert answers_of(tmp_path)["endpoint"] == "https://s3.us-west-002.backblazeb2.com"
    assert "digitalocean" not in (tmp_path / "config/litestream.yml").read_text("utf-8").lower()
    commit(tmp_path, "On Backblaze")
    copier.run_update(
        tmp_path,
        {"storage_provider": "aws", "region": "eu-west-1"},
        defaults=True,
        overwrite=True,
        quiet=True,
        unsafe=True,
        skip_tasks=True,
    )
    assert answers_of(tmp_path)["endpoint"] == ""
    assert "endpoint:" not in (tmp_path / "config/litestream.yml").read_text("utf-8")


def test_what_is_not_asked_keeps_its_answer_on_update(template: Path, tmp_path: Path) -> None:
    render(template, tmp_path, {"retention": "168h", "arch": "arm64"}, skip_tasks=True)
    commit(tmp_path, "Deployable")
    copier.run_update(
        tmp_path,
        {"domain": "other.example.com"},
        defaults=True,
        overwrite=True,
        quiet=True,
        unsafe=True,
        skip_tasks=True,
    )
    stored = answers_of(tmp_path)
    assert (stored["retention"], stored["arch"], stored["domain"]) == (
        "168h",
        "arm64",
        "other.example.com",
    )
