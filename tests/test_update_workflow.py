"""The workflow of docs/updates.md, step by step as a runner of GitHub's has it: on a shallow clone.

GitHub's own command `gh` is a stand-in that notes what it is asked for.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from . import warm
from .conftest import ROOT, requires
from .fixtures_template import commit, git
from .fixtures_update import CHANGED, middle

Adopted = Callable[[Path], Path]
GH = """\
#!/bin/sh
# A stand-in: one pull request per line of "$PULL_REQUESTS".
printf '%s\\n' "$*" >> "$ASKED"
case "$1 $2" in
"pr list") grep -c "^$6$" "$PULL_REQUESTS" || true ;;
"pr create") echo "$4" >> "$PULL_REQUESTS"; cp "$8" "$PULL_REQUESTS.body" ;;
esac
"""


def step() -> str:
    """Return the commands of the workflow's last step."""
    page = (ROOT / "docs/updates.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    workflow = next(loaded for one in blocks if "jobs" in (loaded := yaml.safe_load(one)))
    commands: str = workflow["jobs"]["update"]["steps"][-1]["run"]
    return commands


class Runner:
    """A machine of GitHub's, with one repository and what `gh` was asked."""

    def __init__(self, folder: Path, app: Path) -> None:
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir()
        (programs / "gh").write_text(GH)
        (programs / "gh").chmod(0o755)
        (programs / "kamalstream").symlink_to(warm.folder() / "kamalstream")
        (folder / "empty").touch()
        self.pull_requests = folder / "pull_requests"
        self.pull_requests.touch()
        self.asked = folder / "asked"
        self.origin = folder / "origin.git"
        git(folder, "clone", "-q", "--bare", str(app), str(self.origin))

    def run(self, workspace: str) -> subprocess.CompletedProcess[str]:
        """Check out as actions/checkout does (one commit, no tags), and run the step."""
        clone = self.folder / workspace
        clone.mkdir()
        branch = git(self.origin, "symbolic-ref", "--short", "HEAD").strip()
        git(clone, "init", "-q")
        git(clone, "remote", "add", "origin", self.origin.as_uri())
        there = f"refs/remotes/origin/{branch}"
        git(clone, "fetch", "-q", "--no-tags", "--depth=1", "origin", f"+{branch}:{there}")
        git(clone, "checkout", "-q", "--force", "-B", branch, there)
        scratch = self.folder / f"{workspace}-temp"
        scratch.mkdir()
        environment = {
            **os.environ,
            "PATH": f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}",
            "GIT_CONFIG_GLOBAL": str(self.folder / "empty"),
            "RUNNER_TEMP": str(scratch),
            "PULL_REQUESTS": str(self.pull_requests),
            "ASKED": str(self.asked),
        }
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step()],
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def runner(two_releases: Path, adopted: Adopted, tmp_path: Path) -> Runner:
    app = adopted(tmp_path / "notes")
    line = middle(app, two_releases, "Dockerfile")
    (app / "Dockerfile").write_text((app / "Dockerfile").read_text().replace(line, "# Mine"))
    commit(app, "Mine")
    (tmp_path / "runner").mkdir()
    return Runner(tmp_path / "runner", app)


@requires("jq")
def test_a_release_gets_one_pull_request_with_all_that_the_update_said(runner: Runner) -> None:
    first = runner.run("first")
    assert first.returncode == 0, first.stderr
    assert runner.pull_requests.read_text() == "kamalstream/0.2.0\n"
    body = (runner.folder / "pull_requests.body").read_text()
    assert "Every file says it better" in body
    assert re.search(r"Dockerfile: conflict at line \d+", body)
    assert "run: kamal accessory reboot litestream && kamal deploy" in body
    assert CHANGED in git(runner.origin, "show", "kamalstream/0.2.0:bin/restore")
    assert "<<<<<<< " in git(runner.origin, "show", "kamalstream/0.2.0:Dockerfile")

    again = runner.run("again")
    assert again.returncode == 0, again.stderr
    assert runner.pull_requests.read_text() == "kamalstream/0.2.0\n", "still one"


@requires("jq")
def test_where_there_is_nothing_new_nothing_is_asked_of_github(runner: Runner) -> None:
    runner.run("first")
    branch = git(runner.origin, "symbolic-ref", "--short", "HEAD").strip()
    git(runner.origin, "branch", "-f", branch, "kamalstream/0.2.0")
    runner.asked.unlink()
    merged = runner.run("merged")
    assert (merged.returncode, runner.asked.exists()) == (0, False), merged.stderr


@requires("jq")
def test_a_template_that_cannot_be_had_fails_the_workflow_in_words(
    adopted: Adopted, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    answers = app / ".copier-answers.yml"
    answers.write_text(re.sub(r"_src_path: .*", "_src_path: ../gone", answers.read_text()))
    commit(app, "The template moved")
    (tmp_path / "runner").mkdir()
    runner = Runner(tmp_path / "runner", app)
    result = runner.run("first")
    assert result.returncode, result.stdout
    assert "no git repository" in result.stderr
    assert runner.pull_requests.read_text() == ""
