"""What Copier's hooks do in the app, and leave alone elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kamalstream.hooks import after_render, after_update, before_update

from .conftest import APPS, ROOT
from .fixtures_template import ANSWERS, RELEASE, commit, git, make_app, render

COPIER = Path(sys.executable).parent / "copier"
PRODUCTION = "config/environments/production.rb"


def copy(template: Path, app: Path, **answers: str) -> subprocess.CompletedProcess[str]:
    data = [f"--data={key}={value}" for key, value in {**ANSWERS, **answers}.items()]
    options = ["--trust", "--defaults", "--overwrite", f"--vcs-ref={RELEASE}"]
    return subprocess.run(
        [COPIER, "copy", *options, *data, template, app],
        capture_output=True,
        text=True,
        check=False,
    )


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git/" not in str(path)
    }


def test_a_copy_edits_production_rb_and_says_what_it_did_and_what_is_next(
    template: Path, tmp_path: Path
) -> None:
    app = make_app("rails_8_1", tmp_path / "notes")
    result = copy(template, app)
    assert result.returncode == 0, result.stderr
    assert "config.force_ssl = true" in git(app, "diff", PRODUCTION)
    for said in ("force_ssl", "nothing to mend", "credentials:edit", "kamal setup", "primary"):
        assert said in result.stdout


def test_a_wrong_guess_of_the_databases_never_passes_in_silence(
    template: Path, tmp_path: Path
) -> None:
    app = make_app("changed_by_hand", tmp_path / "notes")
    result = copy(template, app)
    assert result.returncode == 0
    assert "storage/db/atelier.sqlite3 (primary), which is not backed up" in result.stdout
    assert "--data databases='{primary: storage/db/atelier.sqlite3" in result.stdout


def test_a_destination_that_is_no_rails_app_is_left_as_it_was(
    template: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    (folder / "bin").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "notes.txt").write_text("mine\n")
    commit(folder, "Not Rails")
    before = files(folder) | {"Dockerfile": b""}
    result = copy(template, folder)
    assert result.returncode == 1
    assert "is not a Rails app" in result.stdout
    assert "git checkout -- Dockerfile" in result.stdout
    assert files(folder) | {"Dockerfile": b""} == before
    assert (folder / "bin").is_dir(), "an empty folder of theirs stays"
    git(folder, "checkout", "--", "Dockerfile")
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
    before = files(app)
    result = copy(template, app)
    assert (result.returncode, "Gemfile.lock" in result.stdout) == (1, True)
    assert files(app) == before


def test_an_app_on_postgresql_is_refused(template: Path, tmp_path: Path) -> None:
    app = tmp_path / "notes"
    (app / "config").mkdir(parents=True)
    for file in ("config/application.rb", "Gemfile.lock"):
        shutil.copy(APPS / "rails_8_1" / file, app / file)
    (app / "config/database.yml").write_text("production:\n  adapter: postgresql\n  database: x\n")
    before = files(app)
    result = copy(template, app)
    assert (result.returncode, "postgresql, not on SQLite" in result.stdout) == (1, True)
    assert files(app) == before


def test_a_template_in_a_plain_folder_removes_nothing(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a clone that Copier made says by its age which files of the app this run created."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    app = tmp_path / "notes"
    app.mkdir()
    (app / "Dockerfile").write_text("FROM scratch\n")
    assert after_render(app, operation="copy", template=template) == 1
    assert (app / "Dockerfile").exists()


def test_copying_twice_changes_nothing(template: Path, tmp_path: Path) -> None:
    app = make_app("rails_8_1", tmp_path / "notes")
    render(template, app)
    before = files(app)
    render(template, app)
    assert files(app) == before


def test_hooks_are_silent_in_copiers_temporary_trees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert after_render(tmp_path, operation="update", template=ROOT) == 0
    assert before_update(tmp_path, ROOT) == 0
    assert after_update(tmp_path, ROOT, ("0.1.0", "0.2.0")) == 0
    assert capsys.readouterr().out == ""


def test_an_update_restores_the_executable_bit_and_never_fails(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = make_app("rails_8_1", tmp_path / "notes")
    render(template, app)
    (app / "bin/docker-entrypoint").chmod(0o644)
    (app / ".copier-answers.yml").write_text("<<<<<<< before\n")
    assert after_render(app, operation="update", template=template) == 0
    assert os.access(app / "bin/docker-entrypoint", os.X_OK)
    assert after_update(app, template, ("0.1.0", "0.2.0")) == 0
    said = capsys.readouterr().out
    assert ".copier-answers.yml" in said
    assert "Traceback" not in said


def test_an_update_reports_on_the_merged_state_once(template: Path, tmp_path: Path) -> None:
    app = make_app("rails_8_1", tmp_path / "notes")
    render(template, app)
    commit(app, "Rendered")
    result = subprocess.run(
        [COPIER, "update", "--trust", "--defaults", "--data=retention=168h", app],
        cwd=app,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("nothing to mend") <= 1
    assert "168h" in git(app, "diff", "config/litestream.yml")
    assert git(app, "diff", PRODUCTION) == ""
