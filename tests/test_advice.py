"""Advice that names commands, followed to the letter: each of them ends well."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kamalstream import facts
from kamalstream.ask.detected import refuse_what_cannot_be_asked
from kamalstream.ask.validators import problems
from kamalstream.check import check_files
from kamalstream.check.committed import check_committed
from kamalstream.check.finding import Finding
from kamalstream.check.next_steps import next_steps
from kamalstream.errors import BadInput
from kamalstream.hooks.report import _with_copier
from kamalstream.inspect.adopted import App
from kamalstream.inspect.app import inspect_app
from kamalstream.inspect.refusal import refusal
from kamalstream.update.preview import refuse_unready

from . import warm
from .fixtures_init import Ran, _answers, _kamalstream  # noqa: F401
from .fixtures_template import RELEASE, commit, git, make_app, render
from .fixtures_update import adopt

KEY, DEPLOY = "config/master.key", "config/deploy.yml"


@pytest.fixture
def app(deployable: Callable[..., Path], tmp_path: Path) -> Path:
    folder = deployable(tmp_path / "notes")
    (folder / KEY).write_text("00112233445566778899aabbccddeeff")
    return folder


def follow(folder: Path, command: str) -> None:
    """Run `command` as a shell does; an editor is left with one line."""
    programs = f"{warm.folder()}:{os.environ['PATH']}"
    editor = {"GIT_EDITOR": "echo Adopted >", "PATH": programs}
    ran = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=folder,
        env={**os.environ, **editor},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def commands(app: Path) -> list[str]:
    """Return the next steps that are git's: those that need a server come after them."""
    lines = next_steps(App(app), [], True).splitlines()
    steps = [re.split(r"\s{2,}", line.strip().partition(". ")[2])[0] for line in lines[1:]]
    return [step for step in steps if "git" in step]


def found(app: Path, wanted: str) -> list[Finding]:
    checked = App(app)
    findings = [*check_files(checked), *check_committed(checked)]
    return [one for one in findings if one.id == wanted]


@pytest.mark.parametrize("ignore", [None, "/tmp\n", "/tmp"])
def test_a_folder_that_is_no_repository_is_committed_without_its_keys(
    app: Path, ignore: str | None
) -> None:
    shutil.rmtree(app / ".git")
    (app / ".gitignore").unlink()
    if ignore is not None:
        (app / ".gitignore").write_text(ignore)
    (app / "config/credentials").mkdir()
    (app / "config/credentials/staging.key").write_text("0" * 32)
    assert commands(app)[0] == "git init"
    for command in commands(app):
        follow(app, command)
    tracked = git(app, "ls-files").split()
    assert "config/deploy.yml" in tracked
    assert [file for file in tracked if file.endswith(".key")] == []
    assert commands(app) == ["git add --all && git commit"]


def test_a_repository_that_ignores_no_key_gets_none(app: Path) -> None:
    (app / ".gitignore").write_text("/tmp\n")
    for command in commands(app):
        follow(app, command)
    assert KEY not in git(app, "ls-files")


def test_a_repository_that_ignores_its_keys_is_committed_in_one_step(app: Path) -> None:
    (app / ".gitignore").write_text("/config/*.key\n")
    assert commands(app) == ["git add --all && git commit"]


def test_a_key_in_git_is_taken_out(app: Path) -> None:
    (app / ".gitignore").write_text("/tmp")
    commit(app, "With the key")
    [finding] = found(app, "secrets.key-in-git")
    for command in finding.fix.splitlines()[:2]:
        follow(app, command)
    assert found(app, "secrets.key-in-git") == []
    assert (app / KEY).exists()
    follow(app, "git add --all && git commit --allow-empty")
    assert KEY not in git(app, "ls-files")


@pytest.mark.parametrize("file", ["config/database.yml", "bin/docker-entrypoint", "Dockerfile"])
def test_what_git_ignores_gets_into_the_clone_that_kamal_builds_from(
    app: Path, tmp_path: Path, file: str
) -> None:
    assert found(app, "git.ignored") == []
    git(app, "rm", "--quiet", "--cached", file)
    (app / ".gitignore").write_text(f"/config/*.key\n/{file}\n")
    commit(app, "The owner's own")
    [finding] = found(app, "git.ignored")
    assert (finding.level, finding.file) == ("error", file)
    follow(app, finding.fix)
    assert found(app, "git.ignored") == []
    git(tmp_path, "clone", "--quiet", str(app), "clone")
    assert (tmp_path / "clone" / file).exists()


