"""Where answers or files change shape between releases: nothing of the owner's is lost."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import yaml

from kamalstream import programs
from kamalstream.check import check_files
from kamalstream.check.finding import ok
from kamalstream.inspect.adopted import App
from kamalstream.prove.redirect import redirect
from kamalstream.prove.s3 import ScratchS3
from kamalstream.update.news import news
from kamalstream.update.owned import rename_answer

from .conftest import requires
from .fixtures_template import commit, git, snapshot
from .fixtures_update import NEXT, adopt, release, source, update

_HOOK = '["{{ _copier_python }}", "{{ _copier_conf.src_path }}/hooks/migrate.py", '


def migrate(template: Path, *migrations: tuple[str, str]) -> None:
    """Add migrations to the next release: stage and arguments of hooks/migrate.py."""
    entries = "".join(
        f"  - version: {NEXT.removeprefix('v')}\n    when: \"{{{{ _stage == '{stage}' }}}}\"\n"
        f"    command: {_HOOK}{arguments}]\n"
        for stage, arguments in migrations
    )
    questions = template / "copier.yml"
    text = questions.read_text()
    questions.write_text(text.replace("_migrations:\n", f"_migrations:\n{entries}", 1))


def test_a_renamed_question_keeps_its_answer(tmp_path: Path) -> None:
    template = snapshot(tmp_path / "template")
    app = adopt(template, tmp_path / "notes", heartbeat_url="https://hc.example.com/1")
    (app / "config/litestream.yml").write_text(
        (app / "config/litestream.yml").read_text().replace("interval: 24h", "interval: 12h")
    )
    commit(app, "Mine")
    for path in [template / "copier.yml", *(template / "template").rglob("*.jinja")]:
        path.write_text(re.sub(r"\bheartbeat_url\b", "watchdog_url", path.read_text()))
    problems = template / "kamalstream/ask/problems.jinja"
    problems.write_text(problems.read_text().replace("heartbeat_url", "watchdog_url"))
    migrate(template, ("before", "rename_answer, heartbeat_url, watchdog_url"))
    release(template, NEXT)
    result = update(app)
    assert result.returncode == 0, result.stderr
    answers = yaml.safe_load((app / ".copier-answers.yml").read_text())
    assert answers["watchdog_url"] == "https://hc.example.com/1"
    assert "heartbeat_url" not in answers
    # The guide names the question.
    assert git(app, "diff", "--name-only").split() == [".copier-answers.yml", "docs/DEPLOYMENT.md"]
    before = (app / ".copier-answers.yml").read_text()
    rename_answer(app, "heartbeat_url", "watchdog_url")
    assert (app / ".copier-answers.yml").read_text() == before


def moved(tmp_path: Path) -> tuple[Path, Path]:
    """Make an app, and a next release that has docs/DEPLOYMENT.md as docs/kamal.md, changed."""
    template = snapshot(tmp_path / "template")
    app = adopt(template, tmp_path / "notes")
    old = source(template, "docs/DEPLOYMENT.md")
    text = old.read_text().replace("## Every day", "## Every single day")
    old.rename(template / "template/docs/kamal.md.jinja").write_text(text)
    migrate(template, ("after", "move_file, docs/DEPLOYMENT.md, docs/kamal.md"))
    release(template, NEXT)
    return template, app


def test_a_moved_file_takes_the_owners_edits_with_it(tmp_path: Path) -> None:
    _, app = moved(tmp_path)
    old = app / "docs/DEPLOYMENT.md"
    old.write_text(f"{old.read_text()}\nMine.\n")
    commit(app, "Mine")
    result = update(app)
    assert result.returncode == 0, result.stderr
    text = (app / "docs/kamal.md").read_text()
    assert "## Every single day" in text
    assert text.endswith("\nMine.\n")
    assert "<<<<" not in text
    assert not old.exists()
    assert "kept" not in result.stdout
    commit(app, "Updated")
    again = update(app)
    assert (again.returncode, git(app, "status", "--porcelain")) == (0, "")


def test_a_moved_file_with_both_sides_changed_is_a_conflict(tmp_path: Path) -> None:
    _, app = moved(tmp_path)
    old = app / "docs/DEPLOYMENT.md"
    old.write_text(old.read_text().replace("## Every day", "## Daily"))
    commit(app, "Mine")
    result = update(app)
    assert re.search(r"docs/kamal.md: conflict at line \d+", result.stdout), result.stdout
    text = (app / "docs/kamal.md").read_text()
    assert "## Daily" in text
    assert "## Every single day" in text


def test_a_file_that_was_deleted_does_not_come_back_where_it_moved(tmp_path: Path) -> None:
    _, app = moved(tmp_path)
    (app / "docs/DEPLOYMENT.md").unlink()
    commit(app, "No docs")
    assert update(app).returncode == 0
    assert not (app / "docs/kamal.md").exists()
    assert not (app / "docs/DEPLOYMENT.md").exists()


def test_from_litestream_0_3_to_0_5_the_config_is_rewritten_and_edits_stay(tmp_path: Path) -> None:
    template = snapshot(tmp_path / "template")
    app = adopt(template, tmp_path / "notes", litestream_version="0.3", retention="168h")
    config = app / "config/litestream.yml"
    config.write_text(f"{config.read_text()}\n# Mine.\n")
    deploy = app / "config/deploy.yml"
    deploy.write_text(deploy.read_text().replace("WEB_CONCURRENCY: 0", "WEB_CONCURRENCY: 2"))
    commit(app, "Mine")
    result = update(app, "--data=litestream_version=0.5")
    assert result.returncode == 0, result.stderr
    assert "To resolve" not in result.stdout
    loaded = yaml.safe_load(config.read_text())
    assert loaded["snapshot"] == {"interval": "24h", "retention": "168h"}
    assert all("replica" in entry and "replicas" not in entry for entry in loaded["dbs"])
    assert config.read_text().endswith("# Mine.\n")
    assert "WEB_CONCURRENCY: 2" in deploy.read_text()
    assert ok(check_files(App(app)))
    said = result.stdout
    assert "starts a new history" in said
    assert "notes/…/generations/" in said
    assert "168h" in said
    assert "run: kamal accessory reboot litestream && kamal deploy" in said
    commit(app, "On 0.5")
    assert "new history" not in update(app).stdout


@requires("weed", "litestream-0.3", "litestream-0.5")
def test_what_litestream_0_3_backed_up_restores_after_the_move_to_0_5(tmp_path: Path) -> None:
    template = snapshot(tmp_path / "template")
    app = adopt(template, tmp_path / "notes", litestream_version="0.3", databases=_ONE)
    before = (app / "config/litestream.yml").read_text()
    update(app, "--data=litestream_version=0.5")
    after = (app / "config/litestream.yml").read_text()
    disk = tmp_path / "disk"
    database = disk / "rails/storage/production.sqlite3"
    database.parent.mkdir(parents=True)
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE notes (body TEXT)")

    def add(body: str) -> None:
        connection.execute("INSERT INTO notes VALUES (?)", (body,))

    with ScratchS3() as s3:
        s3.create_bucket("notes-backups")
        configs = {}
        for series, text in (("0.3", before), ("0.5", after)):
            configs[series] = tmp_path / f"{series}.yml"
            there = redirect(text, disk, s3.endpoint, s3.access_key, s3.secret_key)
            configs[series].write_text(there)
        add("in the time of 0.3")
        with _replicating(s3, "0.3", configs["0.3"]):
            _until(lambda: s3.holds("notes-backups", f"{_KEY}/generations"))
            time.sleep(2.5)
            moment = datetime.now(timezone.utc)
            time.sleep(1.5)
            add("later in that time")
            time.sleep(2.5)
        add("in the time of 0.5")
        with _replicating(s3, "0.5", configs["0.5"]):
            _until(lambda: s3.holds("notes-backups", f"{_KEY}/0009"))
            add("and after that")
            time.sleep(2.5)
        assert s3.holds("notes-backups", f"{_KEY}/generations"), "0.5 leaves it there"

        def restored(*options: str) -> list[str]:
            target = tmp_path / f"restored{len(options)}"
            subprocess.run(
                [
                    *(_program("0.5"), "restore", "-config", configs["0.5"]),
                    *(*options, "-o", target, database),
                ],
                env=s3.environment(),
                check=True,
                capture_output=True,
            )
            rows = sqlite3.connect(target).execute("SELECT body FROM notes ORDER BY rowid")
            return [body for (body,) in rows]

        everything = ["in the time of 0.3", "later in that time"]
        everything += ["in the time of 0.5", "and after that"]
        assert restored() == everything
        stamp = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        assert restored("-timestamp", stamp) == everything[:1]
    connection.close()


_ONE = {"primary": "storage/production.sqlite3"}
_KEY = "notes/production.sqlite3"


def _program(series: str) -> Path:
    found = programs.litestream(series)
    assert found
    return found


@contextmanager
def _replicating(s3: ScratchS3, series: str, config: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [_program(series), "replicate", "-config", config],
        env=s3.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def _until(happened: object) -> None:
    deadline = time.monotonic() + 20
    assert callable(happened)
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_news_are_those_between_two_releases() -> None:
    text = (
        "# Changelog\n\n## [Unreleased]\n\n- soon\n\n## [0.3.0] - 2026-03-01\n\n- three\n\n"
        "## [0.2.0] - 2026-02-01\n\n- two\n\n## [0.1.0] - 2026-01-01\n\n- one\n"
    )
    assert news(text, "0.1.0", "0.3.0").split() == ["0.3.0", "-", "three", "0.2.0", "-", "two"]
    assert news(text, "0.2.0", "0.3.0").split() == ["0.3.0", "-", "three"]
    assert news(text, "0.3.0", "0.3.0") == ""
    assert news(text, "0.3.0", "0.3.0.post2.dev0+abc").split() == ["Unreleased", "-", "soon"]
    assert news("", "0.1.0", "0.2.0") == ""
    assert news(text, "0.2.1", "0.2.1") == "", "a release without a section of its own"
    assert news(text, "0.2.1", "0.3.0").split() == ["0.3.0", "-", "three"]
