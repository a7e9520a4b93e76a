"""An app that followed the recipe by hand (tests/by_hand: its exact files) adopts the template."""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kamalstream.check import check_files
from kamalstream.check.finding import ok
from kamalstream.facts import VERSIONS
from kamalstream.inspect.adopted import App

from .conftest import ROOT
from .fixtures_template import commit, git, make_app
from .fixtures_update import update

BY_HAND = ROOT / "tests/by_hand"
DEPLOY = "config/deploy.yml"
HOST = "203.0.113.7"


@pytest.fixture(scope="module")
def adopted(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    app = make_app("rails_8_1", tmp_path_factory.mktemp("by_hand") / "myapp")
    shutil.copytree(BY_HAND, app, dirs_exist_ok=True)
    for file in (DEPLOY, "config/litestream.yml"):
        text = (app / file).read_text().replace("YOUR_SERVER_IP", HOST)
        (app / file).write_text(text.replace("your-backups-bucket", "myapp-backups"))
    # The Ruby of the recipe's Dockerfile.
    (app / ".ruby-version").write_text("3.4.1\n")
    commit(app, "Deployed by hand")
    subprocess.run(
        [sys.executable, "-m", "kamalstream.cli", "init", "--defaults", "--yes"],
        cwd=app,
        env={**os.environ, "PYTHONPATH": str(template), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return app


def before(app: Path, file: str) -> str:
    return git(app, "show", f"HEAD:{file}")


def loaded(text: str) -> dict[str, Any]:
    answer: dict[str, Any] = yaml.safe_load(text)
    return answer


def taken_away(app: Path, file: str) -> list[str]:
    """Return the lines with content that adoption removes from `file`."""
    diff = difflib.ndiff(before(app, file).splitlines(), (app / file).read_text().splitlines())
    lines = [line[2:].strip() for line in diff if line.startswith("- ")]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_volume_keeps_its_name_and_the_databases_their_places_in_it(adopted: Path) -> None:
    old, new = loaded(before(adopted, DEPLOY)), loaded((adopted / DEPLOY).read_text())
    assert old["volumes"] == new["volumes"] == ["myapp_storage:/rails/storage"]
    sidecar = new["accessories"]["litestream"]
    assert sidecar["volumes"] == [
        *loaded(before(adopted, DEPLOY))["accessories"]["litestream"]["volumes"],
        *new["volumes"],
    ]
    replicated = loaded(before(adopted, "config/litestream.yml"))["dbs"]
    in_the_volume = {entry["path"].removeprefix("/storage/") for entry in replicated}
    assert in_the_volume == {
        str(place.value).removeprefix("/rails/storage/") for place in App(adopted).replicated
    }


def test_the_backups_go_on_where_they_were_in_the_series_they_were_in(adopted: Path) -> None:
    def replicas(text: str) -> dict[str, tuple[str, ...]]:
        return {
            Path(entry["path"]).name: tuple(
                entry["replicas"][0][key] for key in ("bucket", "path", "endpoint")
            )
            for entry in loaded(text)["dbs"]
        }

    now = replicas((adopted / "config/litestream.yml").read_text())
    assert now == replicas(before(adopted, "config/litestream.yml"))
    answers = App(adopted).answers
    assert (answers["litestream_version"], answers["backup_ephemeral"]) == ("0.3", True)
    assert (answers["storage_provider"], answers["region"]) == ("digitalocean", "nyc3")


def test_of_deploy_yml_only_the_image_gets_another_value(adopted: Path) -> None:
    assert taken_away(adopted, DEPLOY) == [
        "image: litestream/litestream:0.3"
    ]  # gets its patch release
    old, new = loaded(before(adopted, DEPLOY)), loaded((adopted / DEPLOY).read_text())
    for key in set(old) - {"env", "accessories", "aliases"}:
        assert new[key] == old[key], key
    assert old["env"]["clear"] == new["env"]["clear"]
    assert old["aliases"].items() <= new["aliases"].items()


@pytest.mark.parametrize(
    "file", ["Dockerfile", "bin/docker-entrypoint", ".kamal/secrets", ".dockerignore"]
)
def test_of_the_owners_other_files_no_line_is_lost(file: str, adopted: Path) -> None:
    assert taken_away(adopted, file) == []


def test_what_was_adopted_is_right_and_can_be_updated(adopted: Path, tmp_path: Path) -> None:
    app = Path(shutil.copytree(adopted, tmp_path / "myapp", symlinks=True))
    assert ok(check_files(App(app)))
    commit(app, "Adopted")
    result = update(app, "--vcs-ref=:current:", "--data=litestream_version=0.5")
    assert result.returncode == 0, result.stderr
    assert "To resolve" not in result.stdout
    assert "starts a new history" in result.stdout
    pin = f"litestream/litestream:{VERSIONS['litestream']['0.5']}"
    assert f"\nCOPY --from=docker.io/{pin} " in (app / "Dockerfile").read_text()
    assert f"    image: {pin}\n" in (app / DEPLOY).read_text()
    assert ok(check_files(App(app)))
