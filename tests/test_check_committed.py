"""The encrypted credentials and git: what the files themselves do not show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kamalstream.check import check_files
from kamalstream.check.committed import check_committed
from kamalstream.check.credentials import check_credentials
from kamalstream.check.finding import Finding
from kamalstream.edit.credentials import store
from kamalstream.inspect.adopted import App

from .fixtures_template import commit, git

KEY = "00112233445566778899aabbccddeeff"


@pytest.fixture
def app(deployable: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RAILS_MASTER_KEY", raising=False)
    folder = deployable(tmp_path / "notes")
    (folder / "config/credentials.yml.enc").unlink()
    (folder / "config/master.key").write_text(KEY)
    with (folder / ".gitignore").open("a") as ignored:
        ignored.write("\n/config/master.key\n")
    commit(folder, "Adopted")
    return folder


def found(app: Path) -> list[Finding]:
    checked = App(app)
    return [*check_credentials(checked), *check_committed(checked)]


def test_keys_that_are_there_leave_nothing_to_say(app: Path) -> None:
    store(app, "AKIAEXAMPLE", "the-secret-key")
    assert found(app) == []


def test_keys_that_would_be_empty_are_an_error_that_shows_no_secret(app: Path) -> None:
    [finding] = found(app)
    assert (finding.id, finding.level, finding.file) == ("secrets.empty", "error", ".kamal/secrets")
    assert finding.fix == "kamalstream credentials"
    assert "access_key_id and secret_access_key" in finding.message


def test_a_wrong_master_key_is_an_error(app: Path) -> None:
    store(app, "AKIAEXAMPLE", "the-secret-key")
    (app / "config/master.key").write_text(KEY[::-1])
    [finding] = found(app)
    assert (finding.id, finding.level) == ("secrets.unreadable", "error")
    assert "the key is another one" in finding.message
    assert KEY not in str(finding)


def test_a_missing_master_key_is_a_warning(app: Path) -> None:
    store(app, "AKIAEXAMPLE", "the-secret-key")
    (app / "config/master.key").unlink()
    [finding] = found(app)
    assert (finding.id, finding.level) == ("secrets.no-key", "warning")
    assert "config/master.key is missing" in finding.message


def test_a_master_key_in_git_is_an_error(app: Path) -> None:
    store(app, "AKIAEXAMPLE", "the-secret-key")
    git(app, "add", "--force", "config/master.key")
    [finding] = found(app)
    assert (finding.id, finding.file) == ("secrets.key-in-git", "config/master.key")


def test_another_volume_than_the_committed_one_is_an_error(app: Path) -> None:
    store(app, "AKIAEXAMPLE", "the-secret-key")
    deploy = app / "config/deploy.yml"
    deploy.write_text(deploy.read_text().replace("notes_storage:", "fresh_storage:"))
    [finding] = found(app)
    assert (finding.id, finding.level) == ("volume.renamed", "error")
    assert "keeps the data in notes_storage" in finding.message
    commit(app, "Moved the data")
    assert found(app) == []


def test_without_git_nothing_is_said_of_it(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(app, "AKIAEXAMPLE", "the-secret-key")
    monkeypatch.setenv("PATH", "/nowhere")
    assert found(app) == []


def test_an_app_without_credentials_is_not_asked_for_them(app: Path) -> None:
    (app / "config/master.key").unlink()
    keys = ("SECRET_KEY_BASE", "LITESTREAM_ACCESS_KEY_ID", "LITESTREAM_SECRET_ACCESS_KEY")
    (app / ".kamal/secrets").write_text("".join(f"{key}=${key}\n" for key in keys))
    deploy = app / "config/deploy.yml"
    deploy.write_text(deploy.read_text().replace("RAILS_MASTER_KEY", "SECRET_KEY_BASE"))
    assert found(app) == []
    assert [one for one in check_files(App(app)) if one.id.startswith("secrets.")] == []


def test_a_volume_of_a_destination_is_compared_with_the_committed_one(app: Path) -> None:
    store(app, "AKIAEXAMPLE", "the-secret-key")
    staging = app / "config/deploy.staging.yml"
    staging.write_text('servers: ["203.0.113.9"]\nvolumes: ["staging_data:/rails/storage"]\n')
    commit(app, "Staging")
    assert found(app) == []
    staging.write_text(staging.read_text().replace("staging_data", "other_data"))
    [finding] = found(app)
    assert (finding.id, finding.file, finding.line) == (
        "volume.renamed",
        "config/deploy.staging.yml",
        2,
    )
