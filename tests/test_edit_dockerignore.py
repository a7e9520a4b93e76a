"""An owner's .dockerignore gets the lines that keep keys and data out, and no others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kamalstream.edit.dockerignore import COMMENT, edit
from kamalstream.edit.edited import ByHand, Edited
from kamalstream.facts import DOCKERIGNORE, NEVER_IN_THE_IMAGE
from kamalstream.inspect.image.dockerignore import excluded, verdict

from .conftest import APPS, ROOT

OURS = (ROOT / "template" / DOCKERIGNORE).read_text()
NEEDED = ("bin/boot-restore", "bin/restore", "config/litestream.yml")


def edited(text: str, ours: str = OURS) -> Edited:
    return edit(text, NEVER_IN_THE_IMAGE, NEEDED, ours)


def test_a_file_that_keeps_all_out_stays_as_it_is() -> None:
    assert edited(OURS) == Edited(OURS)


def test_only_what_is_missing_is_added() -> None:
    text = "/.git/\n/.env*\n/config/*.key\n/storage/*\n"
    assert edited(text) == Edited(f"{text}\n{COMMENT}\n/config/credentials/*.key\n/.kamal/\n")


def test_an_empty_file_gets_the_lines_of_the_template() -> None:
    wanted = ["/config/master.key", "/config/credentials/*.key", "/.kamal/", "/.env*"]
    wanted += ["/storage/**", "!/storage/.keep", "/.git/"]
    assert edited("") == Edited("\n".join([COMMENT, *wanted, ""]))
    assert not excluded(edited("").text, "storage/.keep")


def test_without_lines_of_the_template_each_path_is_named() -> None:
    assert edited("", "").text.splitlines()[1:] == [f"/{path}" for path in NEVER_IN_THE_IMAGE]


def test_a_line_of_the_template_that_would_keep_out_what_is_needed_is_not_taken() -> None:
    assert "/config" not in edited("", "/config\n").text.splitlines()


def test_what_its_owner_brings_back_is_by_hand() -> None:
    text = OURS + "!/config/credentials/production.key\n"
    result = edited(text)
    assert result.text == text
    (by_hand,) = result.by_hand
    assert by_hand.line == len(text.splitlines())
    assert by_hand.lines == "/config/credentials/production.key"


def test_what_keeps_our_programs_out_is_by_hand() -> None:
    text = f"bin\n{OURS}config/*.yml\n"
    result = edited(text)
    assert result.text == text
    last = len(text.splitlines())
    assert [(one.line, one.lines) for one in result.by_hand] == [
        (1, "!/bin/boot-restore"),
        (1, "!/bin/restore"),
        (last, "!/config/litestream.yml"),
    ]
    assert all(isinstance(one, ByHand) for one in result.by_hand)


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("# a\n\n/config\n", "config/master.key", (True, 3)),
        ("config\n!config/master.key", "config/master.key", (False, 2)),
        ("!config\n*.key\n", "config/master.key", (False, 0)),
        ("**/*.key\r\n", "config/master.key", (True, 1)),
        ("\ufeffconfig", "config/master.key", (True, 1)),
    ],
)
def test_which_line_decides(text: str, path: str, expected: tuple[bool, int]) -> None:
    assert verdict(text, path) == expected


@pytest.mark.parametrize("name", ["rails_8_0", "rails_8_1", "changed_by_hand"])
def test_the_sample_apps(name: str) -> None:
    path = APPS / name / DOCKERIGNORE
    text = path.read_text() if path.exists() else ""
    result = edited(text)
    assert result.by_hand == ()
    assert result.text.startswith(text)
    assert all(excluded(result.text, path) for path in NEVER_IN_THE_IMAGE)


LINES = st.sampled_from(
    [
        *OURS.splitlines(),
        *("config", "!config", "**/*.key", "!**/*.key", "*", "!bin", "bin/*", ".env", "!.env"),
        *("*.yml", "!/storage", "storage", "[", "  /.git  ", "!/.git/config", "# a", ""),
    ]
)


@settings(max_examples=400)
@given(st.lists(LINES), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_keys_and_data_stay_out_or_it_is_said(
    lines: list[str], end: str, bom: bool, ended: bool
) -> None:
    text = "\ufeff" * bom + end.join(lines) + end * ended
    result = edited(text)
    assert edited(result.text) == result
    assert result.text.startswith(text)
    said = " ".join(one.why for one in result.by_hand)
    for path in NEVER_IN_THE_IMAGE:
        assert excluded(result.text, path) or path in said
    for path in NEEDED:
        assert excluded(result.text, path) == excluded(text, path)
        assert not excluded(text, path) or path in said
    if len(lines) > 1 and end == "\r\n":
        assert result.text.count("\n") == result.text.count("\r\n")
    # One line fewer would not be enough.
    more = result.text[len(text) :].split(end)
    for at, line in enumerate(more):
        if line and not line.startswith(("#", "!")):
            fewer = text + end.join([*more[:at], *more[at + 1 :]])
            assert any(
                excluded(result.text, path) and not excluded(fewer, path)
                for path in NEVER_IN_THE_IMAGE
            )
