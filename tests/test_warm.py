"""What tests start warm does what the program does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from . import warm


@pytest.mark.parametrize(
    "code", ["raise Exception, 'too far'", "raise 'too far'", "exit 7", "raise NotImplementedError"]
)
def test_a_warm_kamal_ends_as_kamal_does(tmp_path: Path, code: str) -> None:
    folder, program = warm.kamal(), Path(sys.executable).with_name("kamal")
    assert folder
    (tmp_path / "config").mkdir()
    (tmp_path / "config/deploy.yml").write_text(f"<% {code} %>\n")
    ended = [
        subprocess.run(
            [one, "config", "--version", "1"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        for one in (program, folder / "kamal")
    ]
    real, warmed = ((one.returncode, one.stdout, "too far" in one.stderr) for one in ended)
    assert warmed == real
