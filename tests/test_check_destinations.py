"""What is checked of every destination, and where destinations get into each other's way."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from kamalstream.check import check_files
from kamalstream.check.finding import Finding
from kamalstream.check.real_programs import check_with_programs
from kamalstream.inspect.adopted import App

from .conftest import requires
from .fixtures_template import commit, make_app, render

DEPLOY, STAGING = "config/deploy.yml", "config/deploy.staging.yml"
FILE = """\
servers:
  web:
    - "203.0.113.9"
proxy:
  host: staging.example.com
env:
  secret:
    - RAILS_MASTER_KEY
volumes:
  - "staging_data:/rails/storage"
"""


@pytest.fixture(scope="session")
def adopted(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    app = make_app("rails_8_1", tmp_path_factory.mktemp("adopted") / "notes")
    (app / STAGING).write_text(FILE)
    (app / ".kamal").mkdir(exist_ok=True)
    (app / ".kamal/secrets-common").write_text("RAILS_MASTER_KEY=$(cat config/master.key)\n")
    commit(app, "With a destination")
    render(template, app)
    return app


@pytest.fixture
def app(adopted: Path, tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns(".git")
    return Path(shutil.copytree(adopted, tmp_path / "notes", ignore=ignored))


def change(app: Path, file: str, old: str, new: str) -> None:
    text = (app / file).read_text()
    changed = re.sub(old, new, text, count=1, flags=re.MULTILINE)
    assert changed != text, f"{old!r} is not in {file}"
    (app / file).write_text(changed)


def found(app: Path) -> list[Finding]:
    return [one for one in check_files(App(app)) if one.level != "note"]


def line(app: Path, finding: Finding) -> str:
    return (app / finding.file).read_text().splitlines()[finding.line - 1].strip()


def test_an_adopted_destination_has_nothing_to_mend(app: Path) -> None:
    assert found(app) == []


MISTAKES = {
    "the path of production": ("destination.path", r"^ +LITESTREAM_CONFIG: .*\n", ""),
    "the configuration of production in the accessory": (
        "accessory.config",
        r"^      - config/litestream\.staging\.yml:",
        "      - config/litestream.yml:",
    ),
    "the accessory on the volume of the base": (
        "volume.differs",
        r"^    volumes:\n.*staging_data.*\n",
        "",
    ),
    "a volume that is not mounted": (
        "volume.missing",
        r"^volumes:\n  - .*",
        'volumes:\n  - "uploads:/srv"',
    ),
    "a list of secrets without the bucket's keys": (
        "secrets.keys",
        r"^    - LITESTREAM_ACCESS_KEY_ID\n    - LITESTREAM_SECRET_ACCESS_KEY\n",
        "",
    ),
    "a second key that says where": (
        "accessory.placement",
        r"^  litestream:",
        '  litestream:\n    host: "203.0.113.9"',
    ),
    "an image that moves by itself": (
        "accessory.unpinned",
        r"^  litestream:",
        "  litestream:\n    image: litestream/litestream",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_destination_is_found_there(app: Path, mistake: str) -> None:
    wanted, old, new = MISTAKES[mistake]
    change(app, STAGING, old, new)
    findings = found(app)
    assert wanted in {one.id for one in findings}, findings
    for one in findings:
        assert one.file == STAGING or (wanted, one.file) == ("volume.differs", DEPLOY)
        assert "staging" in one.message + one.fix or one.id == "accessory.unpinned"
        assert one.fix


def test_a_destination_that_came_after_the_answers_has_no_path_of_its_own(app: Path) -> None:
    (app / "config/deploy.qa.yml").write_text('servers: ["203.0.113.10"]\n')
    [finding] = [one for one in found(app) if one.id == "destination.path"]
    assert (finding.file, finding.level) == ("config/deploy.qa.yml", "error")
    assert "kamalstream init" in finding.fix


def test_an_example_is_no_destination(app: Path) -> None:
    (app / "config/deploy.example.yml").write_text('servers: ["203.0.113.10"]\n')
    assert found(app) == []


def test_two_destinations_with_one_place_in_the_bucket_are_an_error(app: Path) -> None:
    change(
        app,
        "config/litestream.staging.yml",
        "notes/staging/production.sqlite3",
        "notes/production.sqlite3",
    )
    [finding] = found(app)
    assert (finding.id, finding.file) == ("litestream.same-target", "config/litestream.staging.yml")


def test_the_configuration_of_a_destination_is_checked_as_productions_is(app: Path) -> None:
    change(app, "config/litestream.staging.yml", "retention: 720h", "retention: 30d")
    assert [(one.id, one.file) for one in found(app)] == [
        ("litestream.duration", "config/litestream.staging.yml")
    ]
    (app / "config/litestream.staging.yml").unlink()
    assert ("litestream.missing", "config/litestream.staging.yml") in {
        (one.id, one.file) for one in found(app)
    }


def test_a_second_key_names_the_line_to_take_out_and_what_works_for_all(app: Path) -> None:
    change(app, DEPLOY, r"^    roles:\n      - web\n", '    host: "203.0.113.7"\n')
    change(app, STAGING, r"^  litestream:", "  litestream:\n    roles: [web]")
    [finding] = found(app)
    assert (finding.id, finding.file) == ("accessory.placement", DEPLOY)
    assert line(app, finding) == 'host: "203.0.113.7"'
    assert "write there instead:\nroles:\n  - web" in finding.fix
    change(app, DEPLOY, r'^    host: "203.0.113.7"\n', "    roles:\n      - web\n")
    assert found(app) == []


def test_an_accessory_that_stays_on_the_server_of_the_base_is_an_error(app: Path) -> None:
    change(app, DEPLOY, r"^    roles:\n      - web\n", '    host: "203.0.113.7"\n')
    [finding] = found(app)
    assert finding.id == "servers.accessory"
    assert f'In {STAGING}:\naccessories:\n  litestream:\n    host: "203.0.113.9"' == finding.fix
    change(app, STAGING, r"^  litestream:", '  litestream:\n    host: "203.0.113.9"')
    assert found(app) == []


def test_on_one_server_an_accessory_needs_a_name_of_its_own(app: Path) -> None:
    change(app, STAGING, "203.0.113.9", "203.0.113.7")
    [finding] = found(app)
    assert (finding.id, finding.file) == ("servers.collide", STAGING)
    assert "accessory notes-litestream" in finding.message
    assert "    service: notes-litestream-staging" in finding.fix
    change(app, STAGING, r"^  litestream:", "  litestream:\n    service: notes-litestream-staging")
    assert found(app) == []


def test_on_one_server_one_volume_is_an_error(app: Path) -> None:
    change(app, STAGING, "203.0.113.9", "203.0.113.7")
    change(app, STAGING, r"^  litestream:", "  litestream:\n    service: notes-litestream-staging")
    text = (app / STAGING).read_text()
    (app / STAGING).write_text(text.replace("staging_data", "notes_storage"))
    [finding] = found(app)
    assert (finding.id, finding.level) == ("servers.collide", "error")
    assert "the volume notes_storage" in finding.message


def test_a_base_that_needs_a_destination_is_not_asked_for_what_the_destinations_have(
    app: Path,
) -> None:
    text = (app / DEPLOY).read_text()
    servers = re.search(r"^servers:\n(?: .*\n)+", text, re.MULTILINE)
    assert servers
    (app / DEPLOY).write_text(f"{text.replace(servers[0], '')}\nrequire_destination: true\n")
    (app / "config/deploy.production.yml").write_text(servers[0])
    assert found(app) == []


def test_the_files_that_kamal_reads_for_a_destination_are_looked_into(app: Path) -> None:
    (app / ".kamal/secrets-common").unlink()
    missing = [one for one in found(app) if one.id == "secrets.missing"]
    assert [one.file for one in missing] == [".kamal/secrets.staging"]
    (app / ".kamal/secrets.staging").write_text("LITESTREAM_ACCESS_KEY_ID=$A\n")
    unset = [one for one in found(app) if one.id == "secrets.unset"]
    assert {one.file for one in unset} == {".kamal/secrets.staging"}
    assert [one.message.partition(" are ")[0] for one in unset] == [
        "RAILS_MASTER_KEY, LITESTREAM_SECRET_ACCESS_KEY"
    ]


def test_a_database_of_the_environment_of_a_destination_is_compared(app: Path) -> None:
    text = (app / "config/database.yml").read_text()
    staging = text[text.index("production:") :].replace("production", "staging")
    (app / "config/database.yml").write_text(f"{text}\n{staging}")
    change(app, STAGING, r"^  clear:", "  clear:\n    RAILS_ENV: staging")
    unknown = [one for one in found(app) if one.id == "databases.unknown"]
    assert "staging opens storage/staging.sqlite3" in unknown[0].message
    assert "kamalstream init" in unknown[0].fix


@requires("kamal")
def test_each_finding_about_a_placement_is_one_that_kamal_refuses(app: Path) -> None:
    def refused() -> list[Finding]:
        return [one for one in check_with_programs(App(app)) if one.id == "kamal.config"]

    assert refused() == []
    change(app, STAGING, r"^  litestream:", '  litestream:\n    host: "203.0.113.9"')
    assert [one.file for one in refused()] == [STAGING]
    assert "accessory.placement" in {one.id for one in found(app)}


@requires("litestream-0.5")
def test_litestream_itself_looks_at_the_configuration_of_each_destination(app: Path) -> None:
    file = "config/litestream.staging.yml"
    change(app, file, r"^dbs:$", "dbs: 7\nx:")
    said = [one for one in check_with_programs(App(app)) if one.id == "litestream.databases"]
    assert [(one.file, one.level) for one in said] == [(file, "error")]
