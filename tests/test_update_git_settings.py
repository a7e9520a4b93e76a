"""Updates where git is set up otherwise: nothing is lost, and what is said is the same."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kamalstream.update.outcome import UNDO, conflicts

from .fixtures_template import commit, git
from .fixtures_update import CHANGED, copy_of, middle, release, state, update
from .test_update_command import kamalstream, undo

Adopted = Callable[[Path], Path]
Settings = Callable[[str], dict[str, str]]
DEPLOY = "config/deploy.yml"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    def of_the_user(text: str) -> dict[str, str]:
        file = tmp_path / "gitconfig"
        file.write_text(f"[user]\nname = Test\nemail = test@example.com\n{text}")
        return {"GIT_CONFIG_GLOBAL": str(file)}

    return of_the_user


def edit(app: Path, file: str, before: str, after: str) -> None:
    text = (app / file).read_text()
    assert before in text
    (app / file).write_text(text.replace(before, after))


def run(way: str, app: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    if way == "copier":
        return update(app, *options, **environment)
    return kamalstream(app, "--yes", *options, **environment)


def way_back(result: subprocess.CompletedProcess[str]) -> str:
    said = result.stdout.split("To undo the update, in the app's folder:\n")[1]
    return said.splitlines()[0].strip()


@pytest.mark.parametrize("way", ["copier", "command"])
def test_edits_stay_in_files_that_the_user_has_git_ignore_everywhere(
    way: str, two_releases: Path, adopted: Adopted, settings: Settings, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    changed = middle(app, two_releases, DEPLOY)
    edit(app, DEPLOY, "WEB_CONCURRENCY: 0", "WEB_CONCURRENCY: 2")
    clashing = middle(app, two_releases, "config/litestream.yml")
    edit(app, "config/litestream.yml", clashing, "# Mine")
    (app / "docs/DEPLOYMENT.md").unlink()
    commit(app, "Mine")
    before = state(app)
    (tmp_path / "ignore").write_text("*.yml\ndocs/\n")
    machine = settings(f"[core]\nexcludesFile = {tmp_path}/ignore\n")
    result = run(way, app, **machine)
    assert result.returncode == (1 if way == "command" else 0), result.stderr
    text = (app / DEPLOY).read_text()
    assert "WEB_CONCURRENCY: 2" in text
    assert f"{changed}{CHANGED}" in text
    assert not (app / "docs/DEPLOYMENT.md").exists()
    [conflict] = conflicts(app)
    assert conflict.file == "config/litestream.yml"
    assert str(conflict) in result.stdout
    assert {"# Mine", clashing + CHANGED} <= set(
        (app / "config/litestream.yml").read_text().splitlines()
    )
    undo(app)
    assert state(app) == before


def test_the_diff_looks_the_same_whatever_the_user_has_git_show(
    adopted: Adopted, settings: Settings, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    shown = kamalstream(app, "--dry-run").stdout
    for text in (
        "[diff]\nnoprefix = true\nexternal = /bin/true\n",
        "[diff]\nmnemonicPrefix = true\ncontext = 0\n[color]\nui = always\n",
    ):
        assert kamalstream(app, "--dry-run", **settings(text)).stdout == shown, text


def test_line_ends_that_git_changes_on_checkout_make_a_conflict_no_larger(
    two_releases: Path, adopted: Adopted, settings: Settings, tmp_path: Path
) -> None:
    first = adopted(tmp_path / "notes")
    line = middle(first, two_releases, "Dockerfile")
    number = (first / "Dockerfile").read_text().splitlines().index(line) + 1
    edit(first, "Dockerfile", line, "# Mine")
    commit(first, "Mine")
    machine = settings("[core]\nautocrlf = true\n")
    app = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--config=core.autocrlf=true", str(first), str(app))
    result = run("command", app, **machine)
    assert f"Dockerfile: conflict at line {number}\n" in result.stdout
    text = (app / "Dockerfile").read_bytes()
    assert b"\r\n# Mine\r\n=======\r\n" in text
    assert text.count(b"\n") == text.count(b"\r\n")
    undo(app)
    assert git(app, "status", "--porcelain") == ""


def test_names_with_umlauts_are_no_trouble_where_git_does_not_quote_them(
    adopted: Adopted, settings: Settings, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    (app / "docs/Übung.md").write_text("x\n")
    git(app, "rm", "-q", "--cached", ".kamal/secrets")
    (app / ".gitignore").write_text((app / ".gitignore").read_text() + "/.kamal/secrets\n")
    edit(app, ".kamal/secrets", "RAILS_MASTER_KEY=", "MINE=1\nRAILS_MASTER_KEY=")
    commit(app, "Mine")
    mine, before = (app / ".kamal/secrets").read_bytes(), state(app)
    machine = settings("[core]\nquotePath = false\n")
    # Copier itself fails there. It is said what helps, and what git ignores is not lost by it.
    failed = run("copier", app, **machine)
    assert failed.returncode
    assert "core.quotePath" in failed.stdout
    undo(app)
    assert (state(app), (app / ".kamal/secrets").read_bytes()) == (before, mine)
    result = run("command", app, **machine)
    assert CHANGED in (app / "bin/restore").read_text(), result.stderr
    assert (app / ".kamal/secrets").read_bytes() == mine
    assert "git ignores it and cannot merge it\n  .kamal/secrets\n" in result.stdout
    assert "stays away" not in result.stdout


def test_untracked_files_that_git_does_not_show_are_not_undone(
    adopted: Adopted, settings: Settings, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    (app / "mine").write_text("mine\n")
    before = state(app)
    machine = settings("[status]\nshowUntrackedFiles = no\n")
    refused = run("command", app, **machine)
    assert (refused.returncode, "uncommitted changes: mine" in refused.stderr) == (2, True)
    result = run("copier", app, **machine)
    assert result.returncode == 0, result.stderr
    assert "not committed: mine" in result.stdout
    command = way_back(result)
    assert command != UNDO
    subprocess.run(command, shell=True, cwd=app, check=True)
    assert state(app) == before


def test_the_command_works_inside_a_git_hook(adopted: Adopted, tmp_path: Path) -> None:
    app = adopted(tmp_path / "notes")
    inside = {"GIT_DIR": ".git", "GIT_INDEX_FILE": ".git/index", "GIT_WORK_TREE": "."}
    variables = {name: str(app / place) for name, place in inside.items()}
    assert kamalstream(app, "--check", **variables).returncode == 1
    result = kamalstream(app, "--yes", **variables)
    assert result.returncode == 0, result.stderr
    expected = adopted(tmp_path / "again" / "notes")
    kamalstream(expected, "--yes")
    assert state(app) == state(expected)


def test_a_repository_of_another_user_is_refused_in_the_words_of_git(
    adopted: Adopted, settings: Settings, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    # What git itself tests this with.
    machine = {**settings(""), "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    refused = run("command", app, **machine)
    assert (refused.returncode, "no commit" in refused.stderr) == (2, False)
    assert "safe.directory" in refused.stderr


@pytest.mark.parametrize("way", ["copier", "command"])
def test_files_that_come_with_an_update_and_that_git_ignores_go_with_it_too(
    way: str, two_releases: Path, adopted: Adopted, settings: Settings, tmp_path: Path
) -> None:
    template = copy_of(two_releases, tmp_path / "template")
    (template / "template/bin/new").write_text("#!/bin/sh\n")
    release(template, "v0.3.0")
    app = adopted(tmp_path / "notes")
    edit(app, ".copier-answers.yml", str(two_releases), str(template))
    edit(app, "Dockerfile", middle(app, two_releases, "Dockerfile"), "# Mine")
    git(app, "rm", "-q", "--cached", ".kamal/secrets")
    (app / ".gitignore").write_text((app / ".gitignore").read_text() + "/.kamal/secrets\n")
    commit(app, "Mine")
    before, secrets = state(app), (app / ".kamal/secrets").read_bytes()
    (tmp_path / "ignore").write_text("*.rej\nnew\n")
    machine = settings(f"[core]\nexcludesFile = {tmp_path}/ignore\n")
    result = run(way, app, "--conflict=rej", **machine)
    came = [app / "Dockerfile.rej", app / "bin/new"]
    assert all(path.exists() for path in came), result.stderr
    subprocess.run(way_back(result), shell=True, cwd=app, env={**os.environ, **machine}, check=True)
    assert not any(path.exists() for path in came)
    assert (state(app), (app / ".kamal/secrets").read_bytes()) == (before, secrets)
