"""A repository that somebody else set up: nothing that its settings name is run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kamalstream import git
from kamalstream.check.committed import check_committed
from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import App

from .conftest import requires
from .fixtures_init import Ran, _answers, _kamalstream  # noqa: F401
from .fixtures_template import commit
from .fixtures_template import git as plain_git
from .test_update_command import kamalstream as command

SETTINGS = """
[core]
    fsmonitor = {trap} fsmonitor
    hooksPath = {hooks}
    pager = {trap} pager
    sshCommand = {trap} ssh
    askPass = {trap} askpass
[pager]
    status = true
[filter "evil"]
    clean = {trap} clean
    smudge = {trap} smudge
    required = true
[filter "late"]
    process = {trap} process
[merge "evil"]
    driver = {trap} driver
[diff]
    external = {trap} external
[diff "evil"]
    textconv = {trap} textconv
    command = {trap} command
[credential]
    helper = {trap} helper
[protocol "ext"]
    allow = always
[protocol]
    allow = always
"""


@pytest.fixture
def trapped(tmp_path: Path) -> Callable[[Path], Path]:
    """Set up the repository of an app; return the file that what is run writes its name to."""

    def set_up(app: Path) -> Path:
        caught, trap, hooks = tmp_path / "caught", tmp_path / "trap", tmp_path / "hooks"
        trap.write_text(f'#!/bin/sh\necho "$0 $*" >> {caught}\ncat\n')
        trap.chmod(0o755)
        hooks.mkdir()
        for hook in ("post-checkout", "post-index-change", "reference-transaction"):
            (hooks / hook).write_text(f"#!/bin/sh\necho {hook} >> {caught}\n")
            (hooks / hook).chmod(0o755)
        (app / ".gitattributes").write_text(
            "* filter=evil merge=evil diff=evil\n*.md filter=late\n"
        )
        commit(app, "As its owner sees it")
        with (app / ".git/config").open("a") as config:
            config.write(SETTINGS.format(trap=trap, hooks=hooks))
        return caught

    return set_up


def test_nothing_that_a_repository_names_is_run(
    fresh: Callable[..., Path], trapped: Callable[[Path], Path], tmp_path: Path
) -> None:
    app = fresh()
    caught = trapped(app)
    subprocess.run(["git", "status"], cwd=app, capture_output=True, check=False)
    assert "fsmonitor" in caught.read_text()
    caught.unlink()
    check_committed(App(app))
    (app / "Dockerfile").write_text((app / "Dockerfile").read_text() + "\n")
    assert git.git(app, "status", "--porcelain").splitlines() == [" M Dockerfile"]
    assert git.git(app, "diff", "--no-ext-diff", "--no-textconv", "HEAD")
    assert git.committed(app, "Dockerfile")
    git.git(app, "worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"), "HEAD")
    assert (tmp_path / "tree/Dockerfile").read_text() == plain_show(app)
    git.git(app, "add", "--all")
    git.git(app, "checkout", "-q", "HEAD", "--", ".")
    for address in (f"ext::{tmp_path / 'trap'}", "ssh://nowhere.invalid/x", str(app)):
        with pytest.raises(BadInput):
            git.git(app, "fetch", "-q", address)
    assert not caught.exists(), caught.read_text()


def plain_show(app: Path) -> str:
    return subprocess.run(
        ["git", "cat-file", "blob", "HEAD:Dockerfile"], cwd=app, capture_output=True, text=True
    ).stdout


def test_an_update_runs_nothing_of_the_repository(
    two_releases: Path,
    adopted: Callable[[Path], Path],
    trapped: Callable[[Path], Path],
    tmp_path: Path,
) -> None:
    app = adopted(tmp_path / "notes")
    caught = trapped(app)
    done = command(app, "--yes")
    assert "Updated." in done.stdout, done.stdout + done.stderr
    assert not caught.exists(), caught.read_text()


def test_the_users_own_settings_are_left_to_them(tmp_path: Path) -> None:
    plain_git(tmp_path, "init", "-q")
    assert "credential.helper" not in git.harmless(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    plain_git(other, "init", "-q")
    plain_git(other, "config", "credential.helper", "x")
    plain_git(other, "config", "filter.lfs.process", "x")
    assert git.harmless(other)["credential.helper"] == ""
    assert git.harmless(other)["filter.lfs.process"] == ""


@requires("kamal")
def test_code_in_deploy_yml_is_run_by_kamal_and_not_without_programs(
    kamalstream: Callable[..., Ran],
    answers: Callable[..., Path],
    sample_app: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    app = sample_app("changed_by_hand")
    deploy = app / "config/deploy.yml"
    deploy.write_text(f"{deploy.read_text()}\n# <% File.write('{tmp_path}/ran', '') %>\n")
    kamalstream("init", app, "--defaults", "--no-programs", "--data-file", answers())
    said = kamalstream("check", app, "--no-programs").out
    assert "no program" in said
    assert not (tmp_path / "ran").exists()
    kamalstream("check", app)
    assert (tmp_path / "ran").exists()
