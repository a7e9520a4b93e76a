"""Updates of an app with files of its owner's: our lines in them move along, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from kamalstream.edit.edited import BY_HAND
from kamalstream.facts import VERSIONS
from kamalstream.hooks.after_update import after_update
from kamalstream.update.outcome import UNDO, conflicts

from .fixtures_template import RELEASE, commit, git, make_app, render, snapshot
from .fixtures_update import NEXT, release, state, update
from .test_update_command import kamalstream, undo

DEPLOY, STAGING = "config/deploy.yml", "config/deploy.staging.yml"
SECRETS, OF_STAGING = ".kamal/secrets", ".kamal/secrets.staging"
ENTRYPOINT = "bin/docker-entrypoint"
OWN = ["Dockerfile", ENTRYPOINT, DEPLOY, STAGING, SECRETS, OF_STAGING]
PIN = VERSIONS["litestream"]["0.5"]
NEW_PIN = "0.5.99"
OWNERS = {
    DEPLOY: """\
# Ours since 2024.
service: notes
image: acme/notes
servers: {web: ["203.0.113.7"]}   # one for now
proxy:
  ssl: true
  host: notes.example.com

registry: {server: ghcr.io, username: acme, password: [KAMAL_REGISTRY_PASSWORD]}
builder: {arch: amd64}

env:
  secret:
    - RAILS_MASTER_KEY
volumes:
  - "notes_data:/rails/storage"
# Ask Jo before you change these.
aliases:
  sh: app exec -i bash
""",
    STAGING: """\
servers:
  web:
    - 203.0.113.8
proxy:
  host: staging.example.com
env:
  secret:
    - RAILS_MASTER_KEY
    - SENTRY_DSN
accessories:
  litestream:
    image: litestream/litestream:0.5.16   # staging tries it first
""",
    SECRETS: "# From the vault.\nKAMAL_REGISTRY_PASSWORD=$REGISTRY\n"
    "RAILS_MASTER_KEY=$(cat config/master.key)\n",
    OF_STAGING: "KAMAL_REGISTRY_PASSWORD=$REGISTRY\nSENTRY_DSN=$DSN\n"
    "RAILS_MASTER_KEY=$(cat config/master.key)\n",
}
#: What of the next release comes into files of the owner's: file → lines that go, lines that come.
KEY = "LITESTREAM_SESSION_TOKEN"
_KEYS = "LITESTREAM_KEYS"
ALIAS = '  health: app exec --reuse "bin/restore --on-server list"'
MOVES = {
    "Dockerfile": (
        [f"COPY --from=docker.io/litestream/litestream:{PIN} {{0}} {{0}}"],
        [f"COPY --from=docker.io/litestream/litestream:{NEW_PIN} {{0}} {{0}}"],
    ),
    ENTRYPOINT: (
        ['/rails/bin/boot-restore "$@" || exit 1'],
        ['/rails/bin/boot-restore --quiet "$@" || exit 1'],
    ),
    DEPLOY: (
        [f"    image: litestream/litestream:{PIN}", "deploy_timeout: 300"],
        [
            f"    image: litestream/litestream:{NEW_PIN}",
            "deploy_timeout: 400",
            *(f"    - {KEY}", f"        - {KEY}", "      memory: 512m"),
            *("  # What the next release has.", ALIAS),
        ],
    ),
    STAGING: (
        [f"    image: litestream/litestream:{PIN}   # staging tries it first"],
        [
            f"    image: litestream/litestream:{NEW_PIN}   # staging tries it first",
            f"    - {KEY}",
        ],
    ),
}


def edit(app: Path, file: str, *changes: tuple[str, str]) -> None:
    text = (app / file).read_text()
    for before, after in changes:
        assert before in text, (before, text)
        text = text.replace(before, after)
    (app / file).write_text(text)


def next_release(template: Path) -> None:
    edit(template, "kamalstream/facts/versions.yml", (f'"{PIN}"', f'"{NEW_PIN}"'))
    edit(
        template,
        "kamalstream/facts/__init__.py",
        ('"LITESTREAM_SECRET_ACCESS_KEY")', f'"LITESTREAM_SECRET_ACCESS_KEY", "{KEY}")'),
    )
    edit(
        template,
        f"template/{ENTRYPOINT}.jinja",
        ('boot-restore "$@"', 'boot-restore --quiet "$@"'),
    )
    edit(
        template,
        f"template/{DEPLOY}.jinja",
        ("deploy_timeout: 300", "deploy_timeout: 400"),
        (
            "  # What can be restored,",
            f"  # What the next release has.\n{ALIAS}\n  # What can be r,",
        ),
        (
            "    - LITESTREAM_SECRET_ACCESS_KEY\n",
            f"    - LITESTREAM_SECRET_ACCESS_KEY\n    - {KEY}\n",
        ),
        ("    options:\n", "    options:\n      memory: 512m\n"),
    )
    text = (template / f"template/{DEPLOY}.jinja").read_text()
    (template / f"template/{DEPLOY}.jinja").write_text(
        text.replace(
            f"        - LITESTREAM_SECRET_ACCESS_KEY\n    - {KEY}",
            f"        - LITESTREAM_SECRET_ACCESS_KEY\n        - {KEY}",
        )
    )
    release(template, NEXT)


def owners(folder: Path) -> Path:
    app = make_app("rails_8_1", folder)
    for file, text in OWNERS.items():
        (app / file).write_text(text)
    edit(app, "Dockerfile", ("\nENTRYPOINT", "\nRUN ./bin/check-fonts\n\nENTRYPOINT"))
    edit(app, ENTRYPOINT, ('exec "${@}"', 'echo "starting"\nexec "${@}"'))
    commit(app, "As its owner deploys it")
    return app


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return snapshot(tmp_path_factory.mktemp("kamalstream"))


@pytest.fixture(scope="module")
def first(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adopt the owner's app with the first release; there is a second one then."""
    app = owners(tmp_path_factory.mktemp("adopted") / "notes")
    render(template, app)
    commit(app, "Deploy with Kamal and Litestream")
    next_release(template)
    return app


