"""YAML that somebody else wrote: read, or refused in one line with its place, whatever it is."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kamalstream import yaml_input
from kamalstream.ask import given as told
from kamalstream.ask.answers import earlier
from kamalstream.check import check_files
from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import App, load_mapping

from .fixtures_init import Ran, _answers, _kamalstream  # noqa: F401
from .fixtures_template import ANSWERS

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{this}: &{this} [{', '.join([f'*{last}'] * 9)}]\n"
    for last, this in zip("abcdef", "bcdefg", strict=True)
)
REFUSED = {
    "retention: 2020-99-99": "line 1 is not valid YAML: 2020-99-99 is not a value that YAML has",
    "retention: 0x_": "0x_ is not a value that YAML has, put it in quotes",
    "retention: !!int abc": "abc is not a value",
    "retention: !!bool x": "x is not a value",
    "retention: !!float x": "x is not a value",
    f"retention: {'9' * 5000}": "9… is not a value",
    'region: "\\ud800"': r"\ud800 is not a value",
    "image: !!python/object/apply:os.system [id]": "could not determine a constructor",
    "databases:\n  true: storage/a.db": "line 2 is not valid YAML: the key true is no text",
    "databases: {~: storage/a.db}": "the key ~ is no text, put it in quotes",
    "2020-01-01: x": "the key 2020-01-01 is no text",
    "1: x": "the key 1 is no text",
    "[a]: x": "is no text",
    "{a: b}: x": "is no text",
    "bucket: a\nregion: b\nbucket: c": "line 3 is not valid YAML: the key bucket stands there",
    "image: {node: '22', node: '20'}": "the key node stands there twice",
    BOMB: "has aliases that make it too large",
    "image: &a {packages: [*a]}": "has aliases that make it too large",
    f"image: {'[' * 3000}": "is nested too deeply",
    f"bucket: {'a' * 100_000}": "characters: that is no file of answers",
    "bucket: \x07": "not valid YAML",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30])
def test_what_is_no_answer_is_refused_in_one_line_with_its_place(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(BadInput) as refused:
        yaml_input.load(text, "answers.yml")
    said = str(refused.value)
    assert said.startswith("answers.yml ")
    assert REFUSED[text] in said
    assert len(said) < 300
    assert said.isprintable()
    assert time.monotonic() - started < 10
    assert load_mapping(text) is None


@pytest.mark.parametrize("text", ["retention: 2020-99-99", BOMB, "bucket: a\nbucket: b"])
def test_it_is_refused_wherever_it_comes_from(
    kamalstream: Callable[..., Ran], tmp_path: Path, text: str
) -> None:
    data = tmp_path / "data.yml"
    data.write_text(text)
    with pytest.raises(BadInput, match=r"data\.yml"):
        told.read(data, ["retention", "bucket"])
    app = tmp_path / "app"
    app.mkdir()
    (app / ".copier-answers.yml").write_text(text)
    with pytest.raises(BadInput, match=r"\.copier-answers\.yml"):
        App(app)
    with pytest.raises(BadInput, match=r"\.copier-answers\.yml"):
        earlier(app)
    ran = kamalstream("check", app)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)


SCALARS = st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(SCALARS, lambda one: st.lists(one) | st.dictionaries(st.text("ab_"), one))


@given(VALUES)
def test_what_pyyaml_writes_is_read_as_it_was(value: object) -> None:
    assert yaml_input.load(yaml.safe_dump(value), "it") == value


@given(st.text(st.sampled_from("ab01:-[]{}&*!|>%@'\"\\ \n\t,?#~<x.")) | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BadInput):
        loaded = yaml_input.load(text, "it")
        assert loaded == yaml.safe_load(text) or loaded != loaded


def test_answers_are_refused_in_a_line_each(
    kamalstream: Callable[..., Ran],
    answers: Callable[..., Path],
    sample_app: Callable[[str], Path],
) -> None:
    data = answers(region="a" * 10_000, bucket="\x1b]0;x\x07" + "b" * 5000, domain="a\nb")
    ran = kamalstream("init", sample_app("rails_8_1"), "--defaults", "--data-file", data)
    assert ran.code == 2
    lines = ran.err.splitlines()
    assert len(lines) == 3
    assert all(len(line) < 300 and line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("region", "null"),
        ("region", "NO"),
        ("region", "123"),
        ("region", "1e5"),
        ("domain", "1.e-5"),
        ("registry_server", "1.e-5"),
        ("app_name", "37signals"),
    ],
)
def test_what_yaml_could_read_otherwise_stands_in_quotes(
    fresh: Callable[..., Path], key: str, text: str
) -> None:
    provider = {"storage_provider": "custom", "endpoint": "https://s3.example.com"}
    more = {"registry_username": "jane"} if key == "registry_server" else {}
    app = fresh(**{**ANSWERS, **provider, "region": "eu", **more, key: text})
    deploy = yaml.safe_load((app / "config/deploy.yml").read_text())
    replica = yaml.safe_load((app / "config/litestream.yml").read_text())["dbs"][0]["replica"]
    found = {
        "region": replica["region"],
        "domain": deploy["proxy"]["host"],
        "registry_server": deploy["registry"]["server"],
        "app_name": deploy["service"],
    }
    assert found[key] == text


@pytest.mark.parametrize("name", ["pipe", "folder", "large", "zero"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with (tmp_path / "large").open("wb") as file:
        file.truncate(30_000_000)
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(BadInput, match=f"{name} cannot be read: "):
        told.read(tmp_path / name, ["bucket"])


@pytest.mark.parametrize("value", [7, "x", True, [{}], {"a": {"databases": 7}}])
@pytest.mark.parametrize("key", ["own_files", "destinations", "volumes", "litestream_version"])
def test_an_answer_of_another_shape_is_refused_and_not_tripped_over(
    fresh: Callable[..., Path], key: str, value: object
) -> None:
    app = fresh()
    file = app / ".copier-answers.yml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), key: value}))
    with contextlib.suppress(BadInput):
        check_files(App(app))
    if value in (7, True):
        with pytest.raises(BadInput, match=rf"^\.copier-answers\.yml: {key} is "):
            App(app)
