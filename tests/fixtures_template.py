"""Runs the template on apps: a fixture of our own, as pytest-copie stops at a conflict."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import copier
import pytest
from copier.errors import MissingFileWarning

from .conftest import APPS, ROOT

#: What nothing can be derived from: the least that must be given.
ANSWERS = {
    "app_name": "notes",
    "server_ip": "203.0.113.7",
    "domain": "notes.example.com",
    "bucket": "notes-backups",
}
RELEASE = "v0.1.0"


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def commit(folder: Path, message: str) -> None:
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)


def snapshot(target: Path, tag: str = RELEASE) -> Path:
    """Make `target` a repository with the template as the working tree has it now, and tag it."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if name.startswith(("tests/", "docs/", ".ci/")) or not source.is_file():
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target / name)
    commit(target, "The template")
    git(target, "tag", tag)
    return target


def make_app(name: str, target: Path) -> Path:
    """Copy the sample app `name` of tests/apps to `target`, as a git repository without changes."""
    shutil.copytree(APPS / name, target)
    commit(target, "The app as it was")
    return target


def render(
    template: Path, app: Path, answers: dict[str, Any] | None = None, **options: Any
) -> None:
    """Do in this process what `copier copy --trust --defaults --overwrite` does."""
    with warnings.catch_warnings():
        # A folder without .ruby-version: Copier says so, and versions.yml has the Ruby.
        warnings.simplefilter("ignore", MissingFileWarning)
        copier.run_copy(
            str(template),
            app,
            data={**ANSWERS, **(answers or {})},
            defaults=True,
            overwrite=True,
            quiet=True,
            **{"unsafe": True, "vcs_ref": RELEASE, **options},
        )


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return snapshot(tmp_path_factory.mktemp("kamalstream"))


@pytest.fixture
def sample_app(tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: make_app(name, tmp_path / name)


@pytest.fixture
def fresh(template: Path, tmp_path: Path) -> Callable[..., Path]:
    """Render into an empty folder, without hooks: what the files of template/ become."""

    def into_an_empty_folder(**answers: Any) -> Path:
        folder = tmp_path / "fresh"
        render(template, folder, answers, skip_tasks=True)
        return folder

    return into_an_empty_folder
