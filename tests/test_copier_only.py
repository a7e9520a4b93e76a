"""A Rails developer who installed Copier and nothing else gets the same."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from .conftest import ROOT
from .fixtures_init import Files, files_of
from .fixtures_template import ANSWERS, git


@pytest.fixture(scope="session")
def copier_only() -> Path:
    """Return the Python of an environment with Copier alone, made once and kept in .venv."""
    folder = ROOT / ".venv" / f"copier-only-{version('copier')}-{sys.version_info.minor}"
    python = folder / "bin" / "python"
    ready = folder / "ready"
    lock = folder.with_name(f"{folder.name}.lock")
    folder.parent.mkdir(exist_ok=True)
    while not ready.exists():
        try:
            lock.touch(exist_ok=False)
        except FileExistsError:  # another worker makes it
            if time.time() - lock.stat().st_mtime > 300:
                lock.unlink(missing_ok=True)
            time.sleep(0.5)
            continue
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            wanted = f"copier=={version('copier')}"
            subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True)
            ready.touch()
        finally:
            lock.unlink(missing_ok=True)
    return python


def run(python: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    # The programs of the project's own environment are not on a newcomer's PATH.
    path = [entry for entry in os.get_exec_path() if not entry.startswith(str(ROOT))]
    env |= {"PATH": os.pathsep.join([str(python.parent), *path]), "NO_COLOR": "1"}
    return subprocess.run(
        [python, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


def copy(
    python: Path, template: Path, app: Path, **answers: str
) -> subprocess.CompletedProcess[str]:
    data = [f"--data={key}={value}" for key, value in {**ANSWERS, **answers}.items()]
    return run(
        python,
        "-m",
        "copier",
        "copy",
        "--trust",
        "--defaults",
        "--overwrite",
        *data,
        str(template),
        ".",
        cwd=app,
    )


def tree(folder: Path) -> Files:
    return {file: held for file, held in files_of(folder).items() if not file.startswith("tmp/")}


def test_there_is_nothing_but_what_copier_brings(copier_only: Path, tmp_path: Path) -> None:
    for missing in ("typer", "rich", "cryptography", "kamalstream"):
        assert run(copier_only, "-c", f"import {missing}", cwd=tmp_path).returncode


def test_what_the_hooks_import_is_there(copier_only: Path, template: Path, tmp_path: Path) -> None:
    hooks = ", ".join(
        f"kamalstream.hooks.{one}" for one in ("after_copy", "after_update", "of_update")
    )
    code = f"import sys; sys.path.insert(0, {str(template)!r}); import {hooks}"
    result = run(copier_only, "-B", "-c", code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["rails_8_1", "changed_by_hand"])
def test_copier_alone_does_the_whole_job(
    copier_only: Path,
    template: Path,
    sample_app: Callable[[str], Path],
    deployable: Callable[..., Path],
    tmp_path: Path,
    name: str,
) -> None:
    app = sample_app(name)
    result = copy(copier_only, template, app)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert "kamalstream check" in result.stdout
    with_everything = deployable(tmp_path / "other" / name, name)
    apart = ".copier-answers.yml"  # names the template's commit, the same, and its path
    assert {key: value for key, value in tree(app).items() if key != apart} == {
        key: value for key, value in tree(with_everything).items() if key != apart
    }
    assert (app / apart).is_file()
    left = git(template, "status", "--porcelain", "--ignored")
    assert left == "", "hooks leave nothing in the template"


def test_copier_alone_updates(
    copier_only: Path, template: Path, sample_app: Callable[[str], Path]
) -> None:
    app = sample_app("rails_8_1")
    assert copy(copier_only, template, app).returncode == 0
    git(app, "add", "--all")
    git(app, "commit", "-q", "-m", "Deployable")
    result = run(
        copier_only,
        "-m",
        "copier",
        "update",
        "--trust",
        "--defaults",
        "--data=domain=other.example.com",
        ".",
        cwd=app,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    changed = {line[3:] for line in git(app, "status", "--short").splitlines()}
    assert changed == {".copier-answers.yml", "config/deploy.yml", "docs/DEPLOYMENT.md"}
    assert "host: other.example.com" in (app / "config/deploy.yml").read_text("utf-8")


def test_a_folder_that_is_no_rails_app_is_left_as_it_was(
    copier_only: Path, template: Path, tmp_path: Path
) -> None:
    app = tmp_path / "photos"
    app.mkdir()
    (app / "holiday.jpg").write_bytes(b"\xff\xd8")
    result = copy(copier_only, template, app)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "not a Rails app" in result.stdout
    assert [*files_of(app)] == ["holiday.jpg"]
