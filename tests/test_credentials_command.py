"""`kamalstream credentials`: the keys reach the encrypted file, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pytest

from kamalstream.edit.credentials import NAMES, presence
from kamalstream.prove.s3 import ScratchS3

from . import warm
from .conftest import requires

KEY = "00112233445566778899aabbccddeeff"
ID, SECRET = "AKIAEXAMPLEID", "wJalrXUtnFEMIK7MDENG/x=="
COMMAND = [sys.executable, "-m", "kamalstream.cli", "credentials"]
FILE = "config/credentials.yml.enc"


@pytest.fixture
def app(sample_app: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RAILS_MASTER_KEY", raising=False)
    folder = sample_app("rails_8_1")
    (folder / FILE).unlink()
    (folder / "config/master.key").write_text(KEY)
    return folder


def typed(app: Path, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        warm.kamalstream("credentials", app, "--stdin"),
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_lines_of_standard_input_are_stored(app: Path) -> None:
    ran = typed(app, f"{ID}\n{SECRET}\n")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"Written to {FILE}" in ran.stdout
    assert presence(app).found == frozenset(NAMES)
    assert SECRET not in ran.stdout + (app / FILE).read_text()
    again = typed(app, f"{ID}\n{SECRET}\n")
    assert "has these keys already" in again.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "--stdin takes two lines, access_key_id and secret_access_key; there are 0."),
        (f"{SECRET}\n", "there are 1."),
        (f"{ID}\n{SECRET}\n{SECRET}", "there are 3."),
        (f"{ID} {ID}\n{SECRET}\n", "access_key_id is empty or has blanks"),
    ],
)
def test_other_input_is_refused_and_not_repeated(app: Path, text: str, said: str) -> None:
    ran = typed(app, text)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert SECRET not in ran.stderr + ran.stdout
    assert not (app / FILE).exists()


def test_without_the_master_key_nothing_is_written(app: Path) -> None:
    (app / "config/master.key").unlink()
    ran = typed(app, f"{ID}\n{SECRET}\n")
    assert ran.returncode == 2
    assert "config/master.key" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_without_a_terminal_it_names_the_flag(app: Path) -> None:
    ran = subprocess.run(
        warm.kamalstream("credentials", app),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 2
    assert "kamalstream credentials --stdin" in ran.stderr


def test_outside_of_a_rails_app_it_is_refused(tmp_path: Path) -> None:
    ran = typed(tmp_path, f"{ID}\n{SECRET}\n")
    assert ran.returncode == 2
    assert "is not a Rails app" in ran.stderr


def _terminal(app: Path) -> pexpect.spawn:
    return pexpect.spawn(
        COMMAND[0],
        [*COMMAND[1:], str(app)],
        env={**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1"},
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=30,
    )


def test_the_keys_are_typed_without_being_shown(app: Path) -> None:
    child = _terminal(app)
    child.expect("Access key id")
    child.send(ID + "\r")
    shown = child.before
    child.expect("Secret access key")
    shown += child.before
    child.send(SECRET + "\r")
    # While it waits there, nobody who lists processes sees a key.
    listed = subprocess.check_output(["ps", "-ww", "-o", "args=", "-p", str(child.pid)], text=True)
    assert ID not in listed
    child.expect(pexpect.EOF)
    shown += child.before
    child.close()
    assert child.exitstatus == 0
    assert ID not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert SECRET not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert presence(app).found == frozenset(NAMES)


def test_ctrl_c_stores_nothing(app: Path) -> None:
    child = _terminal(app)
    child.expect("Access key id")
    child.send(ID + "\r")
    child.expect("Secret access key")
    child.send("\x03")
    child.expect("Nothing was changed")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert not (app / FILE).exists()


def test_without_the_master_key_nothing_is_asked(app: Path) -> None:
    (app / "config/master.key").unlink()
    child = _terminal(app)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2
    assert "Access key id" not in child.before
    assert "config/master.key" in child.before


@requires("weed")
def test_keys_that_were_typed_are_tried_on_the_bucket(
    deployable: Callable[..., Path], tmp_path: Path, s3: ScratchS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAILS_MASTER_KEY", raising=False)
    s3.create_bucket("typed-keys")
    app = deployable(
        tmp_path / "notes", storage_provider="custom", endpoint=s3.endpoint, bucket="typed-keys"
    )
    (app / FILE).unlink()
    (app / "config/master.key").write_text(KEY)

    def told(key: str, secret: str) -> str:
        child = _terminal(app)
        child.expect("Access key id of the bucket .hidden")
        child.send(key + "\r")
        child.expect("Secret access key .hidden")
        child.send(secret + "\r")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        return str(child.before)

    assert "does not open with them" in told(ID, SECRET)
    assert "opens with them" in told(s3.access_key, s3.secret_key)