def test_a_database_yml_that_the_dockerfile_makes_may_be_ignored(app: Path) -> None:
    git(app, "rm", "--quiet", "--cached", "config/database.yml")
    (app / ".gitignore").write_text("/config/database.yml\n")
    with (app / "Dockerfile").open("a") as dockerfile:
        dockerfile.write("RUN cp config/database.yml.example config/database.yml\n")
    assert found(app, "git.ignored") == []


def test_a_build_from_the_folder_itself_takes_what_git_ignores(app: Path) -> None:
    git(app, "rm", "--quiet", "--cached", "config/database.yml")
    (app / ".gitignore").write_text("/config/database.yml\n")
    deploy = app / "config/deploy.yml"
    deploy.write_text(deploy.read_text().replace("builder:\n", "builder:\n  context: .\n"))
    assert found(app, "git.ignored") == []


def test_a_script_is_made_executable(app: Path) -> None:
    (app / "bin/restore").chmod(0o644)
    [finding] = found(app, "file.mode")
    follow(app, finding.fix)
    assert found(app, "file.mode") == []


def test_a_file_that_is_gone_is_checked_out_again(app: Path) -> None:
    commit(app, "Adopted")
    (app / "config/litestream.yml").unlink()
    [finding] = found(app, "litestream.missing")
    follow(app, finding.fix.partition(", or: ")[0])
    assert found(app, "litestream.missing") == []


def test_a_rails_app_further_in_is_named(app: Path) -> None:
    above = app.parent
    assert "There is one in notes/: run this" in (refusal(above) or "")
    (above / "apps").mkdir()
    app.rename(above / "apps/notes")
    assert "in apps/notes/: run" in (refusal(above) or "")


def test_an_app_without_active_record_is_refused(app: Path) -> None:
    application = app / "config/application.rb"
    application.write_text(application.read_text().replace("rails/all", "action_mailer/railtie"))
    assert refusal(app) is None, "it has a database.yml"
    (app / "config/database.yml").unlink()
    assert "has no Active Record" in (refusal(app) or "")


@pytest.mark.parametrize(("version", "controller"), [("8.1.0", True), ("7.0.8", False)])
def test_an_app_that_does_not_answer_the_proxy_gets_a_route(
    app: Path, version: str, controller: bool
) -> None:
    routes, lock = app / "config/routes.rb", app / "Gemfile.lock"
    lock.write_text(
        re.sub(r"^    rails \(.*\)", f"    rails ({version})", lock.read_text(), flags=re.M)
    )
    before = routes.read_text()
    routes.write_text(re.sub(r"(?m)^.*rails/health.*\n", "", before))
    [finding] = found(app, "health.no-route")
    assert ("rails/health#show" in finding.fix) == controller
    line = finding.fix.removeprefix("Write there: ")
    routes.write_text(routes.read_text().replace("routes.draw do\n", f"routes.draw do\n  {line}\n"))
    assert found(app, "health.no-route") == []


def moved_into_db(app: Path) -> None:
    """Have the app keep its primary database in db/, where its migrations are."""
    for file in ("config/database.yml", ".copier-answers.yml"):
        text = (app / file).read_text()
        (app / file).write_text(text.replace("storage/production.sqlite3", "db/production.sqlite3"))


def test_a_database_beside_the_migrations_goes_below_storage(app: Path) -> None:
    moved_into_db(app)
    with pytest.raises(BadInput, match="is on no volume") as refused:
        refuse_what_cannot_be_asked(inspect_app(app))
    assert "a volume at /rails/db would hide what later images have there" in str(refused.value)
    line = re.search(r"database: \S+", str(refused.value))
    assert line
    file = app / "config/database.yml"
    file.write_text(file.read_text().replace("database: db/production.sqlite3", line[0]))
    refuse_what_cannot_be_asked(inspect_app(app))
    file.write_text(file.read_text().replace(line[0], "database: data/production.sqlite3"))
    with pytest.raises(BadInput, match='"NAME:/rails/data"'):
        refuse_what_cannot_be_asked(inspect_app(app))


