"""What the template makes of an app's answers, without the owner's edits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from kamalstream import yaml_input
from kamalstream.errors import BadInput
from kamalstream.facts import ANSWERS


def render(
    answers: str, source: str, folder: Path, here: Path | None = None, version: str | None = None
) -> None:
    """Render the release that the answers file with the text `answers` names into `folder`.

    `source` is the template's address; one that is relative starts from `here`. `version` takes the
    place of the release that the answers name. Copier runs as a
    process of its own, without hooks. Raises BadInput with its last words where it fails.
    """
    loaded = yaml_input.load(answers, ANSWERS)
    data = folder.parent / f"{folder.name}.yml"
    given = {name: value for name, value in loaded.items() if not name.startswith("_")}
    data.write_text(yaml.safe_dump(given), "utf-8")
    options = ("--skip-tasks", "--defaults", "--overwrite", "--quiet", f"--data-file={data}")
    release = f"--vcs-ref={version or loaded['_commit']}"
    copier(["copy", *options, release, source, str(folder)], here or folder.parent)


def copier(arguments: list[str], folder: Path) -> str:
    """Run Copier with `arguments` in `folder`; return what its hooks said.

    Raises BadInput with Copier's last words where it fails.
    """
    result = subprocess.run(
        [sys.executable, "-m", "copier", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        raise BadInput(lines[-1] if lines else f"copier ended with {result.returncode}")
    return result.stdout
