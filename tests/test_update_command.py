"""`kamalstream update`: seen on a copy first, then taken over, and undone in one command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from kamalstream.render import source as origin
from kamalstream.render.source import is_trusted
from kamalstream.update.outcome import UNDO

from . import warm
from .conftest import ROOT
from .fixtures_template import commit, git
from .fixtures_update import CHANGED, FILES, copy_of, middle, release, source, state, update

Adopted = Callable[[Path], Path]


def kamalstream(app: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        warm.kamalstream("update", *arguments),
        cwd=app,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        check=False,
    )


def undo(app: Path) -> None:
    subprocess.run(UNDO, shell=True, cwd=app, check=True)


def edited(app: Path, template: Path) -> Path:
    """Edit three files: one beside the change to come, one inside it, one away."""
    deploy = app / "config/deploy.yml"
    deploy.write_text(deploy.read_text().replace("WEB_CONCURRENCY: 0", "WEB_CONCURRENCY: 2"))
    line = middle(app, template, "Dockerfile")
    dockerfile = app / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace(line, "# Mine"))
    (app / "docs/DEPLOYMENT.md").unlink()
    commit(app, "Mine")
    return app


def test_check_tells_ci_by_its_exit_code(adopted: Adopted, tmp_path: Path) -> None:
    app = adopted(tmp_path / "notes")
    result = kamalstream(app, "--check", "--format=json")
    assert result.returncode == 1, result.stderr
    answer = json.loads(result.stdout)
    assert (answer["current"], answer["newest"]) == ("0.1.0", "0.2.0")
    assert answer["update_available"] is True
    assert "Every file says it better" in answer["news"]
    assert state(app) == state(adopted(tmp_path / "again"))
    update(app)
    commit(app, "Updated")
    result = kamalstream(app, "--check")
    assert (result.returncode, "newest release" in result.stdout) == (0, True)


def test_an_update_is_shown_and_then_done_as_copier_does_it_and_undone_in_one_command(
    two_releases: Path, adopted: Adopted, tmp_path: Path
) -> None:
    app = edited(adopted(tmp_path / "notes"), two_releases)
    before = state(app)

    shown = kamalstream(app, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert state(app) == before
    assert f"+{middle(app, two_releases, 'bin/restore')}{CHANGED}" in shown.stdout
    assert "Nothing was changed" in shown.stdout

    done = kamalstream(app, "--yes")
    assert done.returncode == 1, "a conflict is left"
    assert UNDO in done.stdout
    assert "run: kamal accessory reboot litestream && kamal deploy" in done.stdout
    groups = dict(re.findall(r"^(\S.*)\n((?:  \S+\n)+)", done.stdout, re.MULTILINE))
    assert groups["merged with yours"].split() == ["config/deploy.yml"]
    assert groups["stays away, as you removed it"].split() == ["docs/DEPLOYMENT.md"]
    assert set(groups["updated"].split()) == {
        *FILES,
        ".copier-answers.yml",
    } - {"config/deploy.yml", "Dockerfile", "docs/DEPLOYMENT.md"}
    assert re.search(r"Dockerfile: conflict at line \d+", done.stdout)
    assert "UU Dockerfile" in git(app, "status", "--porcelain")

    taken_over = state(app)
    undo(app)
    assert state(app) == before
    assert git(app, "worktree", "list").count("\n") == 1
    update(app)
    assert state(app) == taken_over


def test_new_and_dropped_files_come_and_go_and_the_sidecar_is_rebooted_when_its_image_changed(
    two_releases: Path, adopted: Adopted, tmp_path: Path
) -> None:
    template = copy_of(two_releases, tmp_path / "template")
    app = adopted(tmp_path / "notes")
    answers = app / ".copier-answers.yml"
    # An address as people write it: from the app's folder.
    answers.write_text(re.sub(r"_src_path: .*", "_src_path: ../template", answers.read_text()))
    (app / "tmp/pids").mkdir(parents=True)
    (app / "tmp/pids/server.pid").write_text("1\n")
    commit(app, "From a folder beside")
    before = state(app)
    (template / "template/bin/new").write_text("#!/bin/sh\n")
    (template / "template/bin/new").chmod(0o755)
    source(template, ".dockerignore").unlink()
    versions = template / "kamalstream/facts/versions.yml"
    versions.write_text(versions.read_text().replace('"0.5.17"', '"0.5.18"'))
    release(template, "v0.3.0")
    done = kamalstream(app, "--yes", "--conflict=rej")
    assert "0.1.0 → 0.3.0" in done.stdout, done.stderr
    assert (app / "bin/new").stat().st_mode & 0o111
    assert not (app / ".dockerignore").exists()
    assert "run: kamal accessory reboot litestream && kamal deploy\n" in done.stdout
    assert "A  " not in git(app, "status", "--porcelain"), "nothing is staged"
    undo(app)
    assert state(app) == before
    assert (app / "tmp/pids/server.pid").exists()


def test_answers_change_what_is_rendered_and_wrong_ones_are_refused(
    adopted: Adopted, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    update(app)
    commit(app, "On the newest")
    before = state(app)
    for wrong, said in (
        ("--data=retenton=9h", "retention"),
        ("--data=retention=7d", "7d"),
        ("--data-file=nowhere.yml", "nowhere.yml"),
    ):
        result = kamalstream(app, "--yes", wrong)
        assert (result.returncode, "Traceback" in result.stderr) == (2, False), result.stderr
        assert said in result.stderr
        assert state(app) == before
    done = kamalstream(app, "--yes", "--data=retention=168h")
    assert done.returncode == 0, done.stderr
    assert "retention: 168h" in (app / "config/litestream.yml").read_text()
    assert "kamal accessory reboot litestream" in done.stdout


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda app: (app / "Dockerfile").write_text("x"), "uncommitted changes: Dockerfile"),
        (lambda app: (app / "new").write_text("x"), "uncommitted changes: new"),
        (lambda app: git(app, "rm", "-rq", "--cached", "."), "uncommitted"),
        (lambda app: (app / ".git").rename(app.parent / "g"), "no commit"),
        (lambda app: (app / ".copier-answers.yml").unlink(), "kamalstream init"),
        (lambda app: (app / ".git/rebase-merge").mkdir(), "a rebase is under way"),
    ],
)
def test_an_app_that_is_not_ready_is_refused_in_words(
    harm: Callable[[Path], object], said: str, adopted: Adopted, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    harm(app)
    result = kamalstream(app, "--yes")
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_template_that_cannot_be_had_is_said_in_words(adopted: Adopted, tmp_path: Path) -> None:
    app = adopted(tmp_path / "notes")
    answers = app / ".copier-answers.yml"
    answers.write_text(re.sub(r"_src_path: .*", "_src_path: ../gone", answers.read_text()))
    commit(app, "The template moved")
    result = kamalstream(app, "--yes", "--trust")
    assert result.returncode == 2
    assert "no git repository" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_a_terminal_nothing_is_done_unless_said(adopted: Adopted, tmp_path: Path) -> None:
    result = kamalstream(adopted(tmp_path / "notes"))
    assert (result.returncode, "--yes" in result.stderr) == (2, True)


def test_an_ignored_file_in_the_way_stops_the_update_before_it_writes(
    two_releases: Path, adopted: Adopted, tmp_path: Path
) -> None:
    template = copy_of(two_releases, tmp_path / "template")
    (template / "template/tmp").mkdir()
    (template / "template/tmp/mine").write_text("theirs\n")
    release(template, "v0.3.0")
    app = adopted(tmp_path / "notes")
    answers = app / ".copier-answers.yml"
    answers.write_text(re.sub(r"_src_path: .*", f"_src_path: {template}", answers.read_text()))
    commit(app, "Another address")
    (app / "tmp/mine").write_text("mine\n")
    before = state(app)
    result = kamalstream(app, "--yes")
    assert result.returncode == 2
    assert "tmp/mine" in result.stderr
    assert (app / "tmp/mine").read_text() == "mine\n"
    assert state(app) == before


def test_an_app_in_a_folder_of_its_repository_is_updated_there_alone(
    adopted: Adopted, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "all/notes")
    (app / ".git").rename(app.parent / ".git")
    (app.parent / "beside").write_text("x\n")
    commit(app.parent, "Everything in one repository")
    (app.parent / "beside").write_text("being changed\n")
    before = state(app)
    done = kamalstream(app, "--yes")
    assert done.returncode == 0, done.stderr
    assert CHANGED in (app / "bin/restore").read_text()
    undo(app)
    assert state(app) == before
    assert (app.parent / "beside").read_text() == "being changed\n"


@pytest.mark.parametrize(("answer", "comes"), [("n", False), ("y", True)])
def test_at_a_terminal_it_shows_the_changes_and_asks_first(
    answer: str, comes: bool, adopted: Adopted, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    before = state(app)
    terminal = pexpect.spawn(
        sys.executable,
        ["-m", "kamalstream.cli", "update"],
        cwd=str(app),
        env={**os.environ, "PYTHONPATH": str(ROOT), "PAGER": "cat", "TERM": "xterm"},
        encoding="utf-8",
        timeout=60,
        dimensions=(50, 120),
    )
    terminal.expect_exact("0.1.0 → 0.2.0")
    terminal.expect_exact("Update the app so?")
    assert state(app) == before
    terminal.sendline(answer)
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    assert (CHANGED in (app / "bin/restore").read_text()) is comes
    assert (state(app) != before) is comes


def test_the_code_of_another_source_is_not_run_unasked(adopted: Adopted, tmp_path: Path) -> None:
    app = adopted(tmp_path / "notes")
    before = state(app)
    (tmp_path / "settings.yml").write_text("{}\n")
    strict = {"COPIER_SETTINGS_PATH": str(tmp_path / "settings.yml")}
    for options in (["--yes"], ["--dry-run"]):
        refused = kamalstream(app, *options, **strict)
        assert refused.returncode == 2
        assert "The update runs the code of /" in refused.stderr
        assert "Where you trust it, say --trust." in refused.stderr
    terminal = pexpect.spawn(
        sys.executable,
        ["-m", "kamalstream.cli", "update"],
        cwd=str(app),
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **strict},
        encoding="utf-8",
        timeout=60,
        dimensions=(50, 120),
    )
    terminal.expect_exact("Do you trust it?")
    terminal.send("\r")
    terminal.expect_exact("Nothing was changed.")
    terminal.expect(pexpect.EOF)
    assert state(app) == before
    assert "→ 0.2.0" in kamalstream(app, "--dry-run", "--trust", **strict).stdout


def test_the_source_that_the_command_was_installed_from_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings.yml").write_text("{}\n")
    monkeypatch.setenv("COPIER_SETTINGS_PATH", str(tmp_path / "settings.yml"))
    (tmp_path / "app").mkdir()
    assert is_trusted(str(ROOT), tmp_path)
    assert not is_trusted(str(tmp_path), tmp_path)
    url = "git+https://git.example.com/us/kamalstream"
    monkeypatch.setattr(origin, "template_source", lambda: origin.Source(url, "abc"))
    for same in (url, "https://git.example.com/us/kamalstream.git"):
        assert is_trusted(same, tmp_path)
    for other in ("https://git.example.com/us/kamalstream2", "git+https://evil.example", ""):
        assert not is_trusted(other, tmp_path)


def test_an_app_that_lost_its_release_is_not_said_to_be_on_the_newest(
    adopted: Adopted, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    answers = app / ".copier-answers.yml"
    answers.write_text(re.sub(r"_commit: .*\n", "", answers.read_text()))
    commit(app, "Without")
    for options in (["--check"], ["--dry-run"]):
        refused = kamalstream(app, *options)
        assert refused.returncode == 2
        assert "has no _commit" in refused.stderr