@pytest.fixture
def app(first: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(first, tmp_path / "notes", symlinks=True))


def run(way: str, app: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return update(app, *options) if way == "copier" else kamalstream(app, "--yes", *options)


def moved(app: Path, file: str) -> tuple[list[str], list[str]]:
    """Return the lines that went from `file` and those that came, each sorted."""
    lines = git(app, "diff", "--unified=0", "--", file).splitlines()[4:]
    return (
        sorted(line[1:] for line in lines if line.startswith("-")),
        sorted(line[1:] for line in lines if line.startswith("+")),
    )


def expected(file: str) -> tuple[list[str], list[str]]:
    went, came = MOVES[file]
    program = "/usr/local/bin/litestream"
    return sorted(x.replace("{0}", program) for x in went), sorted(
        x.replace("{0}", program) for x in came
    )


def test_what_is_the_owners_is_an_answer(first: Path) -> None:
    answers = yaml.safe_load((first / ".copier-answers.yml").read_text())
    assert set(answers["own_files"]) == {"Dockerfile", ENTRYPOINT, DEPLOY, SECRETS}
    assert list(answers["destinations"]) == ["staging"]


@pytest.mark.parametrize("way", ["copier", "command"])
def test_our_lines_move_along_and_no_other_line_does(way: str, app: Path) -> None:
    before = state(app)
    result = run(way, app)
    assert conflicts(app) == [], result.stdout + result.stderr
    for file in MOVES:
        assert moved(app, file) == expected(file), file
    for file in (SECRETS, OF_STAGING):
        [went], came = moved(app, file)
        assert went.startswith(f"{_KEYS}=")
        assert came == [f"{went[:-1]} {KEY})", f"{KEY}=$(kamal secrets extract {KEY} ${_KEYS})"]
    assert result.returncode == 0, result.stdout + result.stderr
    assert BY_HAND not in result.stdout
    steps = " && ".join(
        f"kamal accessory reboot litestream{to} && kamal deploy{to}" for to in ("", " -d staging")
    )
    assert f"run: {steps}\n" in result.stdout
    if way == "command":
        groups = dict(re.findall(r"^(\S.*)\n((?:  \S+\n)+)", result.stdout, re.MULTILINE))
        mine = groups["yours, with our lines in it brought up to date"].split()
        assert sorted(mine) == sorted(OWN)
    updated = state(app)
    commit(app, "Updated")
    again = run(way, app)
    assert (again.returncode, git(app, "status", "--porcelain")) == (0, ""), again.stdout
    git(app, "reset", "-q", "--soft", "HEAD~")
    git(app, "reset", "-q")
    assert state(app) == updated
    undo(app)
    assert state(app) == before


@pytest.mark.parametrize("way", ["copier", "command"])
def test_what_the_owner_took_out_stays_out_and_what_they_changed_stays_and_is_said(
    way: str, app: Path
) -> None:
    for file, pattern in (
        (DEPLOY, r"\n[^\n]*\n  backups: [^\n]*(?=\n)"),
        (DEPLOY, r"\n[^\n]*\ndeploy_timeout: 300\n"),
        (ENTRYPOINT, r"# Restores[^\n]*\n/rails/bin/boot-restore[^\n]*\n\n"),
        (STAGING, r"[^\n]*\n    LITESTREAM_CONFIG: [^\n]*\n"),
        (STAGING, r"    - LITESTREAM_ACCESS_KEY_ID\n"),
        (OF_STAGING, r"LITESTREAM_ACCESS_KEY_ID=[^\n]*\n"),
    ):
        text = (app / file).read_text()
        after = re.sub(pattern, "", text, count=1)
        assert after != text, (pattern, text)
        (app / file).write_text(after)
    for file in ("Dockerfile", DEPLOY, STAGING):
        edit(app, file, (f"litestream:{PIN}", "litestream:0.5.15"))
    commit(app, "Mine")
    result = run(way, app)
    assert result.returncode == (1 if way == "command" else 0), result.stderr
    assert conflicts(app) == []
    assert "litestream:0.5.15" in (app / "Dockerfile").read_text()
    assert git(app, "diff", "--name-only", "--", "Dockerfile", ENTRYPOINT) == ""
    went, came = moved(app, DEPLOY)
    assert went == []
    assert came == sorted(
        line for line in expected(DEPLOY)[1] if "image" not in line and "deploy_timeout" not in line
    )
    assert moved(app, STAGING) == ([], [f"    - {KEY}"])
    assert not re.search(r"^LITESTREAM_ACCESS_KEY_ID=", (app / OF_STAGING).read_text(), re.M)
    assert "0.5.15" in result.stdout, "it is said"
    assert f"{BY_HAND}\n" in result.stdout
    assert f"it brings Litestream 0.5.15, not {NEW_PIN}" in result.stdout


@pytest.mark.parametrize("way", ["copier", "command"])
def test_what_cannot_be_edited_is_printed_with_its_lines(way: str, app: Path) -> None:
    edit(
        app,
        DEPLOY,
        ("volumes:\n  - ", "<% if true %>\nvolumes:\n  - "),
        ("# Ask Jo", "<% end %>\n# Ask Jo"),
    )
    commit(app, "Mine")
    mine = (app / DEPLOY).read_bytes()
    result = run(way, app)
    assert result.returncode == (1 if way == "command" else 0), result.stderr
    assert (app / DEPLOY).read_bytes() == mine
    said = result.stdout.partition(f"{BY_HAND}\n")[2]
    assert f"\n        image: litestream/litestream:{NEW_PIN}\n".replace(" ", "") in said.replace(
        " ", ""
    )
    assert ALIAS.strip() in said
    assert "backups:" not in said, "that is no news"
    assert moved(app, "Dockerfile") == expected("Dockerfile"), "the others are edited"


def test_without_the_release_that_the_app_comes_from_its_files_are_left_and_that_is_said(
    template: Path, app: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    answers = app / ".copier-answers.yml"
    answers.write_text(re.sub(r"_commit: .*", "_commit: v0.0.9", answers.read_text()))
    commit(app, "Of a release that is no more")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(template), str(clone))
    assert after_update(app, clone, ("0.0.9", "0.2.0")) == 0
    said = capfd.readouterr().out
    assert "the release that you come from cannot be had" in said
    assert git(app, "status", "--porcelain") == ""


def test_from_litestream_0_3_to_0_5_the_image_moves_in_the_owners_files_too(
    template: Path, first: Path, tmp_path: Path
) -> None:
    app = owners(tmp_path / "notes")
    render(template, app, {"litestream_version": "0.3"}, vcs_ref=NEXT)
    commit(app, "On 0.3")
    old = VERSIONS["litestream"]["0.3"]
    for file in ("Dockerfile", DEPLOY, STAGING):
        assert f"litestream/litestream:{old}" in (app / file).read_text(), file
    result = update(app, "--vcs-ref=:current:", "--data=litestream_version=0.5")
    assert result.returncode == 0, result.stderr
    for file in ("Dockerfile", DEPLOY, STAGING):
        went, came = moved(app, file)
        assert [one.replace(NEW_PIN, old) for one in came if NEW_PIN in one] == went, file
    assert "starts a new history" in result.stdout
    assert "\n  backup-now: " in (app / DEPLOY).read_text()
    assert BY_HAND not in result.stdout


def test_a_destination_that_came_since_is_left_to_the_next_adoption(app: Path) -> None:
    (app / "config/deploy.beta.yml").write_text("servers: {web: [203.0.113.9]}\n")
    commit(app, "Beta")
    result = update(app)
    assert result.returncode == 0, result.stderr
    assert git(app, "diff", "--name-only", "--", "config/deploy.beta.yml") == ""
    assert not (app / ".kamal/secrets.beta").exists()
    assert "config/deploy.beta.yml" in result.stdout or "beta" in result.stdout


def test_an_app_of_a_release_that_replaced_all_files_has_none_of_its_own(
    template: Path, first: Path, tmp_path: Path
) -> None:
    app = make_app("rails_8_1", tmp_path / "notes")
    render(template, app, vcs_ref=RELEASE)
    answers = app / ".copier-answers.yml"
    answers.write_text(re.sub(r"own_files: .*\n", "", answers.read_text()))
    edit(app, DEPLOY, ("WEB_CONCURRENCY: 0", "WEB_CONCURRENCY: 2"))
    commit(app, "As of an older release")
    result = update(app)
    assert result.returncode == 0, result.stderr
    assert conflicts(app) == []
    assert yaml.safe_load(answers.read_text())["own_files"] == []
    text = (app / DEPLOY).read_text()
    assert "WEB_CONCURRENCY: 2" in text
    assert f"litestream/litestream:{NEW_PIN}" in text
    assert UNDO in result.stdout
