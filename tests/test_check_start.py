"""What runs in the containers: restore, port, jobs and assets, in images of all kinds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kamalstream.check import check_files
from kamalstream.check.finding import Finding
from kamalstream.inspect.adopted import App

from .conftest import APPS

DEPLOY, DOCKERFILE, ENTRYPOINT = "config/deploy.yml", "Dockerfile", "bin/docker-entrypoint"
PUMA, PRODUCTION_RB = "config/puma.rb", "config/environments/production.rb"
PLUGIN = 'plugin :solid_queue if ENV["SOLID_QUEUE_IN_PUMA"]'


@pytest.fixture
def app(fresh: Callable[..., Path]) -> Path:
    folder = fresh()
    solid = ("db/queue_schema.rb", PRODUCTION_RB)
    for file in ("Gemfile.lock", PUMA, "config/application.rb", "config/database.yml", *solid):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(APPS / "rails_8_1" / file, folder / file)
    # Whatever the tests about jobs say otherwise.
    (folder / "bin/jobs").write_text("#!/usr/bin/env ruby\n")
    return folder


def replace(app: Path, file: str, old: str, new: str) -> None:
    text = (app / file).read_text()
    assert old in text, f"{old!r} is not in {file}"
    (app / file).write_text(text.replace(old, new, 1))


def found(app: Path, *ids: str) -> list[Finding]:
    return [one for one in check_files(App(app)) if one.id in ids]


def line(app: Path, finding: Finding) -> str:
    return (app / finding.file).read_text().splitlines()[finding.line - 1].strip()


# --- The restore at the boot ---------------------------------------------------------------------

_RESTORE = ("entrypoint.missing", "entrypoint.not-restored", "entrypoint.bypassed")


@pytest.mark.parametrize(
    "entrypoint",
    [
        '["/rails/bin/boot-restore", "exec"]',
        "/rails/bin/boot-restore exec ./bin/rails server",
        '["/usr/bin/tini", "--", "/rails/bin/docker-entrypoint"]',
        '["bin/docker-entrypoint"]',
    ],
)
def test_every_way_to_start_by_the_restore_is_fine(app: Path, entrypoint: str) -> None:
    replace(
        app, DOCKERFILE, 'ENTRYPOINT ["/rails/bin/docker-entrypoint"]', f"ENTRYPOINT {entrypoint}"
    )
    assert found(app, *_RESTORE) == []


@pytest.mark.parametrize(
    "script",
    [
        '#!/bin/sh\n# /rails/bin/boot-restore "$@" || exit 1\nexec "$@"\n',
        '#!/bin/sh\ncat <<EOF\n/rails/bin/boot-restore "$@" || exit 1\nEOF\nexec "$@"\n',
        '#!/bin/sh\necho /rails/bin/boot-restore || exit 1\nexec "$@"\n',
        '#!/bin/sh\n/rails/bin/boot-restore "$@"\nexec "$@"\n',
    ],
)
def test_what_only_looks_like_a_call_is_none(app: Path, script: str) -> None:
    (app / ENTRYPOINT).write_text(script)
    [finding] = found(app, *_RESTORE)
    assert (finding.id, finding.file) == ("entrypoint.not-restored", ENTRYPOINT)
    assert '/rails/bin/boot-restore "$@" || exit 1' in finding.fix


def test_a_call_in_the_script_of_cmd_is_enough(app: Path) -> None:
    replace(app, DOCKERFILE, 'ENTRYPOINT ["/rails/bin/docker-entrypoint"]\n', "")
    replace(app, DOCKERFILE, 'CMD ["./bin/thrust", "./bin/rails", "server"]', 'CMD ["bin/boot"]')
    (app / "bin/boot").write_text(
        '#!/bin/bash -e\n/rails/bin/boot-restore "$@"\nexec bin/rails s\n'
    )
    assert found(app, *_RESTORE) == []


def test_a_role_that_starts_by_something_else_is_an_error(app: Path) -> None:
    role = '    - "203.0.113.7"\n  job:\n    hosts: ["203.0.113.7"]\n    cmd: bin/jobs\n'
    role += "    options:\n      entrypoint: /bin/sh\n"
    replace(app, DEPLOY, '    - "203.0.113.7"\n', role)
    [finding] = found(app, *_RESTORE)
    assert (finding.id, line(app, finding)) == ("entrypoint.bypassed", "entrypoint: /bin/sh")


def test_alpine_needs_bash_for_a_restore_by_hand(app: Path) -> None:
    (app / DOCKERFILE).write_text(
        "FROM ruby:3.4-alpine\nRUN apk add --no-cache sqlite\nWORKDIR /rails\nCOPY . .\n"
        "COPY --from=litestream/litestream:0.5.17 /usr/local/bin/litestream /usr/local/bin/\n"
        'ENTRYPOINT ["/rails/bin/boot-restore", "exec"]\nCMD ["bin/rails", "server"]\n'
    )
    [finding] = found(app, "dockerfile.programs")
    assert "no bash" in finding.message
    assert "sqlite" not in finding.message
    assert finding.fix.endswith("RUN apk add --no-cache bash")
    replace(app, DOCKERFILE, "add --no-cache sqlite", "add --no-cache $PACKAGES")
    assert found(app, "dockerfile.programs") == [], "what a variable holds is not known"


def test_an_own_image_of_another_release_series_is_an_error(app: Path) -> None:
    replace(app, DOCKERFILE, "litestream/litestream:0.5.", "litestream/litestream:0.3.")
    [finding] = found(app, "dockerfile.litestream")
    assert finding.level == "error"
    assert "COPY --from" in line(app, finding)


# --- Volumes -------------------------------------------------------------------------------------


def test_the_accessory_needs_the_mount_that_is_nearest_to_each_database(app: Path) -> None:
    replace(
        app,
        DEPLOY,
        'volumes:\n  - "notes_storage:/rails/storage"\n',
        'volumes:\n  - "notes_storage:/rails/storage"\n  - "/data/db:/rails/storage/db"\n',
    )
    for file in ("config/litestream.yml", ".copier-answers.yml", "config/database.yml"):
        text = (app / file).read_text()
        (app / file).write_text(text.replace("storage/production.sqlite3", "storage/db/p.sqlite3"))
    [finding] = found(app, "volume.differs", "volume.path", "volume.missing")
    assert (finding.id, line(app, finding)) == (
        "volume.differs",
        '- "notes_storage:/rails/storage"',
    )
    assert "/data/db:/rails/storage/db" in finding.fix
    replace(
        app,
        DEPLOY,
        '      - "notes_storage:/rails/storage"\n',
        '      - "notes_storage:/rails/storage"\n      - "/data/db:/rails/storage/db"\n',
    )
    assert found(app, "volume.differs", "volume.path", "volume.missing") == []


def test_a_folder_of_the_server_has_to_be_made_for_the_app(app: Path) -> None:
    text = (app / DEPLOY).read_text()
    (app / DEPLOY).write_text(text.replace("notes_storage:", "/data/notes:"))
    [finding] = found(app, "volume.folder")
    assert finding.level == "note"
    assert finding.fix == 'kamal server exec "mkdir -p /data/notes && chown 1000:1000 /data/notes"'


# --- config/deploy.yml by itself -----------------------------------------------------------------


def test_a_local_registry_with_a_remote_builder_needs_a_newer_kamal(app: Path) -> None:
    replace(app, DEPLOY, "  arch: amd64\n", "  arch: amd64\n  remote: ssh://192.0.2.1\n")
    [finding] = found(app, "registry.remote-builder")
    assert "2.12" in finding.message
    (app / DEPLOY).write_text(f'{(app / DEPLOY).read_text()}minimum_version: "2.12.0"\n')
    assert found(app, "registry.remote-builder") == []


# --- The port ------------------------------------------------------------------------------------

SERVER = 'CMD ["./bin/rails", "server"]'


@pytest.mark.parametrize(
    ("cmd", "puma", "env", "port"),
    [
        ('CMD ["./bin/thrust", "./bin/rails", "server"]', None, "", None),
        ('CMD ["./bin/thrust", "./bin/rails", "server"]', "port 3000", "", None),
        ('CMD ["./bin/thrust", "./bin/rails", "server"]', None, "HTTP_PORT: 8080", 8080),
        (SERVER, None, "", 3000),
        (SERVER, 'port ENV.fetch("PORT") { 4000 }', "", 4000),
        (SERVER, 'port ENV.fetch("PORT", 3000)', "PORT: 5000", 5000),
        (SERVER, 'port(ENV["PORT"] || 3000)', "", 3000),
        (SERVER, 'port ENV.fetch("PORT") { 3000 }', "PORT: 80", None),
        (SERVER, "port 8000", "PORT: 80", 8000),
        (SERVER, 'bind "tcp://0.0.0.0:9292"', "", 9292),
        (SERVER, 'bind "unix:///tmp/puma.sock"', "", None),
        (SERVER, "port ENV['X'] ? 1 : 2", "", None),
        ('CMD ["./bin/rails", "server", "-p", "80"]', None, "", None),
        ("CMD bundle exec puma -C config/puma.rb", None, "", 3000),
        ("CMD bundle exec puma -C config/other.rb", None, "", None),
        ('CMD ["bin/boot"]', None, "", None),
    ],
)
def test_a_port_that_nobody_listens_on_is_an_error(
    app: Path, cmd: str, puma: str | None, env: str, port: int | None
) -> None:
    replace(app, DOCKERFILE, 'CMD ["./bin/thrust", "./bin/rails", "server"]', cmd)
    if puma:
        (app / PUMA).write_text(f"threads 3, 3\n{puma}\n{PLUGIN}\n")
    if env:
        replace(app, DEPLOY, "  clear:\n", f"  clear:\n    {env}\n")
    findings = found(app, "proxy.port")
    assert [one.fix for one in findings] == ([f"proxy:\n  app_port: {port}"] if port else [])
    if port:
        replace(app, DEPLOY, "proxy:\n", f"proxy:\n  app_port: {port}\n")
        assert found(app, "proxy.port") == []


def test_the_server_behind_thruster_may_be_asked_by_itself(app: Path) -> None:
    replace(app, DEPLOY, "proxy:\n", "proxy:\n  app_port: 3000\n")
    assert found(app, "proxy.port") == []


# --- The jobs ------------------------------------------------------------------------------------

_QUEUE = ("queue.nobody", "queue.twice")
_ON = "SOLID_QUEUE_IN_PUMA: true"


def test_jobs_in_puma_alone_are_fine(app: Path) -> None:
    assert PLUGIN in (app / PUMA).read_text()
    assert _ON in (app / DEPLOY).read_text()
    assert found(app, *_QUEUE) == []


def test_jobs_that_no_plugin_runs_are_said(app: Path) -> None:
    replace(app, PUMA, PLUGIN, "")
    [finding] = found(app, *_QUEUE)
    assert (finding.id, line(app, finding)) == ("queue.nobody", _ON)
    assert PLUGIN in finding.fix


def test_jobs_that_nothing_runs_are_said(app: Path) -> None:
    replace(app, DEPLOY, _ON, "WEB: 1")
    [finding] = found(app, *_QUEUE)
    assert finding.id == "queue.nobody"
    assert _ON in finding.fix
    (app / "bin/boot").write_text("#!/bin/sh\nbin/jobs &\nexec bin/rails server\n")
    assert found(app, *_QUEUE) == [], "something may start it"


def test_jobs_in_puma_and_in_a_role_are_said(app: Path) -> None:
    role = '    - "203.0.113.7"\n  job:\n    hosts: ["203.0.113.7"]\n    cmd: bin/jobs\n'
    replace(app, DEPLOY, '    - "203.0.113.7"\n', role)
    [finding] = found(app, *_QUEUE)
    assert (finding.id, line(app, finding)) == ("queue.twice", "cmd: bin/jobs")
    replace(app, DEPLOY, _ON, "WEB: 1")
    assert found(app, *_QUEUE) == []


def test_jobs_in_puma_and_in_the_script_of_cmd_are_said(app: Path) -> None:
    replace(app, DOCKERFILE, 'CMD ["./bin/thrust", "./bin/rails", "server"]', 'CMD ["bin/boot"]')
    (app / "bin/boot").write_text("#!/bin/sh\nexec foreman start\n")
    assert found(app, *_QUEUE) == []
    (app / "Procfile").write_text("web: bin/rails s\njobs: bundle exec rake solid_queue:start\n")
    [finding] = found(app, *_QUEUE)
    assert (finding.id, finding.file, finding.line) == ("queue.twice", "Procfile", 2)


def test_a_queue_that_is_not_installed_stops_puma(app: Path) -> None:
    (app / "db/queue_schema.rb").unlink()
    [finding] = found(app, *_QUEUE, "queue.fails")
    assert (finding.id, line(app, finding)) == ("queue.fails", _ON)
    assert "not installed" in finding.message
    replace(app, DEPLOY, _ON, "WEB: 1")
    assert found(app, "queue.fails") == []


def test_a_queue_without_active_job_stops_puma(app: Path) -> None:
    replace(app, "config/application.rb", "rails/all", "active_record/railtie")
    [finding] = found(app, *_QUEUE, "queue.fails")
    assert finding.id == "queue.fails"
    assert "no Active Job" in finding.message


# --- The assets ----------------------------------------------------------------------------------


def test_assets_that_the_image_does_not_have_fail_the_deploy(app: Path) -> None:
    assert found(app, "assets.path") == []
    lock = (app / "Gemfile.lock").read_text()
    builders = ("propshaft", "importmap-rails", "tailwindcss-rails")
    kept = [one for one in lock.splitlines() if not one.strip().startswith(builders)]
    (app / "Gemfile.lock").write_text("\n".join(kept) + "\n")
    [finding] = found(app, "assets.path")
    assert "nothing in Gemfile.lock builds assets" in finding.message
    assert line(app, finding) == "asset_path: /rails/public/assets"
    replace(app, ".dockerignore", "/public/assets", "")
    (app / "public/assets").mkdir(parents=True)
    assert found(app, "assets.path") == [], "they are in the repository"


def test_assets_of_another_folder_than_the_images_are_not_there(app: Path) -> None:
    replace(app, DOCKERFILE, "WORKDIR /rails", "WORKDIR /app")
    [finding] = found(app, "assets.path")
    assert "Rails lives in /app" in finding.message


def test_a_volume_where_the_assets_are_is_refused_by_docker(app: Path) -> None:
    replace(app, DEPLOY, "volumes:\n", "volumes:\n  - assets:/rails/public/assets/\n")
    [finding] = found(app, "assets.path")
    assert "Duplicate mount point" in finding.message
