"""Runs `kamalstream init` in this process, on the template as the working tree has it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from kamalstream import cli
from kamalstream.commands import init
from kamalstream.render.source import Source
from kamalstream.render.with_copier import in_place

from .fixtures_template import ANSWERS, RELEASE

Files = dict[str, tuple[int, bytes]]


@dataclass(frozen=True)
class Ran:
    """What became of a command."""

    code: int
    out: str
    err: str


def files_of(folder: Path) -> Files:
    """Return the mode and content of every file below `folder`, git's own left out."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mode, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


@pytest.fixture(name="kamalstream")
def _kamalstream(
    template: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Run the command with these arguments."""
    monkeypatch.setattr(init, "template_source", lambda: Source(str(template), RELEASE))
    # The folder is at that release already; the wizard and the installed command do clone.
    monkeypatch.setattr(
        init, "at_hand", lambda source: nullcontext(in_place(Path(source.location)))
    )

    def run(*arguments: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["kamalstream", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        out, err = capfd.readouterr()
        return Ran(int(leaving.value.code or 0), out, err)

    return run


@pytest.fixture(name="answers")
def _answers(tmp_path: Path) -> Callable[..., Path]:
    """Write a data file: the least that must be given, and more or otherwise where said."""

    def write(**more: object) -> Path:
        file = tmp_path / "answers.yml"
        given = {**ANSWERS, **more}
        file.write_text(yaml.safe_dump({k: v for k, v in given.items() if v is not None}))
        return file

    return write
