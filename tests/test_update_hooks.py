"""A plain `copier update`: what its hooks give back, say and leave alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kamalstream.update.outcome import UNDO

from .fixtures_template import commit, git, snapshot
from .fixtures_update import FILES, NEXT, adopt, middle, release, source, update
from .questions import SETTINGS

Adopted = Callable[[Path], Path]
PRODUCTION = "config/environments/production.rb"


def edit(app: Path, file: str, before: str, after: str) -> None:
    text = (app / file).read_text()
    assert before in text
    (app / file).write_text(text.replace(before, after))


def clean(app: Path) -> bool:
    return not git(app, "status", "--porcelain", "--untracked-files=all")


def test_an_update_exits_0_and_says_what_changed_what_is_new_what_to_run_and_how_to_undo(
    adopted: Adopted, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    production = (app / PRODUCTION).read_bytes()
    result = update(app)
    assert result.returncode == 0, result.stderr
    said = result.stdout
    assert said.count("kamalstream\n") == 1, "the temporary trees are silent"
    assert "- Every file says it better." in said
    assert "Twenty-three storage providers" not in said, "that was in the release before"
    assert [file for file in FILES if file not in said] == []
    # Each file has changed, and the sidecar is started by one of them.
    assert "When it is committed, run: kamal accessory reboot litestream && kamal deploy\n" in said
    assert UNDO in said
    assert (app / PRODUCTION).read_bytes() == production
    assert "conflict" not in said


def test_the_command_that_takes_an_update_back_is_said_before_it_too() -> None:
    assert UNDO in SETTINGS["_message_before_update"]


def test_conflicts_are_listed_with_their_lines_and_the_exit_code_is_0(
    two_releases: Path, adopted: Adopted, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    line = middle(app, two_releases, "Dockerfile")
    edit(app, "Dockerfile", line, "# Mine")
    edit(app, "config/deploy.yml", "WEB_CONCURRENCY: 0", "WEB_CONCURRENCY: 2")
    commit(app, "Mine")
    result = update(app)
    assert result.returncode == 0
    lines = (app / "Dockerfile").read_text().splitlines()
    number = lines.index("<<<<<<< before updating") + 1
    assert f"Dockerfile: conflict at line {number}\n" in result.stdout
    assert "deploy.yml: conflict" not in result.stdout
    assert "WEB_CONCURRENCY: 2" in (app / "config/deploy.yml").read_text()

    git(app, "reset", "-q", "--hard")
    git(app, "clean", "-fdq")
    result = update(app, "--conflict=rej")
    assert result.returncode == 0
    assert "Dockerfile: your changes around line" in result.stdout
    assert "are in Dockerfile.rej now" in result.stdout
    assert "+# Mine" in (app / "Dockerfile.rej").read_text()


def test_settings_of_a_new_release_come_into_production_rb_and_a_removed_line_stays_removed(
    tmp_path: Path,
) -> None:
    template = snapshot(tmp_path / "template")
    app = adopt(template, tmp_path / "notes")
    edit(app, PRODUCTION, "  config.assume_ssl = true\n", "")
    edit(app, PRODUCTION, "config.i18n.fallbacks = true", "config.i18n.fallbacks = [ :en ]")
    commit(app, "Mine")
    mine = (app / PRODUCTION).read_text()
    edit(
        template,
        "kamalstream/edit/production_rb.py",
        "DEFAULT = (",
        """NEW = tuple(
    Setting(name, "true", "# The next release has it.", ("silence",), since="0.2.0")
    for name in ("silence_all", "i18n.fallbacks")
)
DEFAULT = (*NEW, """,
    )
    release(template, NEXT)
    result = update(app)
    assert result.returncode == 0, result.stderr
    text = (app / PRODUCTION).read_text()
    added = [
        "  # The next release has it.",
        "  config.silence_all = true",
    ]
    assert [line for line in text.splitlines() if line not in mine.splitlines()] == added
    number = text.splitlines().index(added[1]) + 1
    assert f"added  {PRODUCTION}:{number}  config.silence_all = true\n" in result.stdout
    assert "changed: .copier-answers.yml, config/environments/production.rb\n" in result.stdout
    assert "run: kamal deploy" in result.stdout
    assert "config.i18n.fallbacks = [ :en ]" in result.stdout, "the check says what was left"

    (app / PRODUCTION).write_text(mine)
    commit(app, "Not this one")
    release(template, "v0.3.0", "One more")
    assert update(app).returncode == 0
    assert (app / PRODUCTION).read_text() == mine


def test_what_the_template_drops_stays_where_the_owner_has_a_share_in_it(tmp_path: Path) -> None:
    template = snapshot(tmp_path / "template")
    app = adopt(template, tmp_path / "notes")
    edit(app, ".dockerignore", "/.bundle\n", "/.bundle\n/mine\n")
    (app / "bin/restore").write_text("#!/bin/sh\necho declined\n")
    commit(app, "Mine")
    mine = {file: (app / file).read_bytes() for file in (".dockerignore", "bin/restore")}
    for file in (".dockerignore", "bin/restore", "docs/DEPLOYMENT.md"):
        source(template, file).unlink()
    release(template, NEXT)
    for options in ((), ("--conflict=rej",)):
        result = update(app, *options)
        assert result.returncode == 0
        assert {file: (app / file).read_bytes() for file in mine} == mine
        assert not (app / "docs/DEPLOYMENT.md").exists()
        assert ".dockerignore: kept, though the template has it no more" in result.stdout
        assert "docs/DEPLOYMENT.md: removed" in result.stdout
        assert "To resolve" not in result.stdout
        assert git(app, "status", "--porcelain").split("\n")[:-1] == [
            " M .copier-answers.yml",
            " D docs/DEPLOYMENT.md",
        ]
        git(app, "reset", "-q", "--hard")


def test_a_file_that_git_ignores_is_left_to_its_owner(
    two_releases: Path, adopted: Adopted, tmp_path: Path
) -> None:
    app = adopted(tmp_path / "notes")
    git(app, "rm", "-q", "--cached", ".kamal/secrets")
    (app / ".gitignore").write_text((app / ".gitignore").read_text() + "/.kamal/secrets\n")
    edit(app, ".kamal/secrets", "RAILS_MASTER_KEY=", "MINE=1\nRAILS_MASTER_KEY=")
    commit(app, "The secrets are not for git")
    mine = (app / ".kamal/secrets").read_bytes()
    result = update(app)
    assert (app / ".kamal/secrets").read_bytes() == mine
    assert ".kamal/secrets: left as it is" in result.stdout
    assert clean(app) is False
    assert not list((app / ".git").glob("kamalstream*"))
