"""Each check finds what it is for, in an app that is otherwise fine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from kamalstream import facts, programs
from kamalstream.check import check_files
from kamalstream.check.finding import Finding, as_text, ok
from kamalstream.check.real_programs import check_with_programs
from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import App
from kamalstream.inspect.image.dockerignore import excluded

from . import warm
from .conftest import requires


@pytest.fixture
def app(deployable: Callable[..., Path], tmp_path: Path) -> Path:
    folder = deployable(tmp_path / "notes")
    shutil.rmtree(folder / ".git")
    return folder


def change(app: Path, file: str, old: str, new: str) -> None:
    text = (app / file).read_text()
    changed = re.sub(old, new, text, count=1, flags=re.MULTILINE)
    assert changed != text, f"{old!r} is not in {file}"
    (app / file).write_text(changed)


def errors(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level != "note"]


def test_a_fresh_rendering_has_nothing_to_mend(app: Path) -> None:
    findings = check_files(App(app))
    assert errors(findings) == []
    assert {finding.id for finding in findings} == {"databases.left-out"}


LITESTREAM, DEPLOY = "config/litestream.yml", "config/deploy.yml"
ENTRYPOINT, DOCKERFILE = "bin/docker-entrypoint", "Dockerfile"

# What someone does to a file → the check that sees it, and in which file.
MISTAKES = {
    "a renamed database": (
        "databases.unknown",
        "config/database.yml",
        (r"storage/production\.sqlite3", "storage/main.sqlite3"),
    ),
    "a database outside the volume": (
        "databases.unknown",
        "config/database.yml",
        (r"storage/production\.sqlite3", "db/production.sqlite3"),
    ),
    "a database.yml that only Ruby can read": (
        "databases.unreadable",
        "config/database.yml",
        (r"^production:", "<% Tenant.each do |t| %>\nproduction:"),
    ),
    "a path that depends on the environment": (
        "databases.assumed",
        "config/database.yml",
        (r"storage/production\.sqlite3", '<%= ENV.fetch("DB") { "storage/production.sqlite3" } %>'),
    ),
    "a path with a typing error in litestream.yml": (
        "databases.not-replicated",
        LITESTREAM,
        (r"/rails/storage/production\.sqlite3", "/rails/storage/produktion.sqlite3"),
    ),
    "a path that is no answer": (
        "databases.not-opened",
        LITESTREAM,
        (r"/rails/storage/production\.sqlite3", "/rails/storage/produktion.sqlite3"),
    ),
    "a key of Litestream 0.3": (
        "litestream.key",
        LITESTREAM,
        (r"^( +)type: s3", r"\1type: s3\n\1retention: 72h"),
    ),
    "a misspelt key at the top": ("litestream.key", LITESTREAM, (r"^snapshot:", "snapshots:")),
    "days in a duration": (
        "litestream.duration",
        LITESTREAM,
        (r"retention: 720h", "retention: 30d"),
    ),
    "a key of the bucket in the file": (
        "litestream.secret",
        LITESTREAM,
        (r"^( +)type: s3", r"\1type: s3\n\1secret-access-key: abc"),
    ),
    "two databases with one target": (
        "litestream.same-target",
        LITESTREAM,
        (r"notes/production_queue\.sqlite3", "notes/production.sqlite3"),
    ),
    "a database listed twice": (
        "litestream.twice",
        LITESTREAM,
        (r"/rails/storage/production_queue\.sqlite3", "/rails/storage/production.sqlite3"),
    ),
    "a database without replica": ("litestream.replicas", LITESTREAM, (r"replica:", "meta-path:")),
    "a directory of databases": (
        "litestream.dir",
        LITESTREAM,
        (r"path: /rails/storage/production\.sqlite3", "dir: /rails/storage"),
    ),
    "a litestream.yml that is no YAML": ("yaml.invalid", LITESTREAM, (r"^dbs:", "dbs: [")),
    "a litestream.yml that is a list": (
        "litestream.empty",
        LITESTREAM,
        (r"(?s)\A.*\Z", "- path: /rails/storage/production.sqlite3\n"),
    ),
    "a deploy.yml that is no YAML": ("yaml.invalid", DEPLOY, (r"^servers:", "servers: [")),
    "a deploy.yml with ERB": ("deploy.erb", DEPLOY, (r"^servers:", "<% if true %>\nservers:")),
    "no volume": ("volume.missing", DEPLOY, (r"^volumes:\n.*\n", "")),
    "another volume in the accessory": (
        "volume.differs",
        DEPLOY,
        (r"^      - \"notes_storage:", '      - "notes_data:'),
    ),
    "the accessory's volume elsewhere, as in the recipe": (
        "volume.path",
        LITESTREAM,
        None,
    ),
    "no accessory": ("accessory.missing", DEPLOY, (r"^  litestream:", "  backup:")),
    "an accessory that moves by itself": (
        "accessory.unpinned",
        DEPLOY,
        (r"litestream/litestream:[0-9.]+", "litestream/litestream:latest"),
    ),
    "an accessory of the other series": (
        "accessory.series",
        DEPLOY,
        (r"litestream/litestream:[0-9.]+", "litestream/litestream:0.3.13"),
    ),
    "an image with another Litestream": (
        "dockerfile.litestream",
        DOCKERFILE,
        (r"litestream/litestream:[0-9.]+", "litestream/litestream:0.3.13"),
    ),
    "an accessory without its file": (
        "accessory.config",
        DEPLOY,
        (r"^    files:\n.*\n", ""),
    ),
    "an accessory that does not replicate": (
        "accessory.cmd",
        DEPLOY,
        (r"cmd: replicate", "cmd: databases"),
    ),
    "an accessory that runs as root": (
        "accessory.user",
        DEPLOY,
        (r'user: "1000:1000"', 'user: "0:0"'),
    ),
    "an entrypoint that restores nothing": (
        "entrypoint.not-restored",
        ENTRYPOINT,
        (r"^/rails/bin/boot-restore .*\n", ""),
    ),
    "an entrypoint that restores too late": (
        "entrypoint.not-restored",
        ENTRYPOINT,
        (r"^(/rails/bin/boot-restore .*\n)((?s:.*?)db:prepare\nfi\n)", r"\2\1"),
    ),
    "an entrypoint that goes on where restoring fails": (
        "entrypoint.not-restored",
        ENTRYPOINT,
        (r"^set -e((?s:.*?)/bin/boot-restore \"\$@\").*", r"\1"),
    ),
    "an image without an entrypoint": (
        "entrypoint.missing",
        DOCKERFILE,
        (r"^ENTRYPOINT.*\n", ""),
    ),
    "an image without Litestream": (
        "dockerfile.no-litestream",
        DOCKERFILE,
        (r"^COPY --from=\S*litestream.*\n", ""),
    ),
    "an image without sqlite3": (
        "dockerfile.programs",
        DOCKERFILE,
        (r"libvips sqlite3", "libvips"),
    ),
    "a boot restore that is kept out of the image": (
        "dockerignore.needed",
        ".dockerignore",
        (r"\Z", "/bin/*restore\n"),
    ),
    "no time for a restore": ("deploy.timeout", DEPLOY, (r"^deploy_timeout: 300", "boot: {}")),
    "a server that is not the answers'": (
        "answers.server-ip",
        DEPLOY,
        (r"203\.0\.113\.7", "203.0.113.8"),
    ),
    "a domain that is not the answers'": (
        "answers.domain",
        DEPLOY,
        (r"notes\.example\.com", "www.example.com"),
    ),
    "an accessory that does not look for a second writer": (
        "accessory.one-writer",
        DEPLOY,
        (r"^      entrypoint: /usr/local/bin/one-writer\n", ""),
    ),
    "two keys that say where the accessory runs": (
        "accessory.placement",
        DEPLOY,
        (r"^    cmd: replicate", '    cmd: replicate\n    host: "203.0.113.7"'),
    ),
    "the volume read-only in the accessory": (
        "volume.read-only",
        DEPLOY,
        (r"^(      - \"notes_storage:/rails/storage)", r"\1:ro"),
    ),
    "the volume's parent in the accessory": (
        "volume.place",
        DEPLOY,
        (r"^      - \"notes_storage:/rails/storage", '      - "notes_storage:/rails'),
    ),
    "a list of secrets without the keys of the bucket": (
        "secrets.keys",
        DEPLOY,
        (r"^    - LITESTREAM_SECRET_ACCESS_KEY\n", ""),
    ),
    "a secret written out": (
        "secrets.literal",
        ".kamal/secrets",
        (r"^LITESTREAM_ACCESS_KEY_ID=.*", "LITESTREAM_ACCESS_KEY_ID=AKIAEXAMPLE"),
    ),
    "a secret that is not set": (
        "secrets.unset",
        ".kamal/secrets",
        (r"^LITESTREAM_ACCESS_KEY_ID=.*\n", ""),
    ),
    "a missing gem": ("gems.missing", "Gemfile.lock", (r"(?:^    thruster \(.*\n)+", "")),
    "another Ruby": ("ruby.version", DOCKERFILE, (r"RUBY_VERSION=.*", "RUBY_VERSION=3.2.0")),
    "no word about Ruby": ("ruby.unreadable", ".ruby-version", (r"(?s)\A.*\Z", "")),
    "the master key in the image": (
        "dockerignore.secret",
        ".dockerignore",
        (r"^/config/master\.key\n/config/\*\.key\n", ""),
    ),
    "a key that is taken back": (
        "dockerignore.secret",
        ".dockerignore",
        (r"\Z", "!/config/master.key\n"),
    ),
    "a setting that was removed": (
        "production.setting",
        "config/environments/production.rb",
        (r"^ *config\.force_ssl = true\n", ""),
    ),
    "a setting of the owner's": (
        "production.chosen",
        "config/environments/production.rb",
        (r"config\.force_ssl = true", 'config.force_ssl = ENV["SSL"] != "no"'),
    ),
    "a queue database that Solid Queue is not told of": (
        "production.queue-database",
        "config/environments/production.rb",
        (r"^ *config\.solid_queue\.connects_to.*\n", ""),
    ),
    "a production.rb that is cut off": (
        "production.unsure",
        "config/environments/production.rb",
        (r"\nend\s*\Z", "\n"),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(app: Path, mistake: str) -> None:
    wanted, file, edit = MISTAKES[mistake]
    if edit is None:
        # Both of the accessory's volumes: sections name one volume, at different places.
        change(
            app,
            DEPLOY,
            r'^      - "notes_storage:/rails/storage"',
            '      - "notes_storage:/storage"',
        )
    else:
        change(app, file, *edit)
    found = [finding for finding in errors(check_files(App(app))) if finding.id == wanted]
    assert found, as_text(check_files(App(app)))
    for finding in found:
        assert finding.message
        assert finding.fix, "a finding says what to do"
        assert "\n" not in finding.message


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        (LITESTREAM, "litestream.missing"),
        (DEPLOY, "deploy.missing"),
        (ENTRYPOINT, "entrypoint.missing"),
        ("bin/boot-restore", "restore.missing"),
        ("bin/restore", "restore.missing"),
        (DOCKERFILE, "dockerfile.missing"),
        (".kamal/secrets", "secrets.missing"),
        (".dockerignore", "dockerignore.secret"),
        ("Gemfile.lock", "gems.unreadable"),
        ("config/database.yml", "databases.unreadable"),
        ("config/environments/production.rb", "production.missing"),
    ],
)
def test_a_missing_file_is_found(app: Path, file: str, wanted: str) -> None:
    (app / file).unlink()
    assert wanted in {finding.id for finding in errors(check_files(App(app)))}


def test_a_finding_names_the_line(app: Path) -> None:
    change(app, LITESTREAM, r"retention: 720h", "retention: 30d")
    [finding] = errors(check_files(App(app)))
    line = (app / LITESTREAM).read_text().splitlines()[finding.line - 1]
    assert (finding.file, line.strip()) == (LITESTREAM, "retention: 30d")


def test_the_environment_in_deploy_yml_decides_which_file_is_opened(app: Path) -> None:
    change(
        app,
        "config/database.yml",
        r"storage/production\.sqlite3",
        '<%= ENV.fetch("DB") { "storage/other.sqlite3" } %>',
    )
    assert "databases.unknown" in {f.id for f in check_files(App(app))}
    change(app, DEPLOY, r"^  clear:", "  clear:\n    DB: storage/production.sqlite3")
    assert errors(check_files(App(app))) == []


def test_a_script_that_is_not_executable_is_found(app: Path) -> None:
    (app / ENTRYPOINT).chmod(0o644)
    assert [f.id for f in errors(check_files(App(app)))] == ["file.mode"]


def test_a_cache_of_the_owners_without_solid_cache_is_said(app: Path) -> None:
    change(app, "Gemfile.lock", r"^    solid_cache \(.*\n", "")
    production = "config/environments/production.rb"
    change(app, production, r":solid_cache_store", ":redis_cache_store")
    [finding] = [f for f in check_files(App(app)) if f.id == "production.no-gem"]
    line = (app / production).read_text().splitlines()[finding.line - 1]
    assert "config.cache_store = :redis_cache_store" in line
    assert "solid_cache" in finding.message


def test_an_app_on_postgresql_has_nothing_to_back_up(app: Path) -> None:
    (app / "config/database.yml").write_text("production:\n  adapter: postgresql\n  database: x\n")
    found = {f.id: f.level for f in check_files(App(app))}
    assert found["databases.other"] == "error"


@pytest.mark.parametrize("content", [None, "- a list\n", "app_name: notes\n", "a: ["])
def test_an_app_without_answers_is_bad_input(app: Path, content: str | None) -> None:
    answers = app / ".copier-answers.yml"
    answers.unlink() if content is None else answers.write_text(content)
    with pytest.raises(BadInput, match=r"\.copier-answers\.yml"):
        App(app)


@requires("kamal", "litestream", "hadolint", "shellcheck", "ruby")
def test_the_real_programs_accept_a_fresh_rendering(app: Path) -> None:
    asked: list[str] = []
    findings = check_with_programs(App(app), asked.append)
    assert findings == []
    assert asked == ["kamal", "litestream", "hadolint", "bash", "shellcheck", "ruby"]


@requires("kamal", "litestream", "hadolint", "shellcheck", "ruby")
@pytest.mark.parametrize(
    ("wanted", "file", "old", "new"),
    [
        ("kamal.config", DEPLOY, r"^builder:", "bilder:"),
        ("litestream.databases", LITESTREAM, r"retention: 720h", "retention: 30d"),
        ("hadolint", DOCKERFILE, r"^USER ", "MAINTAINER me\nUSER "),
        ("bash.syntax", ENTRYPOINT, r"^fi$", ""),
        ("shellcheck", ENTRYPOINT, r'exec "\$\{@\}"', "exec $@"),
        ("ruby.syntax", "config/environments/production.rb", r"\nend\s*\Z", "\n"),
    ],
)
def test_what_a_real_program_refuses_is_an_error(
    app: Path, wanted: str, file: str, old: str, new: str
) -> None:
    change(app, file, old, new)
    found = [f for f in check_with_programs(App(app)) if f.id == wanted]
    assert [f.file for f in found] == [file]
    assert found[0].level == "error"
    assert found[0].message
    assert str(app) not in found[0].message


@requires("kamal")
@pytest.mark.parametrize(
    ("old", "new", "said", "stands", "fix"),
    [
        (
            r"^builder:",
            "healthcheck:\n  path: /up\nbuilder:",
            "unknown key: healthcheck",
            "healthcheck:",
            "proxy:\n  app_port: 3000\n  healthcheck:\n    path: /up",
        ),
        (
            r"^    cmd: replicate",
            "    cmd: replicate\n    restart: always",
            "unknown key: restart",
            "restart: always",
            "needs a newer Kamal",
        ),
        (
            r"^  WEB_CONCURRENCY|^    WEB_CONCURRENCY",
            '    ADDED: <%= ENV.fetch("NOBODY_SETS_IT") %>\n    WEB_CONCURRENCY',
            "key not found",
            "",
            'Set NOBODY_SETS_IT where you run kamal, or give it a default there: ENV.fetch("',
        ),
        (
            r"^service: .*",
            'service: <%= ENV["NOBODY_SETS_IT"] %>',
            "service: should be a string",
            'service: <%= ENV["NOBODY_SETS_IT"] %>',
            "Set NOBODY_SETS_IT where you run kamal",
        ),
        (
            r"^service: .*",
            "service: <%= `ruby -e 'raise %q(beside)'` %>",
            "ERROR (Kamal::ConfigurationError): service: should be a string",
            "service: <%= `ruby -e 'raise %q(beside)'` %>",
            "Kamal had none here",
        ),
    ],
)
def test_what_kamal_refuses_is_said_with_its_version_and_a_way_on(
    app: Path, old: str, new: str, said: str, stands: str, fix: str
) -> None:
    change(app, DEPLOY, old, new)
    [finding] = [f for f in check_with_programs(App(app)) if f.id == "kamal.config"]
    assert said in finding.message
    assert re.search(r"\(Kamal [0-9]+\.[0-9]+\.[0-9]+\)\Z", finding.message)
    assert fix in finding.fix
    assert (app / DEPLOY).read_text().splitlines()[finding.line - 1].strip() == stands or not stands


def test_a_program_that_is_missing_is_said(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find", lambda name: None)
    monkeypatch.setattr(programs, "litestream", lambda series: None)
    findings = check_with_programs(App(app))
    assert ok(findings)
    assert [f.id for f in findings] == [
        f"{name}.absent"
        for name in ("kamal", "litestream", "hadolint", "bash", "shellcheck", "ruby")
    ]
    assert all("not on this machine" in f.message and f.fix for f in findings)


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = warm.kamalstream(*arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_answers_with_one_json_object_and_exit_code_1(app: Path) -> None:
    change(app, LITESTREAM, r"^snapshot:", "snapshots:")
    result = command("check", app, "--format", "json")
    answer = json.loads(result.stdout)
    assert (result.returncode, answer["app"], answer["ok"]) == (1, str(app), False)
    finding = next(f for f in answer["findings"] if f["id"] == "litestream.key")
    assert set(finding) == {"id", "level", "file", "line", "message", "fix"}


def test_the_command_says_that_all_is_well_and_exits_0(app: Path) -> None:
    result = command("check", app)
    assert result.returncode == 0, result.stdout
    assert "ok:" in result.stdout


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_a_folder_without_the_template_is_bad_input(tmp_path: Path, folder: str) -> None:
    result = command("check", tmp_path / folder)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 2


@pytest.mark.parametrize("series", ["0.5", "0.3"])
def test_the_keys_listed_for_litestream_are_those_its_program_reads(series: str) -> None:
    program = programs.litestream(series)
    if program is None:
        pytest.skip(reason=f"needs Litestream {series}, which this machine does not have")
    in_program = set(re.findall(rb'yaml:"([a-z0-9-]+)', program.read_bytes())) - {b"-"}
    listed = facts.LITESTREAM_KEYS[series]
    sections = [keys for name, keys in listed.items() if name not in ("instead", "without_effect")]
    assert {key.decode() for key in in_program} == {key for keys in sections for key in keys}


@pytest.mark.parametrize(
    ("ignore", "path", "out"),
    [
        ("/config/*.key", "config/master.key", True),
        ("*.key", "config/master.key", False),
        ("**/*.key", "config/master.key", True),
        ("**/*.key", "master.key", True),
        ("config", "config/master.key", True),
        ("config/", "config/master.key", True),
        ("/config/**\n!/config/master.key", "config/master.key", False),
        ("!config/master.key\nconfig", "config/master.key", True),
        ("# config", "config/master.key", False),
        ("  config/master.key  ", "config/master.key", True),
        ("config/?aster.key", "config/master.key", True),
        ("config/[lm]aster.key", "config/master.key", True),
        ("config/[^m]aster.key", "config/master.key", False),
        ("./config/../config/master.key", "config/master.key", True),
        ("storage", "storage.txt", False),
        ("**", "a/b", True),
        (r"a\*b", "a*b", True),
        (r"a\*b", "axb", False),
        ("con*", "config/master.key", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
    ],
)
def test_a_dockerignore_is_read_as_docker_reads_it(ignore: str, path: str, out: bool) -> None:
    assert excluded(ignore, path) is out


def test_findings_are_grouped_by_file_the_worst_first() -> None:
    findings = [
        Finding("b", "note", "two", 0, "a note"),
        Finding("a", "warning", "one", 3, "a warning", "mend it"),
        Finding("c", "error", "two", 9, "an error", "mend it"),
    ]
    assert as_text(findings).splitlines() == [
        "two",
        "  error: line 9: an error [c]",
        "    → mend it",
        "  note: a note [b]",
        "one",
        "  warning: line 3: a warning [a]",
        "    → as above",
    ]


def test_every_provider_has_what_the_template_reads() -> None:
    for name, provider in facts.PROVIDERS.items():
        assert provider["label"], name
        # Where an account is in one region, none is more likely than another.
        assert provider.get("region") or provider["regions"], name
        assert ("endpoint" in provider) != ("example" in provider), name
        for series, keys in provider.get("replica", {}).items():
            known = facts.LITESTREAM_KEYS[series]
            assert set(keys) <= {*known["replica"], *known["settings"]}, name
    assert yaml.safe_load(yaml.safe_dump(facts.PROVIDERS)) == facts.PROVIDERS
