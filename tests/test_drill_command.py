"""`kamalstream drill` as a user runs it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import requires

COMMAND = Path(sys.executable).parent / "kamalstream"


@requires("weed", "litestream-0.5", "litestream-0.3")
@pytest.mark.parametrize("series", ["0.5", "0.3"])
def test_the_drill_proves_a_fresh_rendering_and_says_so_in_figures(
    deployable: Callable[..., Path], tmp_path: Path, series: str
) -> None:
    app = deployable(tmp_path / "notes", litestream_version=series)
    done = subprocess.run(
        [COMMAND, "drill", app, "--seconds", "3"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Proven: everything older than" in done.stdout
    assert all(name in done.stdout for name in ("primary", "queue", "rows back", "integrity"))


@requires("weed", "litestream-0.5", "ps")
def test_a_drill_that_is_terminated_leaves_no_server_behind(
    deployable: Callable[..., Path], tmp_path: Path
) -> None:
    app = deployable(tmp_path / "notes")
    drill = subprocess.Popen(
        [COMMAND, "drill", app],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": str(COMMAND.parent), "TMPDIR": str(tmp_path)},
    )
    assert drill.stdout
    for line in drill.stdout:
        if "writing" in line:
            break
    drill.send_signal(signal.SIGTERM)
    assert drill.wait(30) == 143
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and processes(tmp_path):
        time.sleep(0.2)
    assert processes(tmp_path) == []


def processes(folder: Path) -> list[str]:
    """Return the command lines of processes that work in `folder`."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [
        line for line in listed.stdout.splitlines() if str(folder) in line and "ps -eo" not in line
    ]


@requires("litestream-0.5")
def test_an_app_without_litestream_yml_has_nothing_to_drill(
    deployable: Callable[..., Path], tmp_path: Path
) -> None:
    app = deployable(tmp_path / "notes")
    (app / "config/litestream.yml").unlink()
    done = subprocess.run([COMMAND, "drill", app], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "config/litestream.yml" in done.stderr
    assert "Traceback" not in done.stderr
