"""The command as pip installs it from git: without the repository beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from .fixtures_template import ANSWERS, RELEASE, commit, git
from .fixtures_update import update


@pytest.fixture(scope="module")
def packages(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the command as it is installed, its dependencies left out."""
    folder = tmp_path_factory.mktemp("site-packages")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--target", folder, f"git+{template.as_uri()}@{RELEASE}"),
        ],
        check=True,
    )
    return folder


def test_the_installed_command_adopts_an_app_that_copier_can_update(
    packages: Path, template: Path, sample_app: Callable[[str], Path], tmp_path: Path
) -> None:
    app = sample_app("rails_8_1")
    answers = tmp_path / "answers.yml"
    answers.write_text(yaml.safe_dump(ANSWERS))
    ran = subprocess.run(
        [
            *(sys.executable, packages / "bin" / "kamalstream"),
            *("init", "--defaults", "--data-file", answers, app),
        ],
        env={**os.environ, "PYTHONPATH": str(packages)},
        cwd=packages,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    stored = (app / ".copier-answers.yml").read_text()
    assert f"_src_path: git+{template.as_uri()}\n" in stored
    assert f"_commit: {RELEASE}\n" in stored

    commit(app, "Deploy with Kamal and Litestream")
    assert update(app).returncode == 0
    assert not git(app, "status", "--porcelain")
