from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from kamalstream import atomic
from kamalstream.commands import remove
from kamalstream.edit import dockerfile, secrets_file
from kamalstream.errors import BadInput
from kamalstream.render.apply import apply
from kamalstream.render.plan import Change, Plan
from kamalstream.render.source import Source

from .fixtures_init import Ran, _answers, _kamalstream, files_of  # noqa: F401
from .fixtures_template import commit

Command = Callable[..., Ran]
Sample = Callable[[str], Path]
DataFile = Callable[..., Path]

STAGING = """\
servers:
  web:
    - 203.0.113.9
env:
  clear:
    BANNER: staging
  secret:
    - RAILS_MASTER_KEY
"""
VAULT = """\
SECRETS=$(kamal secrets fetch --adapter 1password --account acme --from Shop/Prod RAILS_MASTER_KEY)
RAILS_MASTER_KEY=$(kamal secrets extract RAILS_MASTER_KEY $SECRETS)
"""


@pytest.fixture(autouse=True)
def _at_hand(template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remove, "template_source", lambda: Source(str(template), "HEAD"))


def test_what_the_owner_wrote_is_again_as_it_was_to_the_byte(
    kamalstream: Command,
    sample_app: Sample,
    answers: DataFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = sample_app("changed_by_hand")
    (app / "config/deploy.staging.yml").write_text(STAGING)
    (app / ".kamal/secrets.staging").write_text(VAULT)
    before = files_of(app)
    kamalstream("init", app, "--defaults", "--no-programs", "--data-file", answers())
    assert b"LITESTREAM_CONFIG" in files_of(app)["config/deploy.staging.yml"][1]
    assert b"LITESTREAM_ACCESS_KEY_ID" in files_of(app)[".kamal/secrets.staging"][1]
    adopted = {f: one for f, one in files_of(app).items() if not f.startswith("tmp/before-")}

    looked = kamalstream("remove", app, "--dry-run")
    ran = kamalstream("remove", app, "--yes")

    assert (looked.code, ran.code) == (0, 0), ran.out + ran.err
    assert "-LITESTREAM_ACCESS_KEY_ID=" in looked.out
    now = {file: one for file, one in files_of(app).items() if not file.startswith("tmp/before-")}
    # What keeps keys out of images, and what production needs, is no matter of backups.
    stays = {".dockerignore", "config/environments/production.rb"}
    assert {file for file in {*now, *before} if now.get(file) != before.get(file)} <= stays
    assert 'kamal server exec "docker stop atelier-litestream; ' in ran.out
    assert "kamal deploy -d staging\n" in ran.out
    assert "s3://notes-backups/notes/\n" in ran.out
    again = kamalstream("remove", app, "--yes")
    assert (again.code, again.err) == (
        2,
        f"kamalstream: nothing to remove: {app} has no .copier-answers.yml.\n",
    )

    [back] = re.findall(r"To have the app as it was, in its folder:\n  (.*)\n", ran.out)
    subprocess.run(back, shell=True, check=True, cwd=app)
    assert {
        f: one for f, one in files_of(app).items() if not f.startswith("tmp/before-")
    } == adopted

    monkeypatch.setattr(remove, "undo", interrupted)
    left = kamalstream("remove", app, "--yes")
    assert (left.code, left.err) == (
        130,
        "\nkamalstream is taken out, and nothing is committed yet.\n",
    )


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_fresh_app_keeps_its_deployment_and_what_was_edited(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("rails_8_1")
    kamalstream("init", app, "--defaults", "--no-programs", "--data-file", answers())
    commit(app, "Adopted")
    restore = app / "bin/restore"
    restore.write_text(restore.read_text() + "# mine\n")

    ran = kamalstream("remove", app, "--yes")

    assert ran.code == 0, ran.out + ran.err
    assert "Ours, and left\n  .kamal/read_secrets.rb: .kamal/secrets uses it\n" in ran.out
    assert "  bin/restore: you have edited it: remove it yourself\n" in ran.out
    deploy = yaml.safe_load((app / "config/deploy.yml").read_text())
    assert deploy["env"]["secret"] == ["RAILS_MASTER_KEY"]
    assert deploy["volumes"] == ["notes_storage:/rails/storage"]
    assert {"accessories", "deploy_timeout"}.isdisjoint(deploy)
    assert {*deploy["aliases"]} == {"console", "shell", "logs", "dbc"}
    assert "ruby .kamal/read_secrets.rb RAILS_MASTER_KEY)" in (app / ".kamal/secrets").read_text()
    for file in ("Dockerfile", "bin/docker-entrypoint", "config/deploy.yml", ".kamal/secrets"):
        assert "litestream" not in (app / file).read_text().lower()
    assert not (app / "docs").exists()


def test_nobody_to_ask_is_said(kamalstream: Command, sample_app: Sample) -> None:
    ran = kamalstream("remove", sample_app("rails_8_1"))
    assert ran.code == 2
    assert ran.err.startswith("kamalstream: there is no terminal to ask on. Say --yes")


def test_a_removal_that_fails_half_way_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ours").write_text("#!/bin/sh\n")
    (tmp_path / "bin/ours").chmod(0o755)
    (tmp_path / "theirs").write_text("theirs, with ours\n")
    before = files_of(tmp_path)
    changes = (
        Change("bin/ours", b"#!/bin/sh\n", None, 0o755, "gone"),
        Change("theirs", b"theirs, with ours\n", b"theirs\n", 0o644, "without"),
    )
    replace = atomic.replace

    def full(target: Path, content: bytes, mode: int | None = None) -> None:
        if content == b"theirs\n":
            raise OSError(28, "No space left on device")
        replace(target, content, mode)

    monkeypatch.setattr(atomic, "replace", full)
    with pytest.raises(BadInput, match="theirs cannot be written: No space left on device"):
        apply(Plan(tmp_path, changes), datetime.now())
    assert files_of(tmp_path) == before


def test_an_entrypoint_gets_its_own_words_back() -> None:
    text = 'FROM ruby\nENTRYPOINT ["/rails/bin/boot-restore", "exec", "/bin/start", "x"]\nCMD a\n'
    assert dockerfile.without(text).text == ('FROM ruby\nENTRYPOINT ["/bin/start", "x"]\nCMD a\n')


def test_a_litestream_of_the_owners_own_stays_and_is_said() -> None:
    text = "FROM ruby\nCOPY --from=litestream/litestream:0.5.17 /usr/local/bin/litestream /bin/\n"
    left = dockerfile.without(text)
    assert left.text == text
    assert [one.line for one in left.by_hand] == [2]


def test_a_key_that_is_fetched_in_another_way_stays_and_is_said() -> None:
    text = "LITESTREAM_ACCESS_KEY_ID=$MINE\n"
    left = secrets_file.without(".kamal/secrets", text)
    assert left.text == text
    assert left.by_hand[0].lines == "LITESTREAM_ACCESS_KEY_ID"
