"""The command itself: its help, its options, and how it is left."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pytest

from kamalstream import cli
from kamalstream.check.finding import Finding, as_github
from kamalstream.check.live import _way_in
from kamalstream.commands.update import _named
from kamalstream.inspect.adopted import App

from .fixtures_init import Ran, _answers, _kamalstream, files_of  # noqa: F401
from .test_wizard import CTRL_C, Wizard, wizard  # noqa: F401

CTRL_D = "\x04"
COMMAND = (sys.executable, "-m", "kamalstream.cli")
COMMANDS = sorted(str(one.name or one.callback.__name__) for one in cli.app.registered_commands)  # type: ignore[union-attr]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_and_speaks_of_no_types(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as left:
        cli.app([*([command] if command else []), "-h"])
    said = capsys.readouterr().out
    assert left.value.code == 0
    assert "<bool>" not in said
    assert not re.search(r"\w\.\.\.", said), "cut short"
    assert max(map(len, said.splitlines())) <= 80


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.app(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"kamalstream {metadata.version('kamalstream')}\n"


def test_shells_complete_it() -> None:
    asked = {"_KAMALSTREAM_COMPLETE": "complete_bash", "COMP_WORDS": "kamalstream cr"}
    started = "import sys; sys.argv[0] = 'kamalstream'; from kamalstream.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", started],
        env={**os.environ, **asked, "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.stdout.split() == ["credentials"]


def test_an_answer_may_be_given_with_the_command(
    kamalstream: Callable[..., Ran], sample_app: Callable[[str], Path], answers: Callable[..., Path]
) -> None:
    app = sample_app("rails_8_1")
    given = ("--data", "bucket=given-here", "--data", "backup_ephemeral=true", "--no-programs")
    kamalstream("init", app, "--defaults", "--data-file", answers(), *given)
    assert (App(app).answers["bucket"], App(app).answers["backup_ephemeral"]) == (
        "given-here",
        True,
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("server_ipp=1", "--data: there is no question server_ipp: did you mean server_ip?"),
        ("server_ip", "--data server_ip: write KEY=VALUE, as in server_ip=203.0.113.10."),
        ("bucket=No_Bucket", 'bucket "No_Bucket" is not an S3 bucket name'),
        ("refuse_bad_data=", "there is no question refuse_bad_data"),
    ],
)
def test_a_wrong_answer_is_refused_with_the_right_key(
    kamalstream: Callable[..., Ran], sample_app: Callable[[str], Path], data: str, said: str
) -> None:
    app = sample_app("rails_8_1")
    before = files_of(app)
    ran = kamalstream("init", app, "--defaults", "--data", data)
    assert (ran.code, said in ran.err) == (2, True), ran.err
    assert "versions" not in ran.err
    assert files_of(app) == before


def test_the_app_is_found_from_a_folder_of_it(
    kamalstream: Callable[..., Ran],
    deployable: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = deployable(tmp_path / "notes")
    monkeypatch.chdir(app / "config/environments")
    ran = kamalstream("check", "--no-programs", "--format", "json")
    answer = json.loads(ran.out)
    assert answer["app"] == str(app.resolve())
    # What is of no line of a file has none.
    assert {one["line"] for one in answer["findings"]} & {None, 0} == {None}
    # Whoever names a folder means that one.
    assert "has no .copier-answers.yml" in kamalstream("check", app / "config").err


def test_a_conflict_that_was_left_is_called_one(
    kamalstream: Callable[..., Ran], deployable: Callable[..., Path], tmp_path: Path
) -> None:
    app = deployable(tmp_path / "notes")
    deploy, answers = app / "config/deploy.yml", app / ".copier-answers.yml"
    torn = "<<<<<<< before updating\nservice: a\n=======\nservice: b\n>>>>>>> after updating\n"
    deploy.write_text(torn + deploy.read_text())
    found = json.loads(kamalstream("check", app, "--format", "json").out)["findings"]
    [said] = [one for one in found if one["file"] == "config/deploy.yml"]
    assert (said["id"], said["level"], said["line"]) == ("file.conflict", "error", 1)
    assert not re.search("Psych|kamal config", str(found))
    answers.write_text(torn + answers.read_text())
    ran = kamalstream("check", app)
    assert (ran.code, "has a conflict in it" in ran.err) == (2, True)


def test_a_pull_request_is_annotated(
    kamalstream: Callable[..., Ran], deployable: Callable[..., Path], tmp_path: Path
) -> None:
    app = deployable(tmp_path / "notes")
    litestream = app / "config/litestream.yml"
    litestream.write_text(litestream.read_text().replace("snapshot:", "snapshots:", 1))
    ran = kamalstream("check", app, "--no-programs", "--format", "github")
    assert ran.code == 1
    lines = ran.out.splitlines()
    # GitHub reads a command a line, and nothing else.
    assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in lines)
    place = r"(?m)^::error file=config/litestream.yml,line=\d+,title=litestream.key::"
    said = re.search(place, ran.out)
    assert said, ran.out


def test_what_an_annotation_says_is_escaped_as_github_reads_it() -> None:
    finding = Finding("a.b", "note", "a:b,c.rb", 3, "100% :, x\ny", "do\nthat")
    assert as_github("apps/web", [finding]) == (
        "::notice file=apps/web/a%3Ab%2Cc.rb,line=3,title=a.b::100%25 :, x%0Ay%0A→ do%0A→ that"
    )
    assert as_github("", [Finding("a.b", "error", "", 0, "m")]) == "::error title=a.b::m"


def test_a_key_is_offered_only_where_a_server_answers() -> None:
    assert "ssh-copy-id" in _way_in("root@a: Permission denied (publickey).", "root", "a")
    for said in ("connect to host a port 22: Connection refused", "no answer within a minute"):
        assert "ssh-copy-id" not in _way_in(said, "root", "a")
    assert "ssh-keygen -R a" in _way_in("Host key verification failed.", "root", "a")


def test_where_there_is_no_tag_the_commit_is_named() -> None:
    assert _named("0.0.0.post105.dev0+17bcebf") == "commit 17bcebf"
    assert _named("0.2.0") == "0.2.0"


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
@pytest.mark.parametrize(
    "question", ["Does the bucket exist?", "Address of the server", "Which S3-compatible"]
)
def test_a_question_is_left_with_either_key(
    wizard: Callable[..., Wizard],  # noqa: F811
    question: str,
    key: str,
) -> None:
    init = wizard()
    if question != "Does the bucket exist?":
        init.answers("Does the bucket exist?")
    if question == "Which S3-compatible":
        init.answers("Address of the server", "203.0.113.7")
        init.answers("Public host name", "notes.example.com")
    init.answers(question, key, end="")
    init.sees("Nothing was changed.")
    assert init.ends() == 130
    assert "Abort" not in init.seen
    assert "Traceback" not in init.seen
    assert init.is_as_it_was()


def test_keys_typed_ahead_answer_nothing(wizard: Callable[..., Wizard]) -> None:  # noqa: F811
    init = wizard(PROMPT_TOOLKIT_NO_CPR="1")
    # While the command is loaded.
    init.child.send("https://nyc3.digitaloceanspaces.com/typed-ahead\r")
    init.answers("Does the bucket exist?")
    init.answers("Address of the server", "203.0.113.7")
    init.answers("Public host name", "notes.example.com")
    # Which an address of the bucket would have said.
    init.answers("Which S3-compatible storage", CTRL_C, end="")
    assert init.ends() == 130


def test_a_command_that_asks_nothing_is_left_in_the_same_way(
    deployable: Callable[..., Path], tmp_path: Path
) -> None:
    app = deployable(tmp_path / "notes")
    child = pexpect.spawn(
        COMMAND[0],
        [*COMMAND[1:], "check", str(app)],
        encoding="utf-8",
        timeout=30,
        dimensions=(24, 80),
    )
    child.expect("asking|checking")
    child.send(CTRL_C)
    child.expect("Nothing was changed.")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130


@pytest.mark.parametrize(
    ("environment", "redirected", "code"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "", 0),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "", 0),
        ({}, ">/dev/full", 1),
        ({}, ">&-", 0),
        ({}, "| head -c 1", 0),
    ],
)
def test_output_that_cannot_be_written_ends_in_no_traceback(
    deployable: Callable[..., Path],
    tmp_path: Path,
    environment: dict[str, str],
    redirected: str,
    code: int,
) -> None:
    app = deployable(tmp_path / "notes")
    (app / "config/litestream.yml").rename(app / "k\u00fcche.yml")
    command = f'"$@" --no-programs --format json {redirected}'
    if code == 0 and not redirected:
        command = f"{command}; [ $? = 1 ]"
    ran = subprocess.run(
        ["bash", "-c", command, "bash", *COMMAND, "check", app],
        env={**os.environ, **environment},
        capture_output=True,
    )
    assert b"Traceback" not in ran.stderr, ran.stderr
    assert len(ran.stderr.splitlines()) <= 1, ran.stderr
    assert ran.returncode == code or redirected == ">&-"
