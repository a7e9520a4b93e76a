"""The workflow that verifies backups, step by step as a runner of GitHub's has it.

GitHub's own command `gh` is a stand-in that notes what it is asked for.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kamalstream.facts import VERIFIED, VERIFY_WORKFLOW
from kamalstream.render.files import rendered_files

from .conftest import ROOT

GH = """\
#!/bin/sh
# A stand-in: one open issue per line of "$ISSUES".
printf '%s\\n' "$*" >> "$ASKED"
case "$1 $2" in
"issue list") cat "$ISSUES" ;;
"issue create") echo 7 >> "$ISSUES"; cp "$6" "$ASKED.body" ;;
"issue close") : > "$ISSUES" ;;
esac
"""
KAMALSTREAM = """\
#!/bin/sh
echo "primary: the table orders is gone"
exit $ENDS
"""


@pytest.fixture
def steps(rendered: Callable[..., Path]) -> list[dict[str, Any]]:
    text = (rendered(verify_schedule="monthly") / VERIFY_WORKFLOW).read_text()
    found: list[dict[str, Any]] = yaml.safe_load(text)["jobs"]["verify"]["steps"]
    return found


def test_it_is_rendered_where_it_is_asked_for_and_nowhere_else(
    rendered: Callable[..., Path],
) -> None:
    without, weekly = rendered(), rendered(verify_schedule="weekly")
    assert not (without / VERIFY_WORKFLOW).exists()
    assert not (without / ".github").exists()
    workflow = yaml.safe_load((weekly / VERIFY_WORKFLOW).read_text())
    # YAML 1.1 reads `on` as true.
    assert workflow[True]["schedule"] == [{"cron": "23 4 * * 1"}]
    assert workflow["permissions"] == {}
    assert workflow["jobs"]["verify"]["permissions"] == {"contents": "read", "issues": "write"}
    for folder in (without, weekly):
        assert (VERIFY_WORKFLOW in rendered_files(ROOT, folder)) == (folder == weekly)
        assert "verify" in (folder / "docs/DEPLOYMENT.md").read_text()


def test_every_action_is_pinned_to_a_commit_and_names_its_release(
    rendered: Callable[..., Path],
) -> None:
    text = (rendered(verify_schedule="monthly") / VERIFY_WORKFLOW).read_text()
    uses = re.findall(r"uses: (.*)", text)
    assert len(uses) == 4
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v[0-9.]+", one) for one in uses)


def test_what_it_keeps_is_what_the_command_writes(steps: list[dict[str, Any]]) -> None:
    kept = [step["with"]["path"] for step in steps if "path" in step.get("with", {})]
    assert kept == [VERIFIED, VERIFIED]


def test_an_issue_is_open_while_it_fails_and_only_one(
    steps: list[dict[str, Any]], tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("gh", GH), ("kamalstream", KAMALSTREAM)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    issues, asked = tmp_path / "issues", tmp_path / "asked"
    issues.touch()
    verify, report = (step["run"] for step in steps if "name" in step)

    def month(ends: int) -> list[str]:
        asked.write_text("")
        environment = {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "RUNNER_TEMP": str(tmp_path),
            "ISSUES": str(issues),
            "ASKED": str(asked),
            "ENDS": str(ends),
            "RUN": "https://github.com/o/r/actions/runs/1",
        }
        # As GitHub runs a step with `shell: bash`, and one without.
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", verify],
            env=environment,
            check=False,
        )
        outcome = "failure" if done.returncode else "success"
        subprocess.run(
            ["bash", "-e", "-c", report], env={**environment, "OUTCOME": outcome}, check=True
        )
        return [line.split()[1] for line in asked.read_text().splitlines()]

    assert month(0) == ["list"]
    assert month(1) == ["list", "create"]
    body = Path(f"{asked}.body").read_text()
    assert "the table orders is gone" in body
    assert "actions/runs/1" in body
    assert month(1) == ["list"]
    assert month(0) == ["list", "close"]
    assert month(0) == ["list"]
