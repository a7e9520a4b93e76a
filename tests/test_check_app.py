"""What can be wrong around a deployment: hosts, uploads, servers, a second replicator, SQLite."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from kamalstream.check import check_files
from kamalstream.check.finding import Finding
from kamalstream.inspect.adopted import App
from kamalstream.inspect.image.dockerignore import excluded

PRODUCTION_RB, DEPLOY = "config/environments/production.rb", "config/deploy.yml"


@pytest.fixture
def app(deployable: Callable[..., Path], tmp_path: Path) -> Path:
    return deployable(tmp_path / "notes")


def found(app: Path, finding: str) -> list[Finding]:
    return [one for one in check_files(App(app)) if one.id == finding]


def add(app: Path, file: str, lines: str, before: str = "") -> None:
    text = (app / file).read_text() if (app / file).exists() else ""
    at = text.rindex(before) if before else len(text)
    (app / file).parent.mkdir(parents=True, exist_ok=True)
    (app / file).write_text(text[:at] + lines + text[at:])


# --- config.hosts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        'config.hosts << "notes.example.com"',
        'config.hosts = [ "notes.example.com" ]',
        "config.hosts = [",
        'config.hosts.push("notes.example.com")',
        "config.hosts += %w[notes.example.com]",
    ],
)
def test_hosts_that_shut_out_the_health_check_are_an_error(app: Path, line: str) -> None:
    add(app, PRODUCTION_RB, f"  {line}\n", before="end")
    [finding] = found(app, "hosts.health-check")
    assert finding.level == "error"
    assert finding.file == PRODUCTION_RB
    assert line in (app / PRODUCTION_RB).read_text().splitlines()[finding.line - 1]
    assert "/up" in finding.fix


@pytest.mark.parametrize(
    "lines",
    [
        "  # config.hosts = [\n",
        "  config.hosts = nil\n",
        "  config.hosts.clear\n",
        '  config.hosts << ENV["APP_HOST"] if ENV["APP_HOST"]\n',
        '  if ENV["APP_HOST"]\n    config.hosts << ENV["APP_HOST"]\n  end\n',
        '  config.hosts << IPAddr.new("0.0.0.0/0")\n',
        "  config.hosts << /.*/\n",
        '  config.hosts << "a.example.com"\n'
        '  config.host_authorization = { exclude: ->(request) { request.path == "/up" } }\n',
    ],
)
def test_hosts_that_let_it_pass_are_fine(app: Path, lines: str) -> None:
    add(app, PRODUCTION_RB, lines, before="end")
    assert found(app, "hosts.health-check") == []


@pytest.mark.parametrize(
    ("hosts", "shut_out"),
    [
        ('config.hosts << "notes.example.com"', False),
        ('config.hosts << ".example.com"', False),
        ("config.hosts = %w[www.example.com notes.example.com]", False),
        ('config.hosts = [\n    "www.example.com",\n    /.*\\.example\\.com/\n  ]', False),
        ('config.hosts << ENV.fetch("APP_HOST")', False),
        ('config.hosts << "www.example.com"\n  config.hosts << host if host', False),
        ('config.hosts << "www.example.com"', True),
        ('config.hosts = [\n    "www.example.com",\n    /.*\\.example\\.org/\n  ]', True),
    ],
)
def test_a_domain_that_the_hosts_do_not_let_pass_is_an_error(
    app: Path, hosts: str, shut_out: bool
) -> None:
    exclude = 'config.host_authorization = { exclude: ->(request) { request.path == "/up" } }'
    add(app, PRODUCTION_RB, f"  {hosts}\n  {exclude}\n", before="end")
    assert found(app, "hosts.health-check") == []
    findings = found(app, "hosts.proxy")
    assert bool(findings) == shut_out
    if shut_out:
        assert "notes.example.com" in findings[0].message
        assert findings[0].fix == 'config.hosts << "notes.example.com"'


# --- Uploads -----------------------------------------------------------------------------------


@pytest.fixture
def attached(app: Path) -> Path:
    add(app, "db/migrate/1_create_active_storage_tables.active_storage.rb", "# tables\n")
    (app / "db/schema.rb").write_text('create_table "active_storage_blobs"\n')
    return app


def uploads(app: Path) -> list[Finding]:
    return [one for one in check_files(App(app)) if one.id.startswith("uploads.")]


def stored(app: Path, service: str) -> None:
    (app / "config/storage.yml").write_text(f"local:\n  {service}\n")


def answer(app: Path, **given: object) -> None:
    answers = app / ".copier-answers.yml"
    answers.write_text(yaml.safe_dump({**yaml.safe_load(answers.read_text()), **given}))


def test_uploads_on_the_volume_are_said_not_to_be_backed_up(app: Path) -> None:
    assert uploads(app) == []


def test_those_of_an_app_with_attachments_are(attached: Path) -> None:
    [finding] = uploads(attached)
    assert (finding.id, finding.level) == ("uploads.not-backed-up", "warning")
    assert "lost with the server" in finding.message
    assert finding.fix.startswith("kamalstream update --data uploads=true\n")

    stored(attached, "service: S3\n  bucket: <%= ENV['BUCKET'] %>\n  region: eu")
    assert uploads(attached) == []
    answer(attached, uploads=True, uploads_root="/rails/storage")
    [finding] = uploads(attached)
    assert (finding.id, finding.level) == ("uploads.elsewhere", "warning")


def test_uploads_outside_the_volumes_go_with_every_deploy(attached: Path) -> None:
    stored(attached, "service: Disk\n  root: <%= Rails.root.join('public/files') %>")
    [finding] = uploads(attached)
    assert finding.id == "uploads.no-volume"
    assert "notes_uploads:/rails/public/files" in finding.fix
    assert (
        "--data uploads_root=/rails/public/files --data "
        "uploads_volume=notes_uploads:/rails/public/files" in finding.fix
    )


@pytest.mark.parametrize(
    "service", ["service: <%= ENV['KIND'] %>", "service: Disk\n  root: <%= ENV['FILES'] %>"]
)
def test_where_uploads_are_cannot_be_read_is_said(attached: Path, service: str) -> None:
    stored(attached, service)
    assert [one.id for one in uploads(attached)] == ["uploads.unknown"]
    answer(attached, uploads=True, uploads_root="/rails/storage")
    assert [one.id for one in uploads(attached)] == ["uploads.accessory"]


def test_a_service_that_code_chooses_is_said(attached: Path) -> None:
    text = (attached / PRODUCTION_RB).read_text()
    chosen = 'config.active_storage.service = ENV.fetch("STORAGE", "amazon").to_sym'
    (attached / PRODUCTION_RB).write_text(
        re.sub(r"config\.active_storage\.service = :local", chosen, text)
    )
    [finding] = uploads(attached)
    assert (finding.id, finding.file) == ("uploads.unknown", PRODUCTION_RB)
    assert "code decides it" in finding.message


def test_an_accessory_that_does_not_see_the_uploads_is_an_error(
    deployable: Callable[..., Path], attached: Path
) -> None:
    answer(attached, uploads=True, uploads_root="/rails/storage")
    assert [one.id for one in uploads(attached)] == ["uploads.accessory"]
    accessory = (
        "  uploads:\n    image: rclone/rclone:1.75.1\n    roles: [web]\n    files:\n"
        "      - config/rclone.conf:/etc/rclone.conf:ro\n"
        "    volumes:\n      - notes_storage:/rails/storage\n"
        '    options:\n      user: "1000:1000"\n'
    )
    add(attached, DEPLOY, accessory, before="# kamal console")
    assert uploads(attached) == []
    text = (attached / DEPLOY).read_text()
    begin = text.index("  uploads:\n")
    for new, expected in (
        (accessory.replace("notes_storage:", "other_storage:"), ["uploads.differs"]),
        (accessory.replace("rails/storage\n", "rails/storage:ro\n"), ["uploads.read-only"]),
        (accessory.replace("config/rclone.conf", "config/x.conf"), ["uploads.config"]),
        (accessory.replace("1000:1000", "0:0"), []),
    ):
        (attached / DEPLOY).write_text(text[:begin] + new + text[begin + len(accessory) :])
        assert [one.id for one in uploads(attached)] == expected
    assert [one.line for one in found(attached, "accessory.user")] != []
    (attached / DEPLOY).write_text(text)
    stored(attached, "service: Disk\n  root: /rails/storage/files")
    [finding] = uploads(attached)
    assert finding.id == "uploads.root"
    assert "--data uploads_root=/rails/storage/files" in finding.fix


# --- Servers -----------------------------------------------------------------------------------


def test_more_than_one_server_is_an_error(app: Path) -> None:
    text = (app / DEPLOY).read_text()
    (app / DEPLOY).write_text(
        text.replace('    - "203.0.113.7"\n', '    - "203.0.113.7"\n    - "203.0.113.8"\n', 1)
    )
    [finding] = found(app, "servers.several")
    assert "203.0.113.7, 203.0.113.8" in finding.message
    assert (app / DEPLOY).read_text().splitlines()[finding.line - 1] == "servers:"


def test_a_second_role_on_the_same_server_is_fine(app: Path) -> None:
    text = (app / DEPLOY).read_text()
    role = '    - "203.0.113.7"\n  job:\n    hosts: ["203.0.113.7"]\n    cmd: bin/jobs\n'
    (app / DEPLOY).write_text(text.replace('    - "203.0.113.7"\n', role, 1))
    assert found(app, "servers.several") == []


@pytest.mark.parametrize(
    ("staging", "collides"),
    [
        (
            "proxy:\n  host: staging.example.com\n",
            ["accessory notes-litestream", "volume notes_storage"],
        ),
        ("service: notes-staging\n", ["volume notes_storage"]),
        ('service: notes-staging\nvolumes:\n  - "staging_storage:/rails/storage"\n', []),
        ('servers:\n  web:\n    - "203.0.113.9"\n', []),
        (
            "accessories:\n  litestream:\n    service: notes-litestream-staging\n",
            ["volume notes_storage"],
        ),
    ],
)
def test_staging_and_production_on_one_server_collide(
    app: Path, staging: str, collides: list[str]
) -> None:
    (app / "config/deploy.staging.yml").write_text(staging)
    findings = found(app, "servers.collide")
    assert bool(findings) == bool(collides)
    for finding in findings:
        assert finding.file == "config/deploy.staging.yml"
        assert all(what in finding.message for what in collides)


def test_an_accessory_on_another_server_than_the_app_is_an_error(app: Path) -> None:
    text = (app / DEPLOY).read_text()
    (app / DEPLOY).write_text(text.replace("roles:\n      - web", 'host: "203.0.113.9"'))
    [finding] = found(app, "servers.accessory")
    assert finding.file == DEPLOY
    assert (app / DEPLOY).read_text().splitlines()[finding.line - 1] == '    host: "203.0.113.9"'
    assert "sees none of the databases" in finding.message


def test_a_destination_called_production_does_not_collide_with_what_it_is_made_from(
    app: Path,
) -> None:
    (app / "config/deploy.production.yml").write_text("proxy:\n  host: www.example.com\n")
    assert found(app, "servers.collide") == []


# --- A second replicator ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("config/puma.rb", 'plugin :litestream if ENV.fetch("RAILS_ENV", "") == "production"'),
        ("Procfile", "backup: bin/rails litestream:replicate"),
        ("bin/docker-entrypoint", "litestream replicate -config config/litestream.yml &"),
        ("bin/docker-entrypoint", 'exec litestream replicate -exec "$*"'),
        ("Dockerfile", 'CMD ["litestream", "replicate", "-exec", "bin/rails server"]'),
    ],
)
def test_a_second_replicator_is_an_error_with_its_line(app: Path, file: str, line: str) -> None:
    add(app, file, f"{line}\n")
    [finding] = found(app, "replicators.two")
    assert (finding.level, finding.file) == ("error", file)
    assert (app / file).read_text().splitlines()[finding.line - 1] == line


def test_a_second_replicator_is_found_by_its_image_and_not_by_its_name(app: Path) -> None:
    text = (app / DEPLOY).read_text()
    backup = "  backup:\n    image: litestream/litestream:0.3.13\n    roles: [web]\n"
    backup += '    cmd: replicate\n    volumes: ["notes_storage:/data"]\n'
    (app / DEPLOY).write_text(text.replace("accessories:\n", f"accessories:\n{backup}", 1))
    [finding] = found(app, "replicators.two")
    assert (app / DEPLOY).read_text().splitlines()[finding.line - 1] == "  backup:"
    assert "kamal accessory remove backup" in finding.fix
    assert "stays in the bucket" in finding.fix
    assert "0.5.7 and later read what 0.3 wrote" in finding.fix
    (app / DEPLOY).write_text((app / DEPLOY).read_text().replace("notes_storage:/data", "x:/data"))
    assert found(app, "replicators.two") == [], "it replicates something else"


def test_a_role_that_replicates_is_found(app: Path) -> None:
    text = (app / DEPLOY).read_text()
    role = '    - "203.0.113.7"\n  backup:\n    hosts: ["203.0.113.7"]\n'
    role += "    cmd: bin/rails litestream:replicate\n"
    (app / DEPLOY).write_text(text.replace('    - "203.0.113.7"\n', role, 1))
    [finding] = found(app, "replicators.two")
    assert "cmd:" in (app / DEPLOY).read_text().splitlines()[finding.line - 1]


def test_the_gem_alone_is_a_note(app: Path) -> None:
    lock = (app / "Gemfile.lock").read_text()
    (app / "Gemfile.lock").write_text(
        lock.replace("  specs:\n", "  specs:\n    litestream (0.14.0)\n", 1)
    )
    assert [finding.level for finding in found(app, "replicators.gem")] == ["note"]
    (app / "Procfile.dev").write_text("backup: bin/rails litestream:replicate\n")
    assert found(app, "replicators.two") == []


# --- SQLite's WAL-reset bug ---------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.7.3", "2.9.1", "2.9.2.rc1"])
def test_a_gem_with_the_wal_reset_bug_is_a_warning_with_its_remedy(app: Path, version: str) -> None:
    lock = (app / "Gemfile.lock").read_text()
    older = re.sub(r"^    sqlite3 \([\d.]+", f"    sqlite3 ({version}", lock, flags=re.MULTILINE)
    (app / "Gemfile.lock").write_text(older)
    [finding] = found(app, "sqlite.wal-reset")
    assert (finding.level, finding.file) == ("warning", "Gemfile.lock")
    assert f"sqlite3 ({version}" in older.splitlines()[finding.line - 1]
    assert "bundle update --conservative sqlite3" in finding.fix


@pytest.mark.parametrize("version", ["2.9.2", "2.10.2", "3.0.0", "by.hand"])
def test_a_gem_that_has_it_mended_is_nothing_to_say(app: Path, version: str) -> None:
    lock = (app / "Gemfile.lock").read_text()
    (app / "Gemfile.lock").write_text(
        re.sub(r"^    sqlite3 \([\d.]+", f"    sqlite3 ({version}", lock, flags=re.MULTILINE)
    )
    assert found(app, "sqlite.wal-reset") == []


def test_litestream_0_3_has_the_wal_reset_bug(
    deployable: Callable[..., Path], tmp_path: Path
) -> None:
    app = deployable(tmp_path / "notes", litestream_version="0.3")
    [finding] = found(app, "sqlite.wal-reset")
    assert (finding.level, finding.file) == ("warning", "config/litestream.yml")
    assert "--data litestream_version=0.5" in finding.fix


# --- .dockerignore, as BuildKit reads it ----------------------------------------------------------


@pytest.mark.parametrize(
    ("ignore", "path", "out"),
    [
        # Two stars with nothing special after them: any path that ends so.
        ("**key", "config/master.key", True),
        ("**key", "monkey", True),
        # With something special after them: whole folders only.
        ("**k?y", "monkey", False),
        ("**k?y", "a/b/key", True),
        ("log**", "logs/production.log", True),
        ("log/**", "log", False),
        # A folder that is taken back does not bring back what a pattern left out in it.
        ("config/master.key\n!config", "config/master.key", True),
        ("config\n!config", "config/master.key", False),
        ("*\n!config/*", "config/master.key", False),
        ("!", "config/master.key", False),
        ("/", "config/master.key", False),
        (".", "config/master.key", False),
        ("[", "config/master.key", False),
        ("config/master.key/", "config/master.key", True),
        ("//config", "config/master.key", True),
        ("! config/master.key", "config/master.key", False),
        (" # config", "config/master.key", False),
        ("a.b", "axb", False),
        ("a(b)+", "a(b)+", True),
        ("a[(b]*", "ab.txt", True),
    ],
)
def test_patterns_mean_what_they_mean_to_docker(ignore: str, path: str, out: bool) -> None:
    assert excluded(ignore, path) is out
