"""An update interrupted wherever Copier runs a hook of ours: the app can always be brought back.

Ctrl-C and SIGKILL reach every process of the update, as a terminal or a reboot sends them. Pruned:
the command touches the app in one step only, so it is interrupted in its copy at one place; and
Ctrl-C is sent where Copier has written to the app, SIGKILL everywhere.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kamalstream.update import preview
from kamalstream.update.outcome import UNDO

from .conftest import ROOT
from .fixtures_template import commit, git, snapshot
from .fixtures_update import NEXT, adopt, change_every_file, middle, release, state

# The old copy is rendered with the hooks of the old release; these are those of the new one.
PLACES = [
    "before_update in the app",
    "after_render in the app",
    "after_render in a copy",
    "after_update in the app",
]
INTERRUPT = """\
import os, sys, time
from pathlib import Path

where = "in the app" if Path(".git").exists() else "in a copy"
if os.environ.get("PLACE") == f"{Path(sys.argv[0]).stem} {where}":
    os.killpg(0, int(os.environ["SIGNAL"]))
    time.sleep(1)
"""
SIGNALS = [signal.SIGINT, signal.SIGKILL]
INTERRUPTED = [*((place, signal.SIGKILL) for place in PLACES)]
INTERRUPTED += [(place, signal.SIGINT) for place in ("after_render in the app", PLACES[-1])]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an app with edits, of whose template the next release interrupts its update."""
    template = snapshot(tmp_path_factory.mktemp("kamalstream"))
    app = adopt(template, tmp_path_factory.mktemp("adopted") / "notes")
    change_every_file(template, tmp_path_factory.mktemp("first"))
    (template / "template/bin/new").write_text("#!/bin/sh\n")
    (template / "hooks/interrupt.py").write_text(INTERRUPT)
    for name in ("before_update", "after_render", "after_update"):
        hook = template / f"hooks/{name}.py"
        hook.write_text(hook.read_text().replace("import sys\n", "import sys\nimport interrupt\n"))
    release(template, NEXT)
    dockerfile = app / "Dockerfile"
    line = middle(app, template, "Dockerfile")
    dockerfile.write_text(dockerfile.read_text().replace(line, "# Mine"))
    (app / "config/deploy.yml").write_text((app / "config/deploy.yml").read_text() + "# Mine\n")
    commit(app, "Mine")
    return app


@pytest.fixture
def app(first: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(first, tmp_path / "notes", symlinks=True))


def run(app: Path, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=app,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        start_new_session=True,
        check=False,
    )


COPIER = ["copier", "update", "--trust", "--defaults"]
COMMAND = ["kamalstream.cli", "update", "--yes"]


@pytest.mark.parametrize(("place", "sent"), INTERRUPTED)
def test_after_copier_was_interrupted_the_command_it_printed_brings_the_app_back(
    place: str, sent: signal.Signals, app: Path
) -> None:
    before, head = state(app), git(app, "rev-parse", "HEAD")
    result = run(app, COPIER, PLACE=place, SIGNAL=str(int(sent)))
    assert result.returncode != 0, "it was interrupted"
    said = [line.strip() for line in (result.stdout + result.stderr).splitlines()]
    assert UNDO in said, "it was said before anything was written"
    subprocess.run(UNDO, shell=True, cwd=app, check=True)
    assert state(app) == before
    assert git(app, "rev-parse", "HEAD") == head
    git(app, "fsck", "--no-dangling")


@pytest.mark.parametrize("sent", SIGNALS)
def test_the_command_interrupted_in_its_copy_leaves_the_app_as_it_was_and_works_the_next_time(
    sent: signal.Signals, app: Path
) -> None:
    before = state(app)
    result = run(app, COMMAND, PLACE="after_update in the app", SIGNAL=str(int(sent)))
    assert result.returncode != 0
    assert state(app) == before
    if sent == signal.SIGINT:
        assert git(app, "worktree", "list").count("\n") == 1
        return
    # Killed, it cannot tidy up: git forgets the copy when that is gone.
    assert run(app, COMMAND).returncode == 1, "a conflict is left"
    assert (app / "bin/new").exists()


@pytest.mark.parametrize("step", ["read-tree", "update-index"])
def test_interrupted_while_it_takes_over_the_command_that_was_printed_brings_the_app_back(
    step: str, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(app)
    names: list[tuple[Any, str]] = [(preview, "git"), (preview, "git_bytes")]
    seen: list[bool] = []
    for module, name in names:
        real: Callable[..., Any] = getattr(module, name)

        def interrupted(
            folder: Path, *arguments: str, real: Callable[..., Any] = real, **options: Any
        ) -> Any:
            answer = real(folder, *arguments, **options)
            if arguments[0] == step and "--refresh" not in arguments:
                seen.append(True)
                raise KeyboardInterrupt
            return answer

        monkeypatch.setattr(module, name, interrupted)
    with pytest.raises(KeyboardInterrupt), preview.preview(app, {}) as done:
        preview.take_over(done)
    assert seen
    assert state(app) != before
    subprocess.run(UNDO, shell=True, cwd=app, check=True)
    assert state(app) == before