def test_a_database_that_a_variable_of_the_image_names_is_moved_there(app: Path) -> None:
    dockerfile = app / "Dockerfile"
    before = dockerfile.read_text()
    variable = 'DATABASE_URL="sqlite3:///data/production.sqlite3"'
    dockerfile.write_text(before.replace("\nUSER ", f"\nENV {variable}\nUSER ", 1))
    with pytest.raises(BadInput, match=r"storage/ in Dockerfile: DATABASE_URL=\S+\. Or") as refused:
        refuse_what_cannot_be_asked(inspect_app(app))
    line = re.search(r"(DATABASE_URL=\S+)\. Or", str(refused.value))
    assert line
    assert line[1] in "\n".join(one.fix for one in found(app, "databases.unknown"))
    dockerfile.write_text(dockerfile.read_text().replace(variable, line[1]))
    refuse_what_cannot_be_asked(inspect_app(app))
    assert inspect_app(app).databases.sqlite["primary"] == "storage/production.sqlite3"


def test_the_volume_of_an_app_elsewhere_in_its_image_is_where_it_has_storage() -> None:
    given: dict[str, Any] = {"app_name": "notes", "rails_root": "/srv/app"}
    assert facts.data_volumes(given) == ("notes_storage:/srv/app/storage",)
    given |= {"databases": {"primary": "storage/production.sqlite3"}}
    assert "databases" not in problems(given)


def test_a_volume_over_the_migrations_is_mounted_elsewhere(app: Path) -> None:
    moved_into_db(app)
    deploy = app / "config/deploy.yml"
    deploy.write_text(deploy.read_text().replace("notes_storage:/rails/storage", "notes:/rails/db"))
    [finding] = found(app, "volume.hides")
    assert (finding.level, finding.file) == ("warning", "config/deploy.yml")
    volume = re.search(r'"(notes:\S+)"', finding.fix)
    paths = re.findall(r"database: (\S+)", finding.fix)
    assert volume
    assert paths == ["storage/production.sqlite3"]
    deploy.write_text(deploy.read_text().replace("notes:/rails/db", volume[1]))
    for file in ("config/database.yml", ".copier-answers.yml"):
        text = (app / file).read_text()
        (app / file).write_text(text.replace("db/production.sqlite3", paths[0]))
    assert found(app, "volume.hides") == []
    assert found(app, "volume.missing") == []


def test_the_queue_of_litestack_is_kept_as_a_database_is(app: Path) -> None:
    lock, production = app / "Gemfile.lock", app / "config/environments/production.rb"
    lock.write_text(lock.read_text().replace("    rails (", "    litestack (0.4.4)\n    rails ("))
    production.write_text(production.read_text().replace(":solid_queue\n", ":litejob\n"))
    assert inspect_app(app).databases.sqlite["litejob"] == "db/production/queue.sqlite3"
    with pytest.raises(BadInput, match=r"in litejob\.yml: path: storage/queue\.sqlite3") as refused:
        refuse_what_cannot_be_asked(inspect_app(app))
    [finding] = found(app, "databases.unknown")
    assert "db/production/queue.sqlite3 (litejob)" in finding.message
    line = re.search(r"path: \S+[^.\s]", str(refused.value))
    assert line
    assert f"In litejob.yml: {line[0]}" in finding.fix
    (app / "litejob.yml").write_text(f"{line[0]}\n")
    refuse_what_cannot_be_asked(inspect_app(app))
    assert inspect_app(app).databases.sqlite["litejob"] == "storage/queue.sqlite3"
    deploy = app / "config/deploy.yml"
    said = "  clear:\n    LITESTACK_DATA_PATH: /rails/storage\n"
    deploy.write_text(deploy.read_text().replace("  clear:\n", said))
    (app / "litejob.yml").write_text("production:\n  workers: 2\n")
    assert inspect_app(app).databases.sqlite["litejob"] == "storage/production/queue.sqlite3"


