"""Runs the template on apps: a fixture of our own, as pytest-copie stops at a conflict."""

from __future__ import annotations

import marshal
import shutil
import subprocess
import warnings
from collections.abc import Callable
from functools import cache
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path
from typing import Any

import pytest
from copier._main import Worker
from copier.errors import MissingFileWarning

from kamalstream.render.with_copier import in_place

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


@cache
def _bytecode(name: str, source: bytes) -> bytes:
    """Return what Python writes beside the source of a module, valid for that source alone."""
    code = compile(source, name, "exec", dont_inherit=True)
    valid = (3).to_bytes(4, "little") + source_hash(source)
    return MAGIC_NUMBER + valid + marshal.dumps(code)


def _keep_bytecode(name: str, template: Path) -> None:
    """Put bytecode into the template, or each hook of each clone would compile all it imports."""
    kept = Path(cache_from_source(template / name))
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(_bytecode(name, (template / name).read_bytes()))


#: What nothing is rendered from.
NOT_RENDERED = ("tests/", "docs/", ".ci/", "e2e/", "corpus/", "benchmarks/")


def snapshot(target: Path, tag: str = RELEASE) -> Path:
    """Make `target` a repository with the template as the working tree has it now, and tag it."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if name.startswith(NOT_RENDERED) or not source.is_file():
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target / name)
        if source.suffix == ".py":
            _keep_bytecode(name, target)
    commit(target, "The template")
    git(target, "add", "--force", "--", "*/__pycache__/*")
    git(target, "commit", "-q", "--amend", "--no-edit")
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
    """Do in this process what `copier copy --trust --defaults --overwrite` does.

    Without a `vcs_ref` the template is taken as its folder has it, and not cloned.
    """
    with (
        warnings.catch_warnings(),
        Worker(
            src_path=str(template),
            dst_path=app,
            data={**ANSWERS, **(answers or {})},
            defaults=True,
            overwrite=True,
            quiet=True,
            unsafe=True,
            **options,
        ) as worker,
    ):
        # A folder without .ruby-version: Copier says so, and versions.yml has the Ruby.
        warnings.simplefilter("ignore", MissingFileWarning)
        if "vcs_ref" not in options:
            worker.template = in_place(template)
        worker.run_copy()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return snapshot(tmp_path_factory.mktemp("kamalstream"))


@pytest.fixture
def sample_app(tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: make_app(name, tmp_path / name)


@pytest.fixture(scope="session")
def rendered(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Render into an empty folder, without hooks: what the files of template/ become.

    Once for the same answers; the folder is not to be changed.
    """
    done: dict[str, Path] = {}

    def once(**answers: Any) -> Path:
        key = repr(answers)
        if key not in done:
            done[key] = tmp_path_factory.mktemp("rendered")
            render(template, done[key], answers, skip_tasks=True)
        return done[key]

    return once


@pytest.fixture
def fresh(rendered: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Do the same, into a folder of the test's own."""
    return lambda **answers: Path(shutil.copytree(rendered(**answers), tmp_path / "fresh"))


@pytest.fixture(scope="session")
def deployable(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return what copies a sample app that has been rendered into, hooks and all, to `folder`.

    Once for the same answers; what came with the rendering is not committed.
    """
    done: dict[str, Path] = {}

    def copied(folder: Path, name: str = "rails_8_1", **answers: Any) -> Path:
        key = name + repr(answers)
        if key not in done:
            done[key] = make_app(name, tmp_path_factory.mktemp("deployable") / folder.name)
            render(template, done[key], answers)
        return Path(shutil.copytree(done[key], folder, symlinks=True))

    return copied
