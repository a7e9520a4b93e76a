from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from kamalstream.check import check_files
from kamalstream.check.finding import Finding
from kamalstream.commands import destination
from kamalstream.edit.new_destination import deploy_file, secrets_file
from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import App
from kamalstream.render.source import Source

from . import deployments
from .fixtures_init import Ran, _answers, _kamalstream, files_of  # noqa: F401

Command = Callable[..., Ran]
GIVEN = ("--yes", "--data", "domain=staging.example.com", "--data")
DEMO = ("--yes", "--data", "domain=demo.example.com", "--data")


@pytest.fixture(autouse=True)
def _at_hand(template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destination, "template_source", lambda: Source(str(template), "HEAD"))


def errors(app: Path) -> list[str]:
    return [one.id for one in check_files(App(app)) if one.level == "error"]


def test_a_destination_on_the_same_server_has_everything_of_its_own(
    kamalstream: Command,
    deployable: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = deployable(tmp_path / "notes")
    answers = (app / ".copier-answers.yml").read_text()

    ran = kamalstream("destination", "staging", app, *GIVEN, "server_ip=203.0.113.7")

    assert ran.code == 0, ran.out + ran.err
    staging = yaml.safe_load((app / "config/deploy.staging.yml").read_text())
    assert staging["servers"] == {"web": ["203.0.113.7"]}
    assert staging["proxy"] == {"host": "staging.example.com"}
    assert staging["volumes"] == ["notes_storage_staging:/rails/storage"]
    assert staging["accessories"]["litestream"]["service"] == "notes-litestream-staging"
    litestream = yaml.safe_load((app / "config/litestream.staging.yml").read_text())
    assert litestream["dbs"][0]["replica"]["path"] == "notes/staging/production.sqlite3"
    assert (app / ".kamal/secrets.staging").read_text() == (app / ".kamal/secrets").read_text()
    now = (app / ".copier-answers.yml").read_text()
    assert list(yaml.safe_load(now)["destinations"]) == ["staging"]
    assert now.splitlines()[:3] == answers.splitlines()[:3]
    assert errors(app) == []
    assert "  3. kamal setup -d staging\n" in ran.out
    assert "bin/restore --from production --destination staging\n" in ran.out

    before = files_of(app)
    again = kamalstream("destination", "staging", app, *GIVEN, "server_ip=203.0.113.7")
    assert (again.code, again.err) == (
        2,
        "kamalstream: config/deploy.staging.yml is there already: kamal setup -d staging deploys "
        "it.\n",
    )
    refused = kamalstream("destination", "demo", app, *GIVEN, "domain=notes.example.com")
    assert refused.code == 2
    # One that was written by hand is an error of check, which says what takes it in.
    (app / "config/deploy.demo.yml").write_text("servers: {web: [203.0.113.8]}\n")
    assert "destination.path" in errors(app)
    by_hand = kamalstream("destination", "demo", app, *GIVEN, "server_ip=203.0.113.8")
    assert by_hand.err.endswith("is there already: kamalstream init takes it in.\n")
    (app / "config/deploy.demo.yml").unlink()
    assert files_of(app) == before
    taken = kamalstream("init", app, "--defaults", "--no-programs", "--yes")
    assert "Nothing would change" in taken.out

    monkeypatch.setattr(destination, "check_files", interrupted)
    left = kamalstream("destination", "demo", app, *DEMO, "server_ip=203.0.113.8")
    assert (left.code, left.err) == (
        130,
        "\nThe files are written, and not checked: kamalstream check\n",
    )
    assert (app / "config/deploy.demo.yml").exists()


def interrupted(_: App) -> list[Finding]:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("production",), "production is what the main deployment is called"),
        (("../x",), "../x is no name of a destination"),
        (("qa", "--data", "domain=a.example.com"), "--data server_ip=… is missing"),
        (("qa", "--data", "host=x"), "--data: there is no question host: the keys are server_ip"),
        (("qa", "--data", "server_ip"), "--data server_ip: write KEY=VALUE"),
        (
            ("qa", "--data", "server_ip=203.0.113.7", "--data", "domain=notes.example.com"),
            "--data domain: notes.example.com is what production answers to",
        ),
    ],
)
def test_what_cannot_be_one_is_refused(
    kamalstream: Command,
    deployable: Callable[..., Path],
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    app = deployable(tmp_path / "notes")
    before = files_of(app)
    name, *rest = arguments
    ran = kamalstream("destination", name, app, "--yes", *rest)
    assert ran.code == 2
    assert ran.err.startswith(f"kamalstream: {said}"), ran.err
    assert files_of(app) == before


def test_it_is_written_in_the_form_that_the_base_has(tmp_path: Path) -> None:
    base = (
        deployments.HEAD
        + "servers:\n  web:\n    hosts: [10.0.0.1]\n  job: [10.0.0.1]\n"
        + "proxy:\n  hosts: [a.example.com, b.example.com]\n"
        + "volumes:\n  - /srv/data:/rails/storage\n  - /srv/geo:/geo:ro\n"
    )
    text = deploy_file(deployments.main(tmp_path, base), "qa", "10.0.0.2", "qa.example.com")
    assert yaml.safe_load(text) == {
        "servers": {"web": {"hosts": ["10.0.0.2"]}, "job": ["10.0.0.2"]},
        "proxy": {"hosts": ["qa.example.com"]},
        "volumes": ["/srv/data_qa:/rails/storage", "/srv/geo:/geo:ro"],
    }


def test_what_code_decides_is_not_guessed(tmp_path: Path) -> None:
    base = deployments.BASE.replace("- 10.0.0.1", "- <%= Server.first %>")
    with pytest.raises(BadInput, match=r"Write config/deploy.qa.yml by hand"):
        deploy_file(deployments.main(tmp_path, base), "qa", "10.0.0.2", "")


def test_a_secret_that_stands_in_the_file_is_not_copied() -> None:
    text, missing = secrets_file("TOKEN=hunter2\nKEY=$(cat config/master.key)\n")
    assert (text, missing) == ("KEY=$(cat config/master.key)\n", ("TOKEN",))