def test_a_queue_of_litestack_that_nobody_uses_is_no_database(app: Path) -> None:
    lock = app / "Gemfile.lock"
    lock.write_text(lock.read_text().replace("    rails (", "    litestack (0.4.4)\n    rails ("))
    assert "litejob" not in inspect_app(app).databases.sqlite


@pytest.mark.parametrize("own", [["Dockerfile"], ["config/deploy.yml"]])
def test_thruster_is_not_passed_by(app: Path, own: list[str]) -> None:
    lock, dockerfile, deploy = (app / one for one in ("Gemfile.lock", "Dockerfile", DEPLOY))
    thrust, puma = '["./bin/thrust", "./bin/rails", "server"]', '["./bin/rails", "server"]'
    before = lock.read_text()
    lock.write_text(re.sub(r"(?m)^ +thruster.*\n", "", before))
    dockerfile.write_text(dockerfile.read_text().replace(thrust, puma))
    deploy.write_text(deploy.read_text().replace("  host: ", "  app_port: 3000\n  host: "))
    answers = app / ".copier-answers.yml"
    answers.write_text(answers.read_text().replace("own_files: []", f"own_files: {own}"))
    [finding] = found(app, "gems.thruster")
    first, *rest = finding.fix.splitlines()
    assert first == "bundle add thruster && bundle binstubs thruster"
    by_hand = ["In Dockerfile:", f"CMD {thrust}"] if own == ["Dockerfile"] else []
    again = [] if by_hand else ["Then: kamalstream init again"]
    assert rest == [*by_hand, "Take app_port: out of config/deploy.yml", *again]


def test_a_folder_that_is_no_repository_is_committed_before_an_update(app: Path) -> None:
    shutil.rmtree(app / ".git")
    (app / ".gitignore").unlink()
    with pytest.raises(BadInput, match="has no commit to update from") as refused:
        refuse_unready(app)
    follow(app, str(refused.value).splitlines()[1])
    refuse_unready(app)
    assert KEY not in git(app, "ls-files")


def wrong_ruby(app: Path) -> None:
    (app / ".ruby-version").write_text("ruby-3.4.9\n")


def one_more_database(app: Path) -> None:
    with (app / "config/database.yml").open("a") as file:
        file.write("  audit:\n    <<: *default\n    database: storage/audit.sqlite3\n")


def no_production_rb(app: Path) -> None:
    (app / "config/environments/production.rb").unlink()


@pytest.mark.parametrize(
    ("change", "wanted"),
    [(wrong_ruby, "ruby.version"), (one_more_database, "databases.unknown")],
)
def test_answers_are_corrected_by_an_update(
    template: Path, app: Path, change: Callable[[Path], None], wanted: str
) -> None:
    adopted = adopt(template, app.parent / "adopted")
    change(adopted)
    commit(adopted, "As the app is now")
    [finding] = found(adopted, wanted)
    command = finding.fix.splitlines()[0]
    assert command.startswith("kamalstream update --data ")
    follow(adopted, f"{command} --yes")
    assert found(adopted, wanted) == []


def test_answers_are_corrected_right_after_the_first_copy(template: Path, app: Path) -> None:
    adopted = make_app("rails_8_1", app.parent / "adopted")
    render(template, adopted, vcs_ref=RELEASE)
    one_more_database(adopted)
    [finding] = found(adopted, "databases.unknown")
    update, again = _with_copier(finding.fix).splitlines()
    assert update.startswith("copier update --trust --defaults --data ")
    said = re.search(r"copier recopy .*(?=\))", again)
    assert said
    follow(adopted, said[0].replace("…", update.partition("--data ")[2]))
    assert found(adopted, "databases.unknown") == []


@pytest.mark.parametrize("change", [no_production_rb, one_more_database])
def test_init_again_takes_in_what_is_new_and_brings_back_what_is_gone(
    app: Path,
    kamalstream: Callable[..., Ran],
    answers: Callable[..., Path],
    change: Callable[[Path], None],
) -> None:
    change(app)
    wanted = "production.missing" if change is no_production_rb else "databases.unknown"
    assert found(app, wanted)
    kamalstream("init", app, "--defaults", "--data-file", answers())
    assert found(app, wanted) == []
