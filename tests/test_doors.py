"""`copier copy` and `kamalstream init --defaults` end with the same files, byte for byte."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from . import warm
from .fixtures_init import Files, Ran, _answers, _kamalstream, files_of  # noqa: F401
from .fixtures_template import RELEASE, commit, make_app

STAGING = """\
servers:
  web:
    - 198.51.100.77
proxy:
  host: staging.example.net
env:
  secret:
    - RAILS_MASTER_KEY
"""
PAIR = ("one", "two")


def apps(name: str, tmp_path: Path) -> tuple[Path, Path]:
    """Make the same app twice, in folders of the same name."""
    first, second = (make_app(name.split("+")[0], tmp_path / pair / "shop") for pair in PAIR)
    for app in (first, second):
        if name.endswith("+staging"):
            (app / "config/deploy.staging.yml").write_text(STAGING)
            (app / ".kamal/secrets").rename(app / ".kamal/secrets-common")
            commit(app, "Staging")
    return first, second


def copy(template: Path, app: Path, data: Path, *options: str) -> str:
    """Do what somebody without a terminal does with Copier; return what is printed."""
    given = ["--trust", "--defaults", f"--vcs-ref={RELEASE}", f"--data-file={data}", *options]
    ran = subprocess.run(
        warm.copier("copy", *given, template, app),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    return ran.stdout


def written(app: Path) -> Files:
    return {file: held for file, held in files_of(app).items() if not file.startswith("tmp/")}


@pytest.mark.parametrize("name", ["rails_8_1", "changed_by_hand", "changed_by_hand+staging"])
@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_both_doors_write_the_same(
    kamalstream: Callable[..., Ran],
    answers: Callable[..., Path],
    template: Path,
    tmp_path: Path,
    name: str,
    options: tuple[str, ...],
) -> None:
    data = answers(app_name=None)
    copied, adopted = apps(name, tmp_path)
    copy(template, copied, data, *options)
    ran = kamalstream("init", adopted, "--defaults", "--data-file", data)
    assert ran.code == 0, ran.out + ran.err
    assert written(copied) == written(adopted)
    if name.endswith("+staging"):
        assert "config/litestream.staging.yml" in written(copied)


def test_both_doors_merge_what_was_edited_since_the_same(
    kamalstream: Callable[..., Ran],
    answers: Callable[..., Path],
    template: Path,
    tmp_path: Path,
) -> None:
    both = apps("rails_8_1", tmp_path)
    for app in both:
        copy(template, app, answers())
        deploy = app / "config/deploy.yml"
        deploy.write_text(deploy.read_text() + "\nretain_containers: 3 # mine\n")
        commit(app, "Mine")
    copied, adopted = both

    data = answers(domain="new.example.com")
    copy(template, copied, data)
    ran = kamalstream("init", adopted, "--defaults", "--data-file", data)

    assert ran.code == 0, ran.out + ran.err
    assert written(copied) == written(adopted)
    deploy = copied / "config/deploy.yml"
    assert deploy.read_text().endswith("\nretain_containers: 3 # mine\n")
    assert yaml.safe_load(deploy.read_text())["proxy"]["host"] == "new.example.com"
    before = files_of(copied)
    assert "Nothing would change" in copy(template, copied, data)
    assert files_of(copied) == before


def test_what_a_killed_copy_left_behind_is_overwritten(
    answers: Callable[..., Path], template: Path, tmp_path: Path
) -> None:
    app, _ = apps("rails_8_1", tmp_path)
    (app / ".copier-answers.new.yml").write_text("app_name: other\n")
    copy(template, app, answers(), "--overwrite")
    assert not (app / ".copier-answers.new.yml").exists()
    assert "app_name: notes\n" in (app / ".copier-answers.yml").read_text()


def test_what_a_killed_copy_left_behind_is_said_and_taken_away_by_init(
    kamalstream: Callable[..., Ran], answers: Callable[..., Path], tmp_path: Path
) -> None:
    app, _ = apps("rails_8_1", tmp_path)
    left = app / ".copier-answers.new.yml"
    assert kamalstream("init", app, "--defaults", "--data-file", answers()).code == 0
    left.write_text("app_name: other\n")
    assert "[answers.left-behind]" in kamalstream("check", app).out
    assert kamalstream("init", app, "--defaults", "--yes").code == 0
    assert not left.exists()
    assert "answers.left-behind" not in kamalstream("check", app).out


def test_the_name_of_a_deployed_app_is_not_that_of_its_folder(
    answers: Callable[..., Path], template: Path, tmp_path: Path
) -> None:
    app, _ = apps("changed_by_hand", tmp_path)
    copy(template, app, answers(app_name=None))
    stored = yaml.safe_load((app / ".copier-answers.yml").read_text())
    assert stored["app_name"] == "atelier"
    deploy = yaml.safe_load((app / "config/deploy.yml").read_text())
    assert deploy["volumes"] == ["atelier_storage:/rails/storage"]
    assert deploy["accessories"]["litestream"]["volumes"] == deploy["volumes"]


def test_a_volume_keeps_its_name_where_the_app_is_called_otherwise(
    answers: Callable[..., Path], template: Path, tmp_path: Path
) -> None:
    for name, volume in (("changed_by_hand", "atelier"), ("rails_8_0", "ledger")):
        app = make_app(name, tmp_path / name)
        copy(template, app, answers(app_name="renamed"))
        deploy = yaml.safe_load((app / "config/deploy.yml").read_text())
        assert deploy["volumes"] == [f"{volume}_storage:/rails/storage"]
        assert deploy["accessories"]["litestream"]["volumes"] == deploy["volumes"]
