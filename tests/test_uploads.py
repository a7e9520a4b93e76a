"""The question about uploaded files: found in the app, and put into its owner's deploy.yml."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from kamalstream.ask.detected import detected
from kamalstream.edit.deploy_yml import edit_base
from kamalstream.edit.destination_yml import Destination, edit_destination
from kamalstream.edit.kamal_pieces import SIDECAR, UPLOADS, Placement
from kamalstream.edit.yaml_text import YamlText
from kamalstream.errors import BadInput
from kamalstream.facts import COPY_UPLOADS, DEPLOY, RCLONE, VERSIONS
from kamalstream.inspect.app import inspect_app
from kamalstream.prove.files import drill_files
from kamalstream.prove.s3 import ScratchS3

from .conftest import requires
from .fixtures_template import make_app, render

TABLES = "db/migrate/1_create_active_storage_tables.active_storage.rb"
WEB = Placement("roles", "web")
STAGING = Destination(
    *("staging", "config/deploy.staging.yml", "config/litestream.staging.yml"),
    *(("staging_storage:/rails/storage",), ("192.0.2.2",), "notes", True, False),
)


def attach(app: Path, storage: str = "") -> Path:
    (app / TABLES).parent.mkdir(parents=True, exist_ok=True)
    (app / TABLES).write_text("# tables\n")
    (app / "db/schema.rb").write_text('create_table "active_storage_blobs"\n')
    if storage:
        (app / "config/storage.yml").write_text(storage)
    return app


def disk(root: str) -> str:
    return f"local:\n  service: Disk\n  root: {root}\n"


@pytest.mark.parametrize(
    ("storage", "root"),
    [
        ('<%= Rails.root.join("storage") %>', "/rails/storage"),
        ("<%= Rails.root.join('storage', 'files') %>", "/rails/storage/files"),
        ("storage/uploads", "/rails/storage/uploads"),
        ("/rails/storage/x", "/rails/storage/x"),
    ],
)
def test_files_on_the_volume_are_copied_unless_told_otherwise(
    tmp_path: Path, storage: str, root: str
) -> None:
    app = attach(make_app("rails_8_1", tmp_path / "notes"), disk(storage))
    found = detected(inspect_app(app))
    assert (found["uploads"], found["uploads_root"]) == (True, root)
    assert found["uploads_volume"] == ""


@pytest.mark.parametrize(
    "storage",
    [
        "local:\n  service: S3\n  bucket: <%= ENV['B'] %>\n",
        disk("/var/files"),
        disk('<%= ENV["FILES"] %>'),
        "amazon:\n  service: S3\n",
        "[",
    ],
)
def test_files_that_are_on_no_volume_are_not(tmp_path: Path, storage: str) -> None:
    app = attach(make_app("rails_8_1", tmp_path / "notes"), storage)
    assert detected(inspect_app(app))["uploads"] is False


def test_an_app_without_attachments_has_nothing_to_copy(tmp_path: Path) -> None:
    app = make_app("rails_8_1", tmp_path / "notes")
    assert detected(inspect_app(app))["uploads"] is False


def test_files_on_a_volume_of_their_own_are_copied_from_there(tmp_path: Path) -> None:
    app = attach(make_app("rails_8_1", tmp_path / "notes"), disk("/files"))
    text = (app / DEPLOY).read_text()
    at = text.index("volumes:\n") + len("volumes:\n")
    (app / DEPLOY).write_text(f'{text[:at]}  - "pictures:/files"\n{text[at:]}')
    found = detected(inspect_app(app))
    assert (found["uploads"], found["uploads_volume"]) == (True, "pictures:/files")


def test_an_app_with_attachments_gets_the_accessory_and_kamal_takes_it(
    template: Path, tmp_path: Path
) -> None:
    app = attach(make_app("rails_8_1", tmp_path / "notes"))
    render(template, app)
    assert (app / COPY_UPLOADS).stat().st_mode & 0o111
    accessory = yaml.safe_load((app / DEPLOY).read_text())["accessories"]["uploads"]
    assert accessory["image"] == f"rclone/rclone:{VERSIONS['rclone']}"
    assert accessory["volumes"] == ["notes_storage:/rails/storage"]
    assert accessory["options"]["user"] == "1000:1000"
    assert "remote = bucket:notes-backups/notes/_uploads\n" in (app / RCLONE).read_text()
    assert "Uploaded files" in (app / "docs/DEPLOYMENT.md").read_text()


def test_an_owners_deploy_yml_gets_it_with_an_update_and_loses_it_again(
    rendered: Callable[..., Path],
) -> None:
    volumes = ["data:/rails/storage"]
    without = (rendered(volumes=volumes) / DEPLOY).read_text()
    ours = (rendered(volumes=volumes, uploads=True) / DEPLOY).read_text()
    text = f'service: notes\nservers:\n  - 192.0.2.1\nvolumes:\n  - "{volumes[0]}"\n'
    before = edit_base(text, without, None, WEB, volumes).text
    now = edit_base(before, ours, without, WEB, volumes)
    assert not now.by_hand
    base = YamlText(now.text)
    assert base.value((*UPLOADS, "volumes")) == volumes
    assert base.value((*UPLOADS, "roles")) == ["web"]
    assert "uploads" in base.value(("aliases",))
    assert edit_base(now.text, ours, ours, WEB, volumes).text == now.text
    assert edit_base(now.text, without, ours, WEB, volumes).text == before

    both = (SIDECAR, UPLOADS)
    text = "volumes:\n  - staging_storage:/rails/storage\n"
    one = edit_destination(text, base.data, ours, None, WEB, STAGING, both)
    assert not one.by_hand
    staging = YamlText(one.text).value(UPLOADS)
    assert staging["volumes"] == list(STAGING.volumes)
    assert staging["service"] == "notes-uploads-staging"
    assert staging["files"] == [
        "config/rclone.staging.conf:/etc/rclone.conf:ro",
        "bin/copy-uploads:/usr/local/bin/copy-uploads:ro",
    ]
    again = edit_destination(one.text, base.data, ours, None, WEB, STAGING, both)
    assert again.text == one.text


@requires("rclone", "weed")
def test_a_drill_proves_files_too_and_says_what_keeps_them_from_coming_back(
    rendered: Callable[..., Path], tmp_path: Path, s3: ScratchS3
) -> None:
    app = Path(shutil.copytree(rendered(uploads=True), tmp_path / "app"))
    report = drill_files(app, s3)
    assert (report.problems, report.back) == ((), report.written)

    program = app / COPY_UPLOADS
    stops = '  if [ -s "$coming" ]; then exit 7; fi\n'
    program.write_text(program.read_text().replace("  bring\n", stops))
    [problem] = drill_files(app, s3).problems
    assert "0 of 40 files are as they were" in problem
    (app / RCLONE).write_text("[bucket]\n")
    with pytest.raises(BadInput, match="uploads"):
        drill_files(app, s3)
