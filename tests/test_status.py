"""`kamalstream status`: a real bucket, and a server whose docker says what is set."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from kamalstream import programs
from kamalstream.check.deployed import deployments
from kamalstream.check.ssh import NoAnswerError
from kamalstream.commands import status
from kamalstream.errors import BadInput
from kamalstream.facts import BUCKET_KEYS
from kamalstream.inspect.adopted import App
from kamalstream.prove.redirect import on_disk, redirect, replicated
from kamalstream.prove.s3 import ScratchS3

from .conftest import requires

FINE = """\
container running litestream/litestream:0.5.17
error time=… level=ERROR msg="sync failed"
disk /dev/vda 99999999 1 50000000 1% /
file /rails/storage/production.sqlite3 8192
file /rails/storage/production.sqlite3-wal 4152
"""
Shown = Callable[..., tuple[bool, str]]


@pytest.fixture(params=["0.5", "0.3"])
def series(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def backed_up(
    deployable: Callable[..., Path],
    tmp_path: Path,
    s3: ScratchS3,
    monkeypatch: pytest.MonkeyPatch,
    series: str,
) -> Path:
    """Return an app whose primary database is in the bucket, and its jobs are not."""
    bucket = f"status-{series.replace('.', '-')}-{time.time_ns()}"
    s3.create_bucket(bucket)
    answers = {"storage_provider": "custom", "endpoint": s3.endpoint, "bucket": bucket}
    app = deployable(tmp_path / "notes", region="us-east-1", litestream_version=series, **answers)
    for name, value in zip(BUCKET_KEYS, (s3.access_key, s3.secret_key), strict=True):
        monkeypatch.setenv(name, value)
    text = (app / "config/litestream.yml").read_text()
    config = tmp_path / "litestream.yml"
    config.write_text(redirect(text, tmp_path, s3.endpoint, s3.access_key, s3.secret_key))
    primary = replicated(text)[0]
    path = Path(on_disk(tmp_path, primary.path))
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    litestream = programs.litestream(series)
    assert litestream
    process = subprocess.Popen(
        [litestream, "replicate", "-config", config],
        env=s3.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ends = time.monotonic() + 60
    while not s3.holds(bucket, primary.key):
        assert time.monotonic() < ends
        time.sleep(0.2)
    time.sleep(3)
    process.terminate()
    process.wait(60)
    return app


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    """Return what shows the status of an app whose server answers so."""

    def show(app: Path, answer: str = FINE, *, as_json: bool = False) -> tuple[bool, str]:
        monkeypatch.setattr(status, "ask", lambda host, ssh, script: answer.splitlines())
        fine = status.run(app, "", as_json, Console(width=150, stderr=as_json))
        return fine, capsys.readouterr().out

    return show


@requires("weed", "litestream-0.5", "litestream-0.3")
def test_how_old_how_deep_how_large_and_what_is_missing(
    backed_up: Path, shown: Shown, series: str
) -> None:
    fine, text = shown(backed_up)
    assert not fine
    assert "queue: nothing is backed up" in text
    assert "primary: " not in text.replace("files: primary: ", "")
    assert " seconds ago" in text
    assert "8.2 kB" in text
    assert "litestream running, litestream/litestream:0.5.17 51.2 GB free" in text
    assert 'the accessory\'s last error: time=… level=ERROR msg="sync failed"' in text
    assert "last verified here: never" in text
    assert "\x1b" not in text

    fine, text = shown(backed_up, as_json=True)
    assert not fine
    said = json.loads(text)
    [deployment] = said["deployments"]
    primary, queue = deployment["databases"]
    assert (primary["problems"], queue["problems"]) == ([], ["nothing is backed up"])
    assert 0 <= primary["age"] < 300
    assert (primary["here"], primary["wal"], queue["here"]) == (8192, 4152, None)
    kinds = {"0.5": {"level 0"}, "0.3": {"snapshots", "WAL"}}[series]
    assert kinds <= primary["stored"]["files"].keys()
    assert primary["stored"]["position"]
    assert (said["ok"], deployment["server"]["free"]) == (False, 50000000 * 1024)


@requires("weed", "litestream-0.5", "litestream-0.3")
def test_what_is_older_than_it_may_be_and_what_does_not_replicate(
    backed_up: Path, shown: Shown, series: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "age_of", lambda newest, now: 4 * 3600.0 if newest else None)
    _, text = shown(backed_up)
    # 0.3 writes nothing by itself.
    late = "primary: the last upload was 4 hours ago, and the server makes one every hour"
    assert (late in text) == (series == "0.5")
    refused = "refused Not replicating: another server has written to the backup of x since\n"
    _, text = shown(backed_up, refused + FINE)
    assert "\nNot replicating: another server has written to the backup of x since\n" in text
    _, text = shown(backed_up, FINE + "uploads 9 files (90 bytes) are here and in the bucket. \n")
    assert "uploaded files: 9 files (90 bytes) are here and in the bucket.\n" in text
    _, text = shown(backed_up, FINE + "behind Error response from daemon: No such container \n")
    behind = "uploaded files: Error response from daemon: No such container (kamal accessory logs"
    assert behind in text
    _, text = shown(backed_up, "Error: No such object: notes-litestream\n")
    assert "the accessory notes-litestream is missing: kamal setup\n" in text

    def silent(*_: object) -> list[str]:
        raise NoAnswerError("Permission denied")

    monkeypatch.setattr(status, "ask", silent)
    status.run(backed_up, "", False, Console(width=150))


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        ("Error: No such object: notes-litestream-staging", "missing: kamal setup -d staging"),
        ("container exited x:1", "exited: kamal accessory reboot litestream -d staging"),
    ],
)
def test_a_destination_that_was_never_deployed_and_one_that_stands_still(
    deployable: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    remedy: str,
) -> None:
    app = deployable(tmp_path / "notes")
    (app / "config/deploy.staging.yml").write_text("servers: {web: [203.0.113.8]}\n")
    staging = next(one for one in deployments(App(app)) if one.name == "staging")
    monkeypatch.setattr(status, "ask", lambda *_: [answer])
    server, _ = status._server(staging, [])
    assert server.problem.endswith(remedy)


def test_a_destination_that_is_none_is_refused(
    deployable: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="staging is no deployment of this app"):
        status.run(deployable(tmp_path / "notes"), "staging", False, Console())
