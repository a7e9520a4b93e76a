"""The rendered files, for every combination, and what the real programs say of them."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytest_copie.plugin import Copie, Result

from kamalstream import programs
from kamalstream.facts import DEFAULT_DATABASES, OWNABLE, PROVIDERS, VERSIONS
from kamalstream.inspect.image.dockerignore import excluded
from kamalstream.prove.redirect import replicated

from .conftest import requires
from .fixtures_template import ANSWERS, commit, git, make_app, render

SERIES = ("0.5", "0.3")
REGISTRIES = ("localhost:5555", "ghcr.io")
ENDPOINTS = {
    "cloudflare_r2": "https://0123abc.r2.cloudflarestorage.com",
    "minio": "http://minio.internal:9000",
    "custom": "https://s3.example.com",
    "oracle": "https://ns.compat.objectstorage.eu-frankfurt-1.oraclecloud.com",
    "supabase": "https://ref.supabase.co/storage/v1/s3",
    "upcloud": "https://7mf5k.upcloudobjects.com",
    "garage": "https://garage.example.com",
    "seaweedfs": "http://10.0.0.5:8333",
}
#: Where none is likelier than another.
REGIONS = {"backblaze": "us-west-004"}
WRITTEN = {
    ".copier-answers.yml",
    ".dockerignore",
    ".kamal/read_secrets.rb",
    ".kamal/secrets",
    "Dockerfile",
    "bin/boot-restore",
    "bin/docker-entrypoint",
    "bin/one-writer",
    "bin/restore",
    "config/deploy.yml",
    "config/environments/production.rb",
    "config/litestream.yml",
    "docs/DEPLOYMENT.md",
}
# Where the backups go is said in these; no other file knows the provider.
KNOW_THE_PROVIDER = {".copier-answers.yml", "config/litestream.yml", "docs/DEPLOYMENT.md"}


def answers(provider: str, series: str, registry: str) -> dict[str, Any]:
    given = {
        "storage_provider": provider,
        "litestream_version": series,
        "registry_server": registry,
    }
    if provider in REGIONS:
        given["region"] = REGIONS[provider]
    if provider in ENDPOINTS:
        given["endpoint"] = ENDPOINTS[provider]
    if registry == "ghcr.io":
        given["registry_username"] = "jane"
    return given


def load(folder: Path, file: str) -> Any:
    return yaml.safe_load((folder / file).read_text("utf-8"))


def files(folder: Path) -> dict[str, str]:
    found = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in found}


def run(program: str | Path | None, *arguments: str | Path, cwd: Path) -> str:
    """Run a real program; fail with its words where it does."""
    found = programs.find(program) if isinstance(program, str) else program
    assert found, f"{program} is not on this machine"
    result = subprocess.run(
        [found, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def rendered(rendered: Callable[..., Path]) -> Callable[..., Path]:
    """Return the folder of a combination, rendered once, without hooks. Not to be changed."""

    def combination(
        provider: str = "digitalocean",
        series: str = "0.5",
        registry: str = REGISTRIES[0],
        **others: Any,
    ) -> Path:
        return rendered(**answers(provider, series, registry) | others)

    return combination


# --- Every provider -------------------------------------------------------------------------------


@requires("litestream-0.5", "litestream-0.3")
@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize(
    ("provider", "registry"), [*zip(PROVIDERS, cycle(REGISTRIES), strict=False)]
)
def test_every_provider(
    rendered: Callable[..., Path], provider: str, series: str, registry: str
) -> None:
    folder = rendered(provider, series, registry)
    found = files(folder)
    assert set(found) == WRITTEN
    for name, text in found.items():
        assert not re.search(r"{{|{%|%}|{#", text), f"{name} has unrendered Jinja"
        assert "<built-in" not in text, f"{name} has something of Python's"
        assert text.endswith("\n"), f"{name} has no final newline"
        assert "\n\n\n" not in text, f"{name} has two empty lines"
        assert not re.search(r"[ \t]+$", text, re.M), f"{name} has spaces at the end of a line"

    # The other programs need to see one provider only (test_the_real_programs_accept).
    reference = files(rendered("digitalocean", series, registry))
    differ = {name for name in found if found[name] != reference[name]}
    assert differ <= KNOW_THE_PROVIDER

    listed = run(
        programs.litestream(series), "databases", "-config", "config/litestream.yml", cwd=folder
    )
    assert [line.split() for line in listed.splitlines()[1:]] == [
        ["/rails/storage/production.sqlite3", "s3"],
        ["/rails/storage/production_queue.sqlite3", "s3"],
    ]

    for database in load(folder, "config/litestream.yml")["dbs"]:
        replica = database["replica"] if series == "0.5" else database["replicas"][0]
        preset = PROVIDERS[provider]
        endpoint = preset.get("endpoint", ENDPOINTS.get(provider, ""))
        region = preset.get("region") or REGIONS[provider]
        endpoint = endpoint.replace("REGION", region)
        own = preset.get("replica", {}).get(series, {})
        keep = (
            {"retention", "snapshot-interval", "retention-check-interval", "sync-interval"}
            if series == "0.3"
            else set()
        )
        assert {key: value for key, value in replica.items() if key not in keep} == {
            "type": "s3",
            "bucket": "notes-backups",
            "path": "notes/" + database["path"].removeprefix("/rails/storage/"),
            "region": region,
            **({"endpoint": endpoint} if endpoint else {}),
            **own,
        }


@requires("kamal")
@pytest.mark.parametrize("registry", REGISTRIES)
@pytest.mark.parametrize("series", SERIES)
def test_kamal_accepts_deploy_yml(
    rendered: Callable[..., Path], series: str, registry: str
) -> None:
    folder = rendered("digitalocean", series, registry)
    seen = yaml.unsafe_load(
        re.sub(
            r"^(\s*-?\s*):", r"\1", run("kamal", "config", "--version", "1", cwd=folder), flags=re.M
        )
    )
    repository = "localhost:5555/notes" if registry == REGISTRIES[0] else "ghcr.io/jane/notes"
    assert seen["hosts"] == ["203.0.113.7"]
    assert seen["repository"] == repository
    assert seen["volume_args"] == ["--volume", "notes_storage:/rails/storage"]
    assert set(seen["accessories"]) == {"litestream"}


@requires("kamal")
@pytest.mark.parametrize(
    "unusual",
    [
        {"server_ip": "2001:db8::1", "ssh_user": "deploy", "arch": "arm64"},
        {
            "server_ip": "server.example.com",
            "app_name": "37signals",
            "registry_server": "docker.io",
            "registry_username": "123",
        },
    ],
    ids=["IPv6", "Docker Hub"],
)
def test_kamal_accepts_unusual_answers(
    rendered: Callable[..., Path], unusual: dict[str, Any]
) -> None:
    folder = rendered(**unusual)
    run("kamal", "config", "--version", "1", cwd=folder)
    assert load(folder, "config/deploy.yml")["servers"] == {
        "web": [unusual.get("server_ip", "203.0.113.7")]
    }


@requires("hadolint")
@pytest.mark.parametrize("ruby", ["3.4.7", "3.5.0-preview1"])
@pytest.mark.parametrize("series", SERIES)
def test_hadolint_accepts_the_dockerfile(
    rendered: Callable[..., Path], series: str, ruby: str
) -> None:
    folder = rendered(series=series, ruby_version=ruby)
    # "info" is about style: the generator of Rails has these RUN lines too.
    run("hadolint", "--failure-threshold", "warning", "Dockerfile", cwd=folder)


@requires("shellcheck", "ruby")
@pytest.mark.parametrize(
    "databases",
    [DEFAULT_DATABASES, {"primary": "storage/db/main-1.db"}],
    ids=["default", "one"],
)
@pytest.mark.parametrize("series", SERIES)
def test_scripts_are_sound(
    rendered: Callable[..., Path], series: str, databases: dict[str, str]
) -> None:
    for registry in REGISTRIES:
        folder = rendered(series=series, registry=registry, databases=databases)
        for script in (
            "bin/boot-restore",
            "bin/docker-entrypoint",
            "bin/one-writer",
            "bin/restore",
        ):
            run("bash", "-n", script, cwd=folder)
            run("shellcheck", script, cwd=folder)
            assert os.access(folder / script, os.X_OK)
        # Alpine has no bash.
        assert (folder / "bin/boot-restore").read_text("utf-8").startswith("#!/bin/sh\n")
        for source in (".kamal/read_secrets.rb", "config/environments/production.rb"):
            assert run("ruby", "-wc", source, cwd=folder) == "Syntax OK\n"


def test_answers_in_another_order_render_the_same(rendered: Callable[..., Path]) -> None:
    backwards = dict(reversed(DEFAULT_DATABASES.items()))
    one, other = files(rendered()), files(rendered(databases=backwards))
    assert {name for name in one if one[name] != other[name]} <= {".copier-answers.yml"}


# --- Step by step ---------------------------------------------------------------------------------


def test_12_1_the_image(rendered: Callable[..., Path]) -> None:
    dockerfile = (rendered(ruby_version="3.4.5") / "Dockerfile").read_text("utf-8")
    joined = re.sub(r"\\\n\s*(#.*\n\s*)?", " ", dockerfile)
    base, build, final = re.split(r"^FROM ", joined, flags=re.M)[1:]
    assert "ARG RUBY_VERSION=3.4.5\n" in joined
    assert base.startswith("docker.io/library/ruby:$RUBY_VERSION-slim AS base")
    assert re.search(r"apt-get install .* libjemalloc2 libvips sqlite3", base)
    assert '"/usr/lib/$(uname -m)-linux-gnu/libjemalloc.so.2" /usr/local/lib/libjemalloc.so' in base
    for setting in (
        'RAILS_ENV="production"',
        'BUNDLE_DEPLOYMENT="1"',
        'BUNDLE_WITHOUT="development:test"',
        'LD_PRELOAD="/usr/local/lib/libjemalloc.so"',
    ):
        assert setting in base
    assert build.startswith("base AS build")
    assert "build-essential" in build
    assert "build-essential" not in final
    # A volume takes the owner of the folder it is first mounted on.
    assert re.search(r"RUN mkdir -p .*\bstorage\b", build)
    assert "bundle exec bootsnap precompile -j 1 app/ lib/" in build
    assert "SECRET_KEY_BASE_DUMMY=1 ./bin/rails assets:precompile" in build
    # This line is put into Dockerfiles of others as it stands.
    pin = VERSIONS["litestream"]["0.5"]
    assert final.startswith(
        "base\n\n# Brings the databases back on an empty server: bin/boot-restore runs it.\n"
        f"COPY --from=docker.io/litestream/litestream:{pin} /usr/local/bin/litestream "
        "/usr/local/bin/litestream\n"
    )
    assert "groupadd --system --gid 1000 rails" in final
    assert "useradd rails --uid 1000 --gid 1000" in final
    assert "COPY --chown=rails:rails --from=build /rails /rails" in final
    assert final.index("USER 1000:1000") < final.index("ENTRYPOINT")
    assert 'ENTRYPOINT ["/rails/bin/docker-entrypoint"]' in final
    assert final.rstrip().endswith('EXPOSE 80\nCMD ["./bin/thrust", "./bin/rails", "server"]')


@pytest.mark.parametrize("series", SERIES)
def test_12_3_deploy_yml(rendered: Callable[..., Path], series: str) -> None:
    deploy = load(rendered(series=series), "config/deploy.yml")
    accessory = deploy.pop("accessories")["litestream"]
    aliases = deploy.pop("aliases")
    # Kamal's own 30 seconds are too short for a start that restores.
    assert deploy.pop("deploy_timeout") > 60
    assert deploy.pop("minimum_version") == VERSIONS["kamal"]["local_registry"]
    assert deploy == {
        "service": "notes",
        "image": "notes",
        "servers": {"web": ["203.0.113.7"]},
        "proxy": {"ssl": True, "host": "notes.example.com"},
        "registry": {"server": "localhost:5555"},
        "env": {
            "secret": [
                "RAILS_MASTER_KEY",
                "LITESTREAM_ACCESS_KEY_ID",
                "LITESTREAM_SECRET_ACCESS_KEY",
            ],
            "clear": {"SOLID_QUEUE_IN_PUMA": True, "WEB_CONCURRENCY": 0},
        },
        "volumes": ["notes_storage:/rails/storage"],
        "asset_path": "/rails/public/assets",
        "builder": {"arch": "amd64"},
    }
    assert accessory == {
        "image": f"litestream/litestream:{VERSIONS['litestream'][series]}",
        "roles": ["web"],
        "cmd": "replicate",
        "files": [
            "config/litestream.yml:/etc/litestream.yml:ro",
            "bin/one-writer:/usr/local/bin/one-writer:ro",
        ],
        "volumes": ["notes_storage:/rails/storage"],
        "env": {"secret": ["LITESTREAM_ACCESS_KEY_ID", "LITESTREAM_SECRET_ACCESS_KEY"]},
        "options": accessory["options"],
    }
    assert accessory["options"].pop("user") == "1000:1000"
    assert accessory["options"].pop("entrypoint") == "/usr/local/bin/one-writer"
    assert accessory["options"].pop("stop-timeout") == 35
    assert accessory["options"] == {}
    assert set(aliases) >= {"console", "shell", "logs", "dbc"}


def test_12_3_a_registry_with_an_account_and_another_user(rendered: Callable[..., Path]) -> None:
    deploy = load(rendered(registry="ghcr.io", ssh_user="deploy"), "config/deploy.yml")
    assert deploy["image"] == "jane/notes"
    assert deploy["minimum_version"] == VERSIONS["kamal"]["any"]
    assert deploy["registry"] == {
        "server": "ghcr.io",
        "username": "jane",
        "password": ["KAMAL_REGISTRY_PASSWORD"],
    }
    assert deploy["ssh"] == {"user": "deploy"}


def test_12_4_litestream_0_5(rendered: Callable[..., Path]) -> None:
    folder = rendered(
        retention="168h", heartbeat_url="https://hc-ping.com/x", backup_ephemeral=True
    )
    config = load(folder, "config/litestream.yml")
    assert config["snapshot"] == {"interval": "24h", "retention": "168h"}
    assert config["levels"] == [{"interval": "5m"}, {"interval": "1h"}]
    assert (config["l0-retention"], config["l0-retention-check-interval"]) == ("1h", "24h")
    assert config["heartbeat-url"] == "https://hc-ping.com/x"
    assert [db["path"] for db in config["dbs"]] == [
        f"/rails/storage/production{suffix}.sqlite3"
        for suffix in ("", "_cable", "_cache", "_queue")
    ]


def test_12_4_litestream_0_3(rendered: Callable[..., Path]) -> None:
    config = load(rendered(series="0.3", retention="168h"), "config/litestream.yml")
    assert set(config) == {"dbs"}
    for database in config["dbs"]:
        (replica,) = database["replicas"]
        assert replica["retention"] == "168h"
        assert replica["snapshot-interval"] == "24h"
        assert replica["retention-check-interval"] == "12h"


@pytest.mark.parametrize(
    ("provider", "given", "series", "looked_at"),
    [
        ("digitalocean", {}, "0.5", ["750ms", "3750ms"]),
        ("aws", {}, "0.5", ["750ms", "8750ms"]),
        ("aws", {"queue_loss": "2s"}, "0.5", ["750ms", "750ms"]),
        ("digitalocean", {}, "0.3", [None, "3750ms"]),
        ("aws", {"queue_loss": "1m"}, "0.3", [None, "58750ms"]),
        ("aws", {"queue_loss": "2s"}, "0.3", [None, None]),
    ],
)
def test_12_4_jobs_may_be_lost_by_what_requests_cost_and_nothing_else(
    rendered: Callable[..., Path],
    provider: str,
    given: dict[str, str],
    series: str,
    looked_at: list[str | None],
) -> None:
    file = rendered(provider=provider, series=series, **given) / "config/litestream.yml"
    entries = yaml.safe_load(file.read_text("utf-8"))["dbs"]
    seen = [
        entry.get("monitor-interval") or entry.get("replicas", [{}])[0].get("sync-interval")
        for entry in entries
    ]
    assert seen == looked_at
    loss = given.get("queue_loss", "5s" if provider == "digitalocean" else "10s")
    bounds = [entry.loss_bound for entry in replicated(file.read_text("utf-8"))]
    assert bounds == [2.0, {"2s": 2.0, "5s": 5.0, "10s": 10.0, "1m": 60.0}[loss]]
    assert f"A lost server takes at most {loss} of it" in file.read_text("utf-8")


def test_12_4_what_is_left_out_is_named(rendered: Callable[..., Path]) -> None:
    text = (rendered() / "config/litestream.yml").read_text("utf-8")
    _, left_out = text.split("Left out on purpose")
    assert "#   cable: /rails/storage/production_cable.sqlite3" in left_out
    assert "#   cache: /rails/storage/production_cache.sqlite3" in left_out


@pytest.mark.parametrize("registry", REGISTRIES)
def test_12_5_no_secret_stands_in_the_secrets_file(
    rendered: Callable[..., Path], registry: str
) -> None:
    text = (rendered(registry=registry) / ".kamal/secrets").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    deploy = load(rendered(registry=registry), "config/deploy.yml")
    wanted = [*deploy["env"]["secret"], *deploy["registry"].get("password", [])]
    assert lines == [
        "SECRETS=$(ruby .kamal/read_secrets.rb)",
        *(f"{name}=$(kamal secrets extract {name} $SECRETS)" for name in wanted),
    ]


def test_12_6_the_credentials_step_is_where_the_user_looks(rendered: Callable[..., Path]) -> None:
    for name in ("docs/DEPLOYMENT.md", ".kamal/read_secrets.rb"):
        text = (rendered() / name).read_text("utf-8")
        assert "bin/rails credentials:edit" in text
        assert re.search(r"litestream:\n\W*access_key_id: .*\n\W*secret_access_key: ", text)


def test_12_7_dockerignore(rendered: Callable[..., Path]) -> None:
    text = (rendered() / ".dockerignore").read_text("utf-8")
    for path in (
        ".git/config",
        ".gitignore",
        "log/production.log",
        "tmp/cache/x",
        "storage/production.sqlite3",
        "storage/ab/cd/abcd",
        "node_modules/x/y.js",
        ".kamal/secrets",
        ".env",
        ".env.production",
        "config/master.key",
        "config/production.key",
        "config/credentials/production.key",
        "config/deploy.yml",
        "config/deploy.staging.yml",
    ):
        assert excluded(text, path), path
    for path in (
        "log/.keep",
        "tmp/.keep",
        "tmp/pids/.keep",
        "storage/.keep",
        "Gemfile.lock",
        "app/models/note.rb",
        "config/credentials.yml.enc",
        "config/credentials/production.yml.enc",
        "config/litestream.yml",
        "bin/docker-entrypoint",
        "public/404.html",
        "lib/storage/disk.rb",
        "app/log/x.rb",
    ):
        assert not excluded(text, path), path


SETTINGS_12_8 = (
    "config.assume_ssl = true",
    "config.force_ssl = true",
    "config.active_storage.service = :local",
    "config.active_job.queue_adapter = :solid_queue",
    "config.cache_store = :solid_cache_store",
)


@pytest.mark.parametrize("app_name", ["rails_8_1", "rails_8_0"])
def test_12_8_production_rb(deployable: Callable[..., Path], tmp_path: Path, app_name: str) -> None:
    app = deployable(tmp_path / "notes", app_name)
    text = (app / "config/environments/production.rb").read_text("utf-8")
    lines = [line.strip() for line in text.splitlines()]
    assert all(lines.count(setting) == 1 for setting in SETTINGS_12_8)


def test_12_9_the_verification_list_is_there_as_commands(rendered: Callable[..., Path]) -> None:
    text = (rendered() / "docs/DEPLOYMENT.md").read_text("utf-8")
    for command in (
        "docker build -t notes .",
        "kamal config",
        "kamal secrets print",
        "bin/rails credentials:edit",
        "kamal setup",
        "kamal deploy",
        "kamal app logs",
        "kamal accessory logs litestream",
        "https://notes.example.com",
        "kamal console",
        "kamal logs",
        "litestream restore -config",
        "/var/lib/docker/volumes/notes_storage/_data/",
    ):
        assert command in text


# --- Other volumes, users, places and deployments -------------------------------------------------

ELSEWHERE: dict[str, Any] = {
    "databases": {"primary": "/data/app.sqlite3", "queue": "storage/queue.sqlite3"},
    "volumes": ["/srv/notes:/data/:z", "files:/rails/storage"],
    "container_user": "2000:3000",
    "destinations": {
        "staging": {},
        "qa-2": {
            "databases": {"primary": "db/data/app.sqlite3", "cache": "db/data/cache.sqlite3"},
            "volumes": ["qa:/rails/db/data"],
        },
    },
}


@requires("kamal", "shellcheck", "hadolint")
@pytest.mark.parametrize("series", SERIES)
def test_the_real_programs_accept_all_of_it_elsewhere(
    rendered: Callable[..., Path], series: str
) -> None:
    folder = rendered(series=series, **ELSEWHERE)
    for name, text in files(folder).items():
        assert not re.search(r"{{|{%|%}|{#", text), f"{name} has unrendered Jinja"
        assert text.endswith("\n")
        assert "\n\n\n" not in text
        assert not re.search(r"[ \t]+$", text, re.M)
    run("kamal", "config", "--version", "1", cwd=folder)
    run("hadolint", "--failure-threshold", "warning", "Dockerfile", cwd=folder)
    for script in ("bin/boot-restore", "bin/one-writer", "bin/restore"):
        run("shellcheck", script, cwd=folder)


@requires("litestream-0.5", "litestream-0.3")
@pytest.mark.parametrize("series", SERIES)
def test_each_deployment_has_its_configuration_and_a_folder_in_the_bucket(
    rendered: Callable[..., Path], series: str
) -> None:
    folder = rendered(series=series, **ELSEWHERE)
    expected = {
        "litestream.yml": {
            "/data/app.sqlite3": "notes/data/app.sqlite3",
            "/rails/storage/queue.sqlite3": "notes/queue.sqlite3",
        },
        "litestream.staging.yml": {
            "/data/app.sqlite3": "notes/staging/data/app.sqlite3",
            "/rails/storage/queue.sqlite3": "notes/staging/queue.sqlite3",
        },
        "litestream.qa-2.yml": {
            "/rails/db/data/app.sqlite3": "notes/qa-2/db/data/app.sqlite3",
        },
    }
    assert {path.name for path in (folder / "config").glob("litestream*")} == set(expected)
    for name, places in expected.items():
        listed = run(
            programs.litestream(series), "databases", "-config", f"config/{name}", cwd=folder
        )
        assert [line.split()[0] for line in listed.splitlines()[1:]] == [*places]
        found = load(folder, f"config/{name}")["dbs"]
        replicas = [db["replica"] if series == "0.5" else db["replicas"][0] for db in found]
        assert [replica["path"] for replica in replicas] == [*places.values()]
    text = (folder / "config/litestream.qa-2.yml").read_text("utf-8")
    assert "#   cache: /rails/db/data/cache.sqlite3" in text
    assert "kamal accessory reboot litestream -d qa-2 && kamal deploy -d qa-2" in text


def test_a_heartbeat_is_that_of_the_main_deployment(rendered: Callable[..., Path]) -> None:
    folder = rendered(heartbeat_url="https://hc-ping.com/x", destinations={"staging": {}})
    assert "heartbeat-url" in load(folder, "config/litestream.yml")
    assert "heartbeat-url" not in load(folder, "config/litestream.staging.yml")


def test_volumes_and_user_reach_both_containers(rendered: Callable[..., Path]) -> None:
    deploy = load(rendered(**ELSEWHERE), "config/deploy.yml")
    accessory = deploy["accessories"]["litestream"]
    assert deploy["volumes"] == accessory["volumes"] == ELSEWHERE["volumes"]
    assert accessory["options"]["user"] == "2000:3000"


def test_the_image_has_every_folder_that_a_volume_is_mounted_on(
    rendered: Callable[..., Path],
) -> None:
    text = (rendered(**ELSEWHERE) / "Dockerfile").read_text("utf-8")
    assert "RUN mkdir -p log storage tmp db/data\n" in text
    assert "RUN mkdir -p /data && chown 1000:1000 /data\nUSER 1000:1000\n" in text


def test_the_guide_speaks_of_the_apps_own_volumes_and_files(rendered: Callable[..., Path]) -> None:
    own = ["Dockerfile", "config/deploy.yml"]
    text = (rendered(**ELSEWHERE, own_files=own) / "docs/DEPLOYMENT.md").read_text("utf-8")
    for said in (
        "`/srv/notes/` is `/data`",
        "`/var/lib/docker/volumes/files/_data/` is `/rails/storage`",
        "chown 2000:3000",
        "uid 2000",
        "| `staging` | primary",
        "`notes/qa-2/`",
        "`config/litestream.qa-2.yml`",
        "`Dockerfile`, `config/deploy.yml`",
        "point DNS and `config/deploy.yml` to it",
        "| `bin/boot-restore` |",
    ):
        assert said in text
    for unsaid in ("notes_storage", "1000:1000", "kamal console", "--data server_ip"):
        assert unsaid not in text


@pytest.mark.parametrize("file", OWNABLE)
def test_a_file_that_is_its_owners_stays(template: Path, tmp_path: Path, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("mine\n")
    render(template, tmp_path, skip_tasks=True)
    assert (tmp_path / file).read_text() == "mine\n", "not looked yet"
    render(template, tmp_path, {"own_files": [file]}, skip_tasks=True)
    assert (tmp_path / file).read_text() == "mine\n"
    render(template, tmp_path, {"own_files": []}, skip_tasks=True)
    assert (tmp_path / file).read_text() != "mine\n"


@requires("ruby")
def test_backup_now_is_one_line_for_the_shell_on_the_server(
    rendered: Callable[..., Path], tmp_path: Path
) -> None:
    """Kamal runs an alias so: Shellwords.split, the rest joined, and given to a shell by ssh."""
    alias = load(rendered(**ELSEWHERE), "config/deploy.yml")["aliases"]["backup-now"]
    words = run(
        "ruby", "-rshellwords", "-e", "puts ARGV[0].shellsplit", alias, cwd=tmp_path
    ).splitlines()
    assert words[:4] == ["accessory", "exec", "litestream", "--reuse"]
    (tmp_path / "litestream").write_text('#!/bin/sh\necho "litestream $*"\n')
    (tmp_path / "litestream").chmod(0o755)
    config = rendered(**ELSEWHERE) / "config/litestream.yml"
    on_server = " ".join(words[4:]).replace("/etc/litestream.yml", str(config))
    done = subprocess.run(
        ["sh", "-c", on_server],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        f"litestream sync -wait -socket /tmp/litestream.sock {file}"
        for file in ("/data/app.sqlite3", "/rails/storage/queue.sqlite3")
    ]


# --- Into apps that exist -------------------------------------------------------------------------


@pytest.mark.parametrize("app_name", ["rails_8_1", "rails_8_0"])
def test_an_existing_app_gets_these_files_and_no_other_is_touched(
    deployable: Callable[..., Path], tmp_path: Path, app_name: str
) -> None:
    app = deployable(tmp_path / "notes", app_name)
    git(app, "add", "--all")
    changed = set(git(app, "diff", "--cached", "--name-only").split())
    assert changed <= WRITTEN
    assert changed >= WRITTEN - {"config/environments/production.rb"}
    for script in ("bin/boot-restore", "bin/docker-entrypoint", "bin/one-writer", "bin/restore"):
        assert stat.S_IMODE((app / script).stat().st_mode) & 0o111 == 0o111


def test_what_the_owner_chose_survives(
    template: Path, sample_app: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    app = sample_app("changed_by_hand")
    before = (app / "config/environments/production.rb").read_bytes()
    databases = {
        "primary": "storage/db/atelier.sqlite3",
        "jobs": "storage/db/jobs.sqlite3",
        "cable": "storage/db/cable.sqlite3",
    }
    render(template, app, {"app_name": "atelier", "databases": databases})
    after = (app / "config/environments/production.rb").read_bytes()
    assert b"\n" not in after.replace(b"\r\n", b"")
    for chosen in (
        b'config.active_storage.service = ENV.fetch("STORAGE", "amazon").to_sym\r\n',
        b'config.assume_ssl = ENV["DISABLE_SSL"].blank?\r\n',
        b'config.force_ssl = true unless ENV.key?("DISABLE_SSL")\r\n',
        b"config.cache_store = :redis_cache_store, {\r\n",
    ):
        assert chosen in before
        assert chosen in after
    assert [db["path"] for db in load(app, "config/litestream.yml")["dbs"]] == [
        "/rails/storage/db/atelier.sqlite3",
        "/rails/storage/db/jobs.sqlite3",
    ]
    said = capfd.readouterr().out
    assert "thruster" in said  # the Dockerfile needs it, and this app's Gemfile.lock has none
    assert "left as you wrote it" in said
    assert "Recommended: config.force_ssl = true" in said


def test_a_fresh_copy_through_pytest_copie(template: Path, copie: Any, tmp_path: Path) -> None:
    app = make_app("rails_8_1", tmp_path / "app")
    for name in WRITTEN:  # pytest-copie does not overwrite
        (app / name).unlink(missing_ok=True)
    fresh: Copie = copie(parent_result=Result(project_dir=app), child_tpl=template)
    result = fresh.copy(extra_answers={**ANSWERS, "storage_provider": "aws"})
    assert result.exit_code == 0, result.exception
    assert result.project_dir
    assert {name for name in WRITTEN if (result.project_dir / name).is_file()} == WRITTEN
    assert result.answers["endpoint"] == ""
    assert (result.project_dir / "bin/restore").stat().st_mode & 0o111


def test_copying_twice_changes_nothing(template: Path, sample_app: Callable[[str], Path]) -> None:
    app = sample_app("rails_8_1")
    render(template, app)
    commit(app, "Deployable")
    render(template, app)
    assert git(app, "status", "--short") == ""
