"""Every rendered file × what its owner did to it × how conflicts are left: nothing is lost.

One update carries the same edit in all files at once, as Copier merges them one by one. Pruned: the
conflict mode changes nothing where nothing conflicts, so "rej" is run for the edits that do.
The oracle is a fresh render of the newest release with the same edit made to it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from kamalstream.update.outcome import conflicts

from .fixtures_template import ANSWERS, commit, git, render
from .fixtures_update import CHANGED, FILES, NEXT, middle, update

Adopted = Callable[[Path], Path]
#: What an owner did: the lines of a file and the number of the one that changes → their lines.
EDITS: dict[str, Callable[[list[str], int], list[str]]] = {
    "above": lambda lines, at: [lines[0], "# mine", *lines[1:]],
    "below": lambda lines, at: [*lines, "# mine"],
    "beside": lambda lines, at: [*lines[: at + 4], "# mine", *lines[at + 4 :]],
}


@pytest.fixture(scope="module")
def newest(two_releases: Path, adopted: Adopted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    app = adopted(tmp_path_factory.mktemp("first") / "notes")
    answers = yaml.safe_load((app / ".copier-answers.yml").read_text())
    told = {name: value for name, value in answers.items() if not name.startswith("_")}
    folder = tmp_path_factory.mktemp("newest") / "notes"
    render(two_releases, folder, told, vcs_ref=NEXT, skip_tasks=True)
    return folder


def number(app: Path, template: Path, file: str) -> int:
    line = middle(app, template, file)
    return (app / file).read_text().splitlines().index(line)


def write(path: Path, lines: list[str], end: str = "\n") -> None:
    path.write_bytes("".join(line + end for line in lines).encode())


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_away_from_the_change_is_merged_with_it(
    edit: str, two_releases: Path, adopted: Adopted, newest: Path, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    places = {file: number(app, two_releases, file) for file in FILES}
    for file, at in places.items():
        write(app / file, EDITS[edit]((app / file).read_text().splitlines(), at))
    commit(app, "Mine")
    assert update(app).returncode == 0
    assert conflicts(app) == []
    for file, at in places.items():
        rendered = (newest / file).read_text().splitlines()
        assert rendered[at].endswith(CHANGED)
        assert (app / file).read_text().splitlines() == EDITS[edit](rendered, at), file


@pytest.mark.parametrize("mode", ["inline", "rej"])
def test_an_edit_of_the_changed_line_keeps_both_sides_and_is_listed(
    mode: str, two_releases: Path, adopted: Adopted, newest: Path, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    places = {file: number(app, two_releases, file) for file in FILES}
    for file, at in places.items():
        lines = (app / file).read_text().splitlines()
        write(app / file, [*lines[:at], "# mine", *lines[at + 1 :], "# and mine"])
    commit(app, "Mine")
    result = update(app, f"--conflict={mode}")
    assert result.returncode == 0
    found = {conflict.file: conflict for conflict in conflicts(app)}
    assert sorted(found) == sorted(FILES)
    for file, at in places.items():
        theirs = (newest / file).read_text().splitlines()
        lines = (app / file).read_text().splitlines()
        if mode == "inline":
            assert found[file].lines == (at + 1,)
            assert lines == [
                *theirs[:at],
                "<<<<<<< before updating",
                "# mine",
                "=======",
                theirs[at],
                ">>>>>>> after updating",
                *theirs[at + 1 :],
                "# and mine",
            ]
        else:
            assert lines == [*theirs, "# and mine"]
            assert "+# mine" in (app / f"{file}.rej").read_text().splitlines()
            assert found[file].rejects == f"{file}.rej"
        assert str(found[file]) in result.stdout


def test_what_the_owner_deleted_or_renamed_stays_so(adopted: Adopted, tmp_path: Path) -> None:
    app = adopted(tmp_path / "notes")
    for file in FILES[::2]:
        (app / file).unlink()
    for file in FILES[1::2]:
        git(app, "mv", file, f"{file}.mine")
    commit(app, "Mine")
    before = git(app, "ls-files", "-s")
    assert update(app).returncode == 0
    commit(app, "Updated")
    changed = git(app, "diff", "--name-only", "HEAD~", "HEAD").split()
    assert changed == [".copier-answers.yml"]
    assert git(app, "ls-files", "-s").count("\n") == before.count("\n")


def test_a_changed_mode_stays_and_the_change_comes(
    adopted: Adopted, newest: Path, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    for file in FILES:
        (app / file).chmod((app / file).stat().st_mode ^ 0o111)
    commit(app, "Mine")
    modes = {file: (app / file).stat().st_mode & 0o111 for file in FILES}
    assert update(app).returncode == 0
    for file, mode in modes.items():
        assert (app / file).read_bytes() == (newest / file).read_bytes()
        assert (app / file).stat().st_mode & 0o111 == mode, file
    assert conflicts(app) == []


@pytest.mark.parametrize("mode", ["inline", "rej"])
def test_windows_line_ends_conflict_and_lose_nothing(
    mode: str, adopted: Adopted, newest: Path, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    for file in FILES:
        write(app / file, [*(app / file).read_text().splitlines(), "# mine"], "\r\n")
    commit(app, "Mine")
    mine = {file: (app / file).read_bytes() for file in FILES}
    assert update(app, f"--conflict={mode}").returncode == 0
    assert sorted(conflict.file for conflict in conflicts(app)) == sorted(FILES)
    for file in FILES:
        after = (app / file).read_bytes()
        if mode == "inline":
            assert set(mine[file].splitlines(True)) <= set(after.splitlines(True))
        else:
            assert after == (newest / file).read_bytes()
            rejected = (app / f"{file}.rej").read_bytes()
            assert b"+# mine\r\n" in rejected
        assert CHANGED.encode() in after


def test_updating_again_changes_nothing(adopted: Adopted, tmp_path: Path) -> None:
    app = adopted(tmp_path / "notes")
    assert ANSWERS["bucket"] in (app / "config/litestream.yml").read_text()
    assert update(app).returncode == 0
    commit(app, "Updated")
    result = update(app)
    assert (result.returncode, git(app, "status", "--porcelain")) == (0, "")
    assert "nothing changed" in result.stdout
