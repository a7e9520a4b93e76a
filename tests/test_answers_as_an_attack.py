"""Any answers: refused in one line for each, or read back exactly by whoever reads the files.

KAMALSTREAM_ANSWERS=20000 tries that many sets, in place of 500, and renders one in fifty of them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kamalstream import programs
from kamalstream.ask.questions import questions
from kamalstream.ask.validators import RefusedAnswers, form
from kamalstream.facts import PROVIDERS

from .conftest import requires
from .fixtures_template import ANSWERS, render
from .kamal_oracle import Oracle

SETS = int(os.environ.get("KAMALSTREAM_ANSWERS", "500"))
#: Rendering takes half a second.
RENDERED = max(15, SETS // 50)
#: What has broken a file, a shell or a terminal before, or could.
ODD = (
    *("null", "no", "on", "123", "0x1f", "1e3", "1.e-5", "2020-01-01", "2020-99-99", "~", "y"),
    *(
        "a: b",
        "a #b",
        "- a",
        "*a",
        "&a b",
        "!!int a",
        "{a: b}",
        "[a]",
        "'",
        '"',
        "%a",
        "@a",
        "`id`",
    ),
    *(
        "$(id)",
        "${PATH}",
        "<%= 1 %>",
        "{{ 7 * 7 }}",
        "{% raw %}",
        "a\nb: c",
        "a\rb",
        "a\tb",
        "\x1b[2J",
    ),
    *(
        "-oProxyCommand=id",
        "--help",
        "../../etc",
        "a/../b",
        "a\\b",
        "ä",
        "\u202ea",
        "a" * 300,
        " a",
        "",
    ),
)
#: Values that are good somewhere: what is accepted together is the more.
GOOD: dict[str, tuple[Any, ...]] = {
    "app_name": ("notes", "n0", "a-b_c", "e1", "x" * 50),
    "server_ip": ("203.0.113.7", "2001:db8::1", "server", "s1.example.com"),
    "domain": ("a.example.com", "1.e-5", "xn--bcher-kva.example", "0x1f.no"),
    "storage_provider": tuple(PROVIDERS),
    "region": ("nyc3", "us-east-1", "auto", "null", "no", "123"),
    "endpoint": ("https://s3.example.com", "http://10.0.0.1:9000", "https://[2001:db8::1]:9000"),
    "bucket": ("abc", "a.b-c", "123", "2020-01-01", "0x1f"),
    "retention": ("720h", "24h", "1h"),
    "queue_loss": ("2s", "5s", "10s", "1m"),
    "litestream_version": ("0.5", "0.3"),
    "ruby_version": ("3.4.7", "3.2.0"),
    "registry_server": ("localhost:5555", "ghcr.io", "registry.example.com:5000"),
    "registry_username": ("jane", "null", "123"),
    "ssh_user": ("root", "deploy", "no"),
    "arch": ("amd64", "arm64"),
    "heartbeat_url": ("", "https://hc-ping.com/a?b=c&d#e"),
    "verify_schedule": ("none", "weekly", "monthly"),
    "backup_ephemeral": (True, False),
    "databases": (
        {"primary": "storage/production.sqlite3"},
        {"primary": "storage/a b.sqlite3", "no": "storage/1.e-5"},
        {"primary": "storage/main.db", "queue-2": "storage/q/main.db", "cache": "storage/c.db"},
    ),
    "image": ({}, {"packages": ["ffmpeg", "tzdata"]}, {"asset_path": "/rails/public/assets"}),
    "destinations": ({}, {"staging": {"databases": {"primary": "storage/staging.sqlite3"}}}),
    "container_user": ("1000:1000", "1001:1002"),
}


ANYTHING = st.one_of(st.sampled_from(ODD), st.text(max_size=30), st.integers(), st.none())
WILD = st.recursive(
    ANYTHING,
    lambda one: st.lists(one, max_size=2) | st.dictionaries(st.sampled_from(ODD), one, max_size=2),
    max_leaves=4,
)
#: Good ones with one value in them that is not: what lies deeper is judged as well.
DEEPER: dict[str, st.SearchStrategy[Any]] = {
    "databases": st.dictionaries(ANYTHING, ANYTHING.map("storage/{}".format), max_size=3),
    "image": st.dictionaries(
        st.sampled_from(("packages", "bundle_files", "asset_path", "javascript")),
        WILD | st.lists(ANYTHING, max_size=3),
        max_size=2,
    ),
    "destinations": st.dictionaries(
        ANYTHING, st.fixed_dictionaries({"databases": st.dictionaries(ANYTHING, ANYTHING)})
    ),
}
NEEDED = {*ANSWERS, "registry_username"}


@st.composite
def sets(draw: st.DrawFn) -> dict[str, Any]:
    """Answers that go together, and none to three of them exchanged for anything at all."""
    answers = {
        name: draw(st.sampled_from(good))
        for name, good in GOOD.items()
        if name in NEEDED or draw(st.booleans())
    }
    preset = PROVIDERS[answers.setdefault("storage_provider", "digitalocean")]
    if "endpoint" in preset:
        answers.pop("endpoint", None)
    else:
        answers["endpoint"] = draw(st.sampled_from(GOOD["endpoint"]))
    if "pattern" in preset or "fixed_region" in preset:
        answers["region"] = draw(st.sampled_from(preset.get("regions", [preset.get("region")])))
    else:
        answers.setdefault("region", "us-east-1")
    for name in draw(st.lists(st.sampled_from(sorted(GOOD)), max_size=3, unique=True)):
        answers[name] = draw(WILD | DEEPER.get(name, WILD))
    return answers


def judged(answers: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return all answers where they are accepted; each refusal is one line that can be shown."""
    problems = form().problems(answers)
    for name, said in problems.items():
        assert name in questions()
        # What Unicode has no character for yet is shown as an escape by the command.
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e]", said), (answers, said)
        assert len(said) < 500, (answers, said)
    try:
        return None if problems else form().completed(answers)
    except RefusedAnswers:
        raise AssertionError(f"accepted and refused: {answers}") from None


