"""What other people's files say is shown as text, and the secrets in them are not shown."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from kamalstream import printable as module
from kamalstream.hooks import unharmed
from kamalstream.inspect.literal_secrets import literal_secrets
from kamalstream.printable import printable
from kamalstream.terminal import Terminal, diff_line

from .conftest import APPS, ROOT
from .fixtures_init import Ran, _answers, _kamalstream  # noqa: F401

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202ex"


def _printed(text: str, *secrets: str) -> str:
    console = Terminal(secrets, file=io.StringIO(), force_terminal=True, width=200)
    console.print(diff_line(text), soft_wrap=True)
    console.print(text, markup=False, soft_wrap=True)
    console.out(text)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@given(st.text())
def test_a_terminal_gets_nothing_to_act_on(text: str) -> None:
    console = Terminal(file=io.StringIO(), width=1000)
    console.print(Text(text), soft_wrap=True)
    console.out(text)
    assert isinstance(console.file, io.StringIO)
    assert all(one.isprintable() or one in "\t\n" for one in console.file.getvalue())


def test_colours_of_our_own_stay() -> None:
    shown = _printed(f"-{ESCAPES}")
    assert shown.startswith("\x1b[31m-\\x1b]0;owned")
    assert "\x1b]" not in shown
    assert "\x9b" not in shown
    assert r"\u202e" in shown


@pytest.mark.parametrize("text", ["plain ä → …", "two\n\tlines\n"])
def test_what_is_printable_stays_as_it_is(text: str) -> None:
    assert printable(text) is text or printable(text) == text
    assert module.shown("a") == "a"


def test_escape_sequences_of_an_apps_files_do_not_reach_the_terminal(
    kamalstream: Callable[..., Ran],
    answers: Callable[..., Path],
    sample_app: Callable[[str], Path],
) -> None:
    app = sample_app("changed_by_hand")
    for file in ("config/deploy.yml", "Dockerfile", "config/environments/production.rb"):
        text = (app / file).read_text()
        (app / file).write_text(f"# {ESCAPES}\n{text}# {ESCAPES}\n")
    ran = kamalstream("init", app, "--defaults", "--data-file", answers())
    assert "[" in ran.out
    for said in (ran.out, ran.err, kamalstream("check", app).out):
        assert all(one.isprintable() or one in "\t\n" for one in said)


def test_what_a_hook_says_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    from kamalstream.errors import BadInput

    def fail() -> None:
        raise BadInput(ESCAPES)

    unharmed(fail)
    assert "\x1b" not in capsys.readouterr().out


def test_literal_secrets_are_masked_in_what_is_shown(
    kamalstream: Callable[..., Ran],
    answers: Callable[..., Path],
    sample_app: Callable[[str], Path],
) -> None:
    app = sample_app("changed_by_hand")
    secrets = app / ".kamal/secrets"
    secrets.write_text(
        "RAILS_MASTER_KEY=Kaaaaaa1\nA='Kbbbbbb2'\nexport B=\"Kcccccc3\nKdddddd4\"\n# old\nC=$HOME\n"
        + secrets.read_text()
    )
    deploy = app / "config/deploy.yml"
    deploy.write_text(
        deploy.read_text().replace(
            "  clear:\n",
            "  clear:\n    SMTP_PASSWORD: Keeeeee5\n"
            "    REDIS: redis://jane:Kffffff6@host/0\n    API_TOKEN: 'Kgggggg7'\n",
            1,
        )
    )
    assert "Keeeeee5" in deploy.read_text()
    found = literal_secrets(app)
    assert {"Kaaaaaa1", "Kbbbbbb2", "Kcccccc3", "Kdddddd4", "Keeeeee5", "Kgggggg7"} <= set(found)
    ran = kamalstream("init", app, "--defaults", "--data-file", answers())
    assert "RAILS_MASTER_KEY=…" in ran.out or "SMTP_PASSWORD: …" in ran.out
    for said in (ran.out, ran.err, kamalstream("check", app).out):
        for secret in found:
            assert secret not in said


def test_what_is_no_secret_is_none(fresh: Callable[..., Path], tmp_path: Path) -> None:
    assert literal_secrets(fresh()) == ()
    for app in (APPS / "rails_8_0", APPS / "rails_8_1", *(ROOT / "tests/stock").iterdir()):
        assert literal_secrets(app) == (), app
    shutil.copytree(ROOT / "tests/by_hand", tmp_path / "by_hand")
    assert literal_secrets(tmp_path / "by_hand") == ()
