"""`make corpus` on the sample apps, and on what it has to find wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from corpus import subject
from corpus.__main__ import main
from corpus.table import row
from corpus.trial import Verdict, judge
from kamalstream.edit.adoption import Adoption
from kamalstream.render.plan import Plan

from .conftest import APPS, requires
from .kamal_oracle import Oracle

pytestmark = requires("kamal", "hadolint", "bash", "ruby", "activerecord")
Judge = Callable[[Path], Verdict]


@pytest.fixture(name="judged")
def _judged(oracle: Oracle, tmp_path: Path) -> Judge:
    return lambda checkout: judge(checkout, tmp_path / "scratch", oracle)


@pytest.mark.parametrize("name", [one.name for one in APPS.iterdir()])
def test_a_sample_app_is_sound(judged: Judge, name: str) -> None:
    verdict = judged(APPS / name)
    assert (verdict.word, verdict.why) == ("sound", ())
    assert verdict.lines["config/deploy.yml"].startswith("+")


@pytest.mark.parametrize(
    ("old", "new", "word", "why"),
    [
        ("storage/", "db/", "refused", "moved the databases below storage/"),
        ("adapter: sqlite3", "adapter: postgresql", "refused", "runs on postgresql, not on SQLite"),
        ("storage/", "<%= Setting.folder %>/", "refused", "named the databases"),
    ],
)
def test_a_remedy_is_followed(
    judged: Judge, tmp_path: Path, old: str, new: str, word: str, why: str
) -> None:
    app = Path(shutil.copytree(APPS / "rails_8_0", tmp_path / "app"))
    file = app / "config/database.yml"
    file.write_text(file.read_text().replace(old, new))
    verdict = judged(app)
    assert verdict.word == word, verdict
    assert why in verdict.why[0]


def test_an_app_in_a_folder_of_its_own_is_found(judged: Judge, tmp_path: Path) -> None:
    shutil.copytree(APPS / "rails_8_1", tmp_path / "repository/web")
    verdict = judged(tmp_path / "repository")
    assert (verdict.word, verdict.why) == ("refused", ("went on in web/",))


def _without_first_lines(adoption: Adoption) -> Plan:
    planned = subject_plan(adoption)
    cut = (
        replace(one, after=one.after.partition(b"\n")[2]) if one.kind == "edited" else one
        for one in planned.changes
    )
    return replace(planned, changes=tuple(cut))


subject_plan = subject.plan


def test_what_is_wrong_is_found(judged: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "plan", _without_first_lines)
    verdict = judged(APPS / "changed_by_hand")
    assert verdict.word == "WRONG", verdict
    assert any("lost" in why for why in verdict.why), verdict.why


def test_a_failure_of_ours_is_a_line_of_the_table(
    judged: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(app: Path) -> None:
        raise RuntimeError("a | in a\nmessage")

    monkeypatch.setattr(subject, "inspect_app", fail)
    verdict = judged(APPS / "rails_8_1")
    assert verdict.word == "WRONG"
    assert row(verdict).count("\n") == 0
    assert "a \\| in a message" in row(verdict)


def test_the_command_prints_a_table_and_counts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shutil.copytree(APPS / "rails_8_1", tmp_path / "shop")
    (tmp_path / "notes").mkdir()
    assert main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "| shop |  | sound |" in out
    assert "2 apps: " in out
    assert main([str(tmp_path / "missing")]) == 2
