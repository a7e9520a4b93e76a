"""The template's questions without Copier: the same answers, refused in the same words."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from copier.errors import UserMessageError
from hypothesis import given
from hypothesis import strategies as st

from kamalstream.ask.answers import Known, refuse_wrong, settle
from kamalstream.ask.questions import Asking
from kamalstream.ask.validators import (
    Form,
    RefusedAnswers,
    completed,
    defaults,
    form,
    problems,
)
from kamalstream.render.source import Source
from kamalstream.render.with_copier import at_hand
from kamalstream.render.with_copier import render as with_copier

from .conftest import APPS, ROOT
from .fixtures_template import ANSWERS, RELEASE, render
from .questions import ASKED, GOOD, problem

# Lines of a data file, on top of the least that must be given.
REFUSED = [
    "{app_name: null}",
    "{app_name: 2024-01-01}",
    "{server_ip: '', domain: https://a.example.com, bucket: A}",
    "{region: Nowhere, arch: amd64}",
    "{storage_provider: dropbox, region: nyc3, bucket: A}",
    "{storage_provider: [aws]}",
    "{storage_provider: cloudflare_r2, region: eu}",
    "{storage_provider: aws, endpoint: 'https://s3.example.com'}",
    "{registry_server: ghcr.io}",
    "{registry_server: ghcr.io, registry_username: 'a b', ssh_user: 1}",
    "{litestream_version: 0.3, heartbeat_url: 'https://hc-ping.com/1'}",
    "{litestream_version: 0.4, retention: 7d}",
    "{databases: '{a'}",
    "{databases: {cache: storage/a.db}, backup_ephemeral: maybe}",
    "{databases: {primary: db/a.db}, advanced: 1.5}",
    "{image: curl}",
    "{own_files: [Gemfile]}",
    "{own_files: '[a'}",
    "{volumes: ['data'], rails_root: app, databases: {primary: storage/a.db}}",
    "{volumes: ['data:/data'], databases: {primary: storage/a.db}}",
    "{container_user: rails, destinations: {staging: 1}}",
    "{image: {trhuster: false}, ruby_version: latest}",
]
TAKEN = [
    "{}",
    "{app_name: null_and_void, arch: arm64, backup_ephemeral: 'yes'}",
    "{storage_provider: aws, region: eu-west-1}",
    "{storage_provider: cloudflare_r2, endpoint: 'https://abc.r2.cloudflarestorage.com'}",
    "{storage_provider: custom, endpoint: 'http://nas.local', litestream_version: 0.3}",
    "{registry_server: ghcr.io, registry_username: jane, ssh_user: deploy, advanced: true}",
    "{own_files: null, volumes: [], destinations: {}, container_user: '0:0'}",
    "{own_files: [Dockerfile], rails_root: /app, volumes: ['d:/app/storage']}",
    "{volumes: ['data:/data'], databases: {primary: /data/a.db}, own_files: '[Dockerfile]'}",
    "{registry_username: of no use here, retention: 100h, ruby_version: 3.5}",
    "{databases: '{primary: storage/a.db, queue: storage/b.db}', image: {thruster: false}}",
]


@pytest.mark.parametrize("lines", REFUSED)
def test_what_is_refused_is_refused_as_copier_refuses_it(
    template: Path, tmp_path: Path, lines: str
) -> None:
    more = yaml.safe_load(lines)
    with pytest.raises(UserMessageError) as stopped:
        render(template, tmp_path / "notes", more, skip_tasks=True)
    said = "; ".join(f"{k} {v}" for k, v in problems({**ANSWERS, **more}, "notes").items())
    assert said
    assert stopped.value.message == f"'None' has no attribute {said!r}"


@pytest.mark.parametrize("lines", TAKEN)
def test_answers_are_completed_as_copier_completes_them(
    template: Path, tmp_path: Path, lines: str
) -> None:
    told = {**ANSWERS, **yaml.safe_load(lines)}
    folder = tmp_path / "notes"
    render(template, folder, told, skip_tasks=True)
    stored = yaml.safe_load((folder / ".copier-answers.yml").read_text())
    assert problems(told) == {}
    assert completed(told) == {k: v for k, v in stored.items() if not k.startswith("_")}


def test_what_the_app_itself_gives_is_taken_as_copier_takes_it(
    template: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "My Photos"
    folder.mkdir()
    (folder / ".ruby-version").write_text("ruby-3.3.6\n")
    told = {k: v for k, v in ANSWERS.items() if k != "app_name"}
    render(template, folder, {**told, "app_name": "my-photos"}, skip_tasks=True)
    stored = yaml.safe_load((folder / ".copier-answers.yml").read_text())
    assert defaults(told, folder) == {k: v for k, v in stored.items() if not k.startswith("_")}
    assert stored["ruby_version"] == "3.3.6"


def test_without_a_single_answer_everything_that_is_missing_is_named() -> None:
    assert [*problems({}, "notes")] == ["server_ip", "domain", "bucket"]
    assert defaults({}, APPS / "rails_8_1")["server_ip"] == ""


def test_what_there_is_no_question_for_is_passed_over() -> None:
    assert "zzz" not in completed({**ANSWERS, "zzz": 1, "_commit": "v1", "versions": {}})


def test_what_is_no_value_of_its_question_has_no_completion() -> None:
    with pytest.raises(RefusedAnswers, match="is a list or a mapping"):
        completed({**ANSWERS, "region": ["a"]})


@given(st.sampled_from(sorted(ASKED)), st.one_of(st.text(max_size=12), st.integers(0, 99)))
def test_any_answer_is_judged_as_its_question_judges_it(name: str, answer: str | int) -> None:
    found = problems({**GOOD, name: answer}).get(name, "")
    if ASKED[name]["type"] == "str":
        # At a prompt what to write comes first: "like my-app: …" for "…, for example my-app".
        said, asked = (
            sorted(re.findall(r"\w+", re.sub(r", for example |\blike ", " ", text)))
            for text in (found, problem(name, str(answer)))
        )
        assert said == asked
    elif ASKED[name]["type"] == "yaml":
        assert found


def test_judging_is_fast() -> None:
    problems(ANSWERS)
    start = time.perf_counter()
    for _ in range(20):
        problems(ANSWERS)
    assert (time.perf_counter() - start) / 20 < 0.05


# --- Given and offered --------------------------------------------------------------------------


def test_offered_answers_that_are_refused_are_dropped_with_the_reason() -> None:
    known = Known({"bucket": "notes-backups"}, {**ANSWERS, "arch": "mips", "domain": "localhost"})
    settle(known, quietly=False)
    assert known.offered == {k: v for k, v in ANSWERS.items() if k != "domain"}
    assert known.dropped["arch"].startswith('"mips" is not an architecture')
    assert known.dropped["domain"].startswith('"localhost" is not a host name')


def test_given_answers_that_are_refused_are_all_named() -> None:
    with pytest.raises(RefusedAnswers) as refused:
        settle(Known({"bucket": "A", "retention": "1d"}, {}), quietly=False)
    assert [*refused.value.problems] == ["bucket", "retention"]


def test_what_is_missing_is_refused_only_where_nobody_is_asked() -> None:
    settle(Known({}, {"app_name": "notes"}), quietly=False)
    with pytest.raises(RefusedAnswers) as refused:
        settle(Known({}, {"domain": "localhost"}), quietly=True, folder="notes")
    assert [*refused.value.problems] == ["server_ip", "domain", "bucket"]
    assert '"localhost" is not' in refused.value.problems["domain"]


def test_databases_that_are_refused_are_never_replaced_by_a_guess() -> None:
    for quietly in (True, False):
        known = Known(dict(ANSWERS), {"databases": {"primary": "db/a.db"}})
        with pytest.raises(RefusedAnswers) as refused:
            settle(known, quietly)
        assert [*refused.value.problems] == ["databases"]


def test_new_answers_of_an_update_are_judged_on_top_of_the_apps(template: Path) -> None:
    newest = Form.of(template)
    before = completed(ANSWERS)
    refuse_wrong(newest, before, {"storage_provider": "backblaze", "region": "us-west-002"})
    refuse_wrong(newest, {"app_name": "notes"}, {"retention": "100h"})
    for new, named in (
        ({"retention": "7d"}, "retention"),
        ({"registry_server": "ghcr.io"}, "registry_username"),
        ({"arch": None}, "arch"),
    ):
        with pytest.raises(RefusedAnswers) as refused:
            refuse_wrong(newest, before, new)
        assert [*refused.value.problems] == [named]
    with pytest.raises(RefusedAnswers, match='domain "localhost" is not a host name'):
        refuse_wrong(newest, {**before, "domain": "localhost"}, {})


def test_a_release_that_judges_by_itself_is_left_to_copier() -> None:
    files = {
        f"kamalstream/{file.relative_to(ROOT / 'kamalstream').as_posix()}": file.read_text("utf-8")
        for pattern in ("facts/*.yml", "ask/*.jinja")
        for file in (ROOT / "kamalstream").glob(pattern)
    }
    text = files["kamalstream/ask/problems.jinja"]
    text = re.sub(r"\b(checks\b|unreadable\()", r"_\1", text)
    older = Form(
        (ROOT / "copier.yml").read_text("utf-8"), {**files, "kamalstream/ask/problems.jinja": text}
    )
    assert older.problems({"bucket": "A"}) == {}
    assert older.completed(ANSWERS) == form().completed(ANSWERS)


def test_copier_stops_with_the_answers_that_are_wrong(template: Path, tmp_path: Path) -> None:
    source = Source(str(template), RELEASE)
    for asking in (
        Asking({**ANSWERS, "bucket": "A", "domain": None}),
        Asking(ANSWERS, {"arch": "mips"}),
        Asking({**ANSWERS, "bucket": "A"}, {"retention": "7d"}),
    ):
        with pytest.raises(RefusedAnswers) as refused, at_hand(source) as fetched:
            with_copier(fetched, tmp_path / "notes", asking)
        told: dict[str, Any] = {**asking.defaults, **asking.data}
        assert refused.value.problems == problems(told)