@requires("kamal", "hadolint", "litestream-0.5", "litestream-0.3")
def test_any_answers_are_refused_in_lines_or_read_back_as_they_are(
    template: Path, oracle: Oracle, tmp_path: Path
) -> None:
    accepted: dict[str, dict[str, Any]] = {}
    seen = 0

    @settings(max_examples=SETS, deadline=None, suppress_health_check=list(HealthCheck))
    @given(sets())
    def judge(answers: dict[str, Any]) -> None:
        nonlocal seen
        seen += 1
        if judged(answers) is not None:
            accepted[repr(sorted(answers.items()))] = answers

    judge()
    assert len(accepted) > 10, "nearly all are refused: nothing is read back"
    dockerfiles: dict[str, dict[str, Any]] = {}
    chosen = list(accepted.values())[:: max(1, len(accepted) // RENDERED)]
    for one in chosen:
        with tempfile.TemporaryDirectory() as scratch:
            app = Path(scratch) / "app"
            is_read_back(template, app, one, oracle)
            dockerfiles[(app / "Dockerfile").read_text("utf-8")] = one
    print(f"{seen} sets, {len(accepted)} accepted, {len(chosen)} rendered")
    for number, text in enumerate(dockerfiles):
        (tmp_path / f"Dockerfile.{number}").write_text(text, "utf-8")
    hadolint = programs.find("hadolint")
    assert hadolint
    done = subprocess.run(
        [hadolint, "--failure-threshold", "error", *sorted(tmp_path.glob("Dockerfile.*"))],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def is_read_back(template: Path, app: Path, given: Mapping[str, Any], oracle: Oracle) -> None:
    completed = judged(given)
    assert completed is not None
    render(template, app, dict(given), skip_tasks=True)
    read = yaml.safe_load((app / ".copier-answers.yml").read_text("utf-8"))
    assert {name: read[name] for name in given if name in read} == {
        name: completed[name] for name in given if name in read
    }
    deploy = yaml.safe_load((app / "config/deploy.yml").read_text("utf-8"))
    assert deploy["registry"].get("username") == completed.get("registry_username")
    kamal = oracle(app)
    assert "error" not in kamal, (given, kamal)
    assert kamal["raw"] == json.loads(json.dumps(deploy))
    assert (kamal["service"], kamal["hosts"]) == (completed["app_name"], [completed["server_ip"]])
    assert kamal["proxy"]["hosts"] == [completed["domain"]]
    assert kamal["builder"]["arch"] == [completed["arch"]]
    assert kamal["registry"] == completed["registry_server"]
    assert kamal["ssh"]["user"] == completed["ssh_user"]
    config = yaml.safe_load((app / "config/litestream.yml").read_text("utf-8"))
    files = [entry["path"] for entry in config["dbs"]]
    for entry in config["dbs"]:
        for replica in entry.get("replicas") or [entry["replica"]]:
            assert replica["bucket"] == completed["bucket"]
            assert replica.get("endpoint", "") == completed["endpoint"]
            assert replica["region"] == completed["region"]
    litestream = programs.litestream(completed["litestream_version"])
    assert litestream
    done = subprocess.run(
        [litestream, "databases", "-config", app / "config/litestream.yml"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (given, done.stderr)
    listed = done.stdout.splitlines()[1:]
    assert [line.rsplit(maxsplit=1)[0].rstrip() for line in listed] == files, (given, listed)
    for script in ("bin/restore", "bin/boot-restore", "bin/one-writer", "bin/docker-entrypoint"):
        subprocess.run(["bash", "-n", app / script], check=True)
