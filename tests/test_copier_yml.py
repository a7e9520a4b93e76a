"""Copier passes over keys it does not know without a word: this says so instead."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from copier import _template, _user_data

from kamalstream.facts import MAY_BE_OWN

from .questions import ASKED, GOOD, QUESTIONS, SETTINGS, exported

# The answers file of every app has these keys: one may be added, none renamed.
CONTRACT = {
    "app_name",
    "server_ip",
    "domain",
    "storage_provider",
    "bucket",
    "region",
    "endpoint",
    "databases",
    "backup_ephemeral",
    "queue_loss",
    "litestream_version",
    "retention",
    "ruby_version",
    "registry_server",
    "registry_username",
    "ssh_user",
    "arch",
    "heartbeat_url",
    "own_files",
}
FACTS = {"providers", "versions", "rails_databases", "image_defaults", "replication"}
WORKED_OUT = FACTS | {
    "backed_up",
    "bill",
    "built",
    "data_volumes",
    "deployments",
    "refuse_bad_data",
    "refuse_unreadable_data",
}


def test_the_questions_of_the_contract_are_all_there() -> None:
    assert set(ASKED) >= CONTRACT


def test_every_setting_is_one_that_copier_reads() -> None:
    source = Path(_template.__file__).read_text("utf-8")
    read = set(re.findall(r'config(?:_data)?(?:\.get\(|\[)\s*"_?(\w+)"', source))
    assert "subdirectory" in read
    assert {name.removeprefix("_") for name in SETTINGS} <= read


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_key_of_a_question_is_one_that_copier_reads(name: str) -> None:
    read = {field.name for field in dataclasses.fields(_user_data.Question)}
    assert set(QUESTIONS[name]) <= read - {
        "var_name",
        "answers",
        "context",
        "jinja_env",
        "settings",
    }


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_has_a_type_that_copier_knows(name: str) -> None:
    assert QUESTIONS[name]["type"] in _user_data.CAST_STR_TO_NATIVE


@pytest.mark.parametrize("name", ASKED)
def test_every_question_that_is_asked_helps(name: str) -> None:
    question: dict[str, Any] = ASKED[name]
    assert question["help"].strip().endswith((".", "?", ")"))
    assert question.get("placeholder") or question.get("default") is not None


@pytest.mark.parametrize("name", ASKED)
def test_every_question_fits_a_terminal_of_80_columns(name: str) -> None:
    """The prompt cuts a longer line off; it does not wrap it."""
    for line in ASKED[name]["help"].replace("providers[storage_provider].label", "").splitlines():
        assert len(line) <= 76


@pytest.mark.parametrize("name", ASKED)
def test_every_answer_is_judged(name: str) -> None:
    question: dict[str, Any] = ASKED[name]
    if question["type"] == "bool":  # Copier takes true and false alone from a prompt
        return
    assert f"problem_with('{name}', {name})" in question["validator"]
    # and once more for --data, where Copier's validators would end in a traceback
    assert f"'{name}': {name}" in QUESTIONS["refuse_bad_data"]["default"]


def test_bad_data_is_refused_after_the_last_question_and_before_the_first() -> None:
    names = list(QUESTIONS)
    assert set(ASKED) <= set(names[: names.index("refuse_bad_data")])
    assert set(names[: names.index("refuse_unreadable_data")]) == FACTS


def test_facts_and_derived_values_are_never_stored() -> None:
    assert set(QUESTIONS) - set(ASKED) == WORKED_OUT | {"region_choice"}


def test_what_is_worked_out_is_refused_as_an_answer() -> None:
    assert set(exported("worked_out")) == WORKED_OUT


def test_a_file_may_be_its_owners_in_every_place_or_in_none() -> None:
    assert tuple(exported("ownable")) == MAY_BE_OWN
    kept = [entry for entry in SETTINGS["_skip_if_exists"] if "own_files" in entry]
    assert kept == [
        f"{{% if own_files is none or '{file}' in own_files %}}/{file}{{% endif %}}"
        for file in MAY_BE_OWN
    ]


def test_every_question_has_a_good_answer_in_the_tests() -> None:
    assert set(GOOD) == set(ASKED)


def test_no_answer_is_a_secret() -> None:
    assert not SETTINGS.get("_secret_questions")
    # Copier stores no secret: what `region` is chosen from is not one, and stored as `region`.
    hidden = {name for name, question in QUESTIONS.items() if question.get("secret")}
    assert hidden == {"region_choice"}
    assert QUESTIONS["region_choice"]["choices"]


def test_hooks_run_without_a_shell() -> None:
    commands = [task["command"] if isinstance(task, dict) else task for task in SETTINGS["_tasks"]]
    commands += [migration["command"] for migration in SETTINGS["_migrations"]]
    assert commands
    assert all(
        isinstance(command, list) and command[0] == "{{ _copier_python }}" for command in commands
    )


def test_an_older_copier_is_refused() -> None:
    # `ask` is from 9.19.0; before, the questions would be asked without it.
    assert SETTINGS["_min_copier_version"] == "9.19.0"
