"""Releases of the template that only the tests have, and apps that are updated between them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import warm
from .fixtures_template import RELEASE, commit, git, make_app, render, snapshot

NEXT = "v0.2.0"
#: Files that every release renders, in the order of their names.
FILES = (
    ".dockerignore",
    ".kamal/read_secrets.rb",
    ".kamal/secrets",
    "Dockerfile",
    "bin/boot-restore",
    "bin/docker-entrypoint",
    "bin/one-writer",
    "bin/restore",
    "config/deploy.yml",
    "config/litestream.yml",
    "docs/DEPLOYMENT.md",
)
CHANGED = " (said better in the next release)"


def source(template: Path, file: str) -> Path:
    """Return what `file` is rendered from."""
    plain = template / "template" / file
    return plain if plain.exists() else plain.with_name(f"{plain.name}.jinja")


def middle(rendered: Path, template: Path, file: str) -> str:
    """Return a comment near the middle of `file` that the template has as it is `rendered`."""
    lines = (rendered / file).read_text().splitlines()
    template_lines = source(template, file).read_text().splitlines()
    fitting = [
        (abs(number - len(lines) / 2), line)
        for number, line in enumerate(lines)
        if re.match(r"#+ \w[^{}%]+$", line)
        and template_lines.count(line) + template_lines.count(line + CHANGED) == 1
    ]
    return min(fitting)[1]


def release(template: Path, version: str, message: str = "The next release") -> None:
    commit(template, message)
    git(template, "tag", version)


def change_every_file(template: Path, scratch: Path) -> None:
    """Change one line in the middle of every file; `scratch` is a folder to render into."""
    render(template, scratch, skip_tasks=True)
    for file in FILES:
        line = middle(scratch, template, file)
        path = source(template, file)
        path.write_text(path.read_text().replace(f"{line}\n", f"{line}{CHANGED}\n"))


def copy_of(template: Path, folder: Path) -> Path:
    """Make a template of one's own: the same releases, to add to."""
    shutil.copytree(template, folder)
    return folder


def update(app: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `copier update` as its users do."""
    return subprocess.run(
        warm.copier("update", "--trust", "--defaults", *options),
        cwd=app,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def adopt(template: Path, folder: Path, name: str = "rails_8_1", **answers: Any) -> Path:
    """Make an app that was rendered from the first release, without an edit of its owner yet."""
    app = make_app(name, folder)
    render(template, app, answers, vcs_ref=RELEASE)
    commit(app, "Deploy with Kamal and Litestream")
    return app


@pytest.fixture(scope="session")
def two_releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a template of which the second release changes a line in the middle of every file."""
    template = snapshot(tmp_path_factory.mktemp("kamalstream"))
    change_every_file(template, tmp_path_factory.mktemp("first"))
    changelog = template / "CHANGELOG.md"
    text = changelog.read_text().replace("## [Unreleased]", "## [0.1.0] - 2026-01-01")
    news = "## [0.2.0] - 2026-02-01\n\n### Changed\n\n- Every file says it better.\n\n## [0.1.0]"
    changelog.write_text(text.replace("## [0.1.0]", news, 1))
    release(template, NEXT)
    return template


@pytest.fixture(scope="session")
def adopted(two_releases: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Return what copies an app that is on the first release: rendered once, copied often."""
    first = adopt(two_releases, tmp_path_factory.mktemp("adopted") / "notes")

    def copied(folder: Path) -> Path:
        shutil.copytree(first, folder, symlinks=True)
        return folder

    return copied


def state(app: Path) -> tuple[str, dict[str, tuple[bytes, int]]]:
    """Return what git says of the app, and every file that is not ignored, with its mode."""
    listed = git(app, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    files = {
        name: ((app / name).read_bytes(), (app / name).stat().st_mode)
        for name in sorted(set(listed))
        if name and (app / name).is_file()
    }
    return git(app, "status", "--porcelain", "--", ".") + git(app, "ls-files", "-s"), files
