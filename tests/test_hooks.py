"""What Copier's hooks do in the app, and leave alone elsewhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kamalstream.hooks.after_update import after_update
from kamalstream.hooks.of_update import before_update, during_update

from . import warm
from .conftest import APPS, ROOT
from .fixtures_init import files_of
from .fixtures_template import ANSWERS, RELEASE, commit, git, make_app, render

COPIER = Path(sys.executable).parent / "copier"
PRODUCTION = "config/environments/production.rb"
NEW_ANSWERS = ".copier-answers.new.yml"


def arguments(template: Path, app: Path, **answers: str) -> list[str | Path]:
    data = [f"--data={key}={value}" for key, value in {**ANSWERS, **answers}.items()]
    given = ["--trust", "--defaults", f"--vcs-ref={RELEASE}", *data]
    return ["copy", *given, template, app]


def copy(template: Path, app: Path, **answers: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        warm.copier(*arguments(template, app, **answers)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def refused(template: Path, app: Path, why: str) -> None:
    """Copying into `app` is refused, and leaves it as it was."""
    before = files_of(app)
    result = copy(template, app)
    assert result.returncode == 1
    assert why in result.stdout
    assert "Nothing was changed." in result.stdout
    assert "Traceback" not in result.stderr + result.stdout
    assert files_of(app) == before


def test_a_copy_edits_production_rb_and_says_what_it_did_and_what_is_next(
    template: Path, tmp_path: Path
) -> None:
    app = make_app("rails_8_1", tmp_path / "notes")
    result = copy(template, app)
    assert result.returncode == 0, result.stderr
    assert "config.force_ssl = true" in git(app, "diff", PRODUCTION)
    for said in (PRODUCTION, "nothing to mend", "credentials:edit", "kamal setup", "primary"):
        assert said in result.stdout
    assert not (app / NEW_ANSWERS).exists()


def test_databases_are_read_by_the_hook(template: Path, tmp_path: Path) -> None:
    app = make_app("changed_by_hand", tmp_path / "notes")
    result = copy(template, app)
    assert result.returncode == 0
    assert "databases: primary, jobs, cable" in result.stdout
    assert "backed up: jobs, primary; left out on purpose: cable" in result.stdout
    assert "- path: /rails/storage/db/atelier.sqlite3" in (app / "config/litestream.yml").read_text(
        "utf-8"
    )


def test_a_wrong_answer_about_the_databases_never_passes_in_silence(
    template: Path, tmp_path: Path
) -> None:
    app = make_app("changed_by_hand", tmp_path / "notes")
    result = copy(template, app, databases="{primary: storage/production.sqlite3}")
    assert result.returncode == 0
    assert "storage/db/atelier.sqlite3 (primary), which is not backed up" in result.stdout


def test_a_folder_that_is_no_rails_app_is_left_as_it_was(template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    (folder / "bin").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "notes.txt").write_text("mine\n")
    commit(folder, "Not Rails")
    refused(template, folder, "is not a Rails app")
    assert (folder / "bin").is_dir(), "an empty folder of theirs stays"
    assert git(folder, "status", "--porcelain") == ""


def test_a_new_folder_is_not_left_behind(template: Path, tmp_path: Path) -> None:
    result = copy(template, tmp_path / "nowhere")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr + result.stdout
    assert not (tmp_path / "nowhere").exists()


def test_an_app_without_gemfile_lock_is_refused(template: Path, tmp_path: Path) -> None:
    app = tmp_path / "notes"
    (app / "config").mkdir(parents=True)
    shutil.copy(APPS / "rails_8_1/config/application.rb", app / "config")
    refused(template, app, "Gemfile.lock")


def test_an_app_on_postgresql_is_refused(template: Path, tmp_path: Path) -> None:
    app = tmp_path / "notes"
    (app / "config").mkdir(parents=True)
    for file in ("config/application.rb", "Gemfile.lock"):
        shutil.copy(APPS / "rails_8_1" / file, app / file)
    (app / "config/database.yml").write_text("production:\n  adapter: postgresql\n  database: x\n")
    refused(template, app, "postgresql, not on SQLite")


def test_databases_that_cannot_be_read_are_refused_with_what_to_write(
    template: Path, tmp_path: Path
) -> None:
    app = make_app("rails_8_1", tmp_path / "notes")
    (app / "config/database.yml").write_text("<%= File.read('elsewhere.yml') %>\n")
    refused(template, app, "which databases production opens cannot be read")


@pytest.mark.parametrize("file", ["bin/restore", "bin/boot-restore"])
def test_a_program_of_the_owners_that_is_called_like_ours_is_refused(
    template: Path, tmp_path: Path, file: str
) -> None:
    app = make_app("rails_8_1", tmp_path / "notes")
    (app / file).write_text("#!/bin/sh\necho mine\n")
    refused(template, app, f"{file} is a program of yours, and the template has one of that name")


def test_a_guide_of_the_owners_stays_and_it_is_said(template: Path, tmp_path: Path) -> None:
    app = make_app("rails_8_1", tmp_path / "notes")
    (app / "docs").mkdir()
    (app / "docs/DEPLOYMENT.md").write_text("# Ring Bob\n")
    result = copy(template, app)
    assert result.returncode == 0
    assert "it stays, and ours is not written\n    docs/DEPLOYMENT.md\n" in result.stdout
    assert "docs/DEPLOYMENT.md has the rest" not in result.stdout
    assert (app / "docs/DEPLOYMENT.md").read_text() == "# Ring Bob\n"
    assert "- docs/DEPLOYMENT.md\n" in (app / ".copier-answers.yml").read_text()
    commit(app, "Adopted")
    before = files_of(app)
    assert copy(template, app).returncode == 0
    assert files_of(app) == before


def test_what_is_to_be_put_in_by_hand_stands_last_on_the_screen(
    template: Path, tmp_path: Path
) -> None:
    app = make_app("changed_by_hand", tmp_path / "notes")
    deploy = app / "config/deploy.yml"
    text = deploy.read_text() + '<% if ENV["LOGS"] %>\nlogging: {driver: local}\n<% end %>\n'
    deploy.write_text(text)
    result = copy(template, app, databases="{primary: storage/db/atelier.sqlite3}")
    assert result.returncode == 0, result.stdout
    assert deploy.read_text() == text
    *_, last = result.stdout.partition("What comes next:")
    assert "To put in by hand" in last
    assert "      litestream:" in last
    assert "Left as you wrote it" not in last
    assert result.stdout.count("Left as you wrote it") == 1


def test_copying_twice_changes_nothing(
    template: Path, deployable: Callable[..., Path], tmp_path: Path
) -> None:
    app = deployable(tmp_path / "notes")
    before = files_of(app)
    render(template, app)
    assert files_of(app) == before


def started(pid: int, name: str) -> bool:
    """Whether a descendant of the process `pid` runs a program that is called with `name`."""
    children = read(Path(f"/proc/{pid}/task/{pid}/children")).split()
    return any(
        name in read(Path(f"/proc/{child}/cmdline")) or started(int(child), name)
        for child in children
    )


def read(file: Path) -> str:
    """Return what stands in a file of /proc; nothing once its process has ended."""
    try:
        return file.read_bytes().decode()
    except OSError:
        return ""


@pytest.mark.parametrize("wait", [0, 0.1, 0.3, 0.6, 1.2, 1.8])
def test_ctrl_c_in_the_hook_of_a_copy_leaves_all_or_nothing(
    template: Path, tmp_path: Path, wait: float
) -> None:
    app = make_app("rails_8_1", tmp_path / "notes")
    before = files_of(app)
    process = subprocess.Popen(
        [COPIER, *arguments(template, app)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not started(process.pid, "after_render.py") and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.08 + wait)  # Python itself has started by then.
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    after = files_of(app)
    assert NEW_ANSWERS not in after
    assert 'after_render.py", line' not in said, "no traceback of the hook"
    if after != before:
        assert "config/litestream.yml" in after
        render(template, app)
        assert files_of(app) == after, "nothing was missing"


def test_hooks_are_silent_in_copiers_temporary_trees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert during_update(tmp_path) == 0
    assert before_update(tmp_path, ROOT) == 0
    assert after_update(tmp_path, ROOT, ("0.1.0", "0.2.0")) == 0
    assert capsys.readouterr().out == ""


def test_an_update_restores_the_executable_bit_and_never_fails(
    template: Path,
    deployable: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = deployable(tmp_path / "notes")
    (app / "bin/docker-entrypoint").chmod(0o644)
    (app / ".copier-answers.yml").write_text("<<<<<<< before\n")
    capsys.readouterr()
    assert during_update(app) == 0
    assert os.access(app / "bin/docker-entrypoint", os.X_OK)
    assert after_update(app, template, ("0.1.0", "0.2.0")) == 0
    said = capsys.readouterr().out
    assert ".copier-answers.yml" in said
    assert "Traceback" not in said


def test_an_update_reports_on_the_merged_state_once(
    deployable: Callable[..., Path], tmp_path: Path
) -> None:
    app = deployable(tmp_path / "notes")
    commit(app, "Rendered")
    result = subprocess.run(
        warm.copier("update", "--trust", "--defaults", "--data=retention=168h", app),
        cwd=app,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("nothing to mend") <= 1
    assert "168h" in git(app, "diff", "config/litestream.yml")
    assert git(app, "diff", PRODUCTION) == ""
