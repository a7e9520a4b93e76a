from __future__ import annotations

import codecs
import errno
import json
import re
import subprocess
from collections.abc import Callable
from datetime import datetime
from importlib import metadata
from pathlib import Path

import copier
import pytest
import yaml

from kamalstream.ask.detected import detected
from kamalstream.commands import init
from kamalstream.errors import BadInput
from kamalstream.inspect.app import inspect_app
from kamalstream.inspect.namesakes import namesakes
from kamalstream.inspect.stock import is_stock
from kamalstream.render import source as source_module
from kamalstream.render.apply import apply, refuse_unwritable
from kamalstream.render.plan import Change, Plan
from kamalstream.render.source import Source, template_source

from .fixtures_init import Ran, _answers, _kamalstream, files_of  # noqa: F401
from .fixtures_template import commit, git
from .sample_apps import SAMPLES

Command = Callable[..., Ran]
Sample = Callable[[str], Path]
DataFile = Callable[..., Path]


def test_an_app_is_adopted_from_a_data_file(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("rails_8_1")
    before = files_of(app)

    ran = kamalstream("init", app, "--defaults", "--data-file", answers())

    assert ran.code == 0, ran.out + ran.err
    assert "What comes next:\n  1. config/master.key" in ran.out
    assert "  2. kamalstream credentials" in ran.out
    deploy = yaml.safe_load((app / "config/deploy.yml").read_text())
    assert deploy["proxy"]["host"] == "notes.example.com"
    assert "config.assume_ssl = true" in (app / "config/environments/production.rb").read_text()
    assert (app / "bin/restore").stat().st_mode & 0o111
    kept = next((app / "tmp").glob("before-kamalstream-*"))
    for file, (_, content) in files_of(kept).items():
        assert content == before[file][1], file
    written = {f for f, now in files_of(app).items() if now != before.get(f)}
    replaced = {f for f in written if f in before}
    assert replaced == set(files_of(kept))

    # Nothing is committed: git would not bring it back.
    [back] = re.findall(r"To have the app as it was, in its folder:\n  (.*)\n", ran.out)
    subprocess.run(back, shell=True, check=True, cwd=app)
    now = {file: it for file, it in files_of(app).items() if not file.startswith("tmp/before-")}
    assert now == before


@pytest.mark.parametrize(
    ("name", "given", "rendered"),
    [
        ("rails_8_1", {}, [".copier-answers.yml", "config/deploy.yml", "docs/DEPLOYMENT.md"]),
        (
            "changed_by_hand",
            {"app_name": None, "domain": None, "server_ip": None},
            [".copier-answers.yml", "docs/DEPLOYMENT.md"],
        ),
    ],
)
def test_copier_update_works_afterwards_and_leaves_alone_what_is_the_owners(
    kamalstream: Command,
    sample_app: Sample,
    answers: DataFile,
    name: str,
    given: dict[str, None],
    rendered: list[str],
) -> None:
    app = sample_app(name)
    ran = kamalstream("init", app, "--defaults", "--yes", "--data-file", answers(**given))
    assert ran.code == 0, ran.out + ran.err
    commit(app, "Adopted")

    copier.run_update(
        app,
        data={"domain": "new.example.com"},
        defaults=True,
        overwrite=True,
        unsafe=True,
        quiet=True,
    )

    changed = git(app, "status", "--short").splitlines()
    assert changed == [f" M {file}" for file in rendered]
    deploy = (app / "config/deploy.yml").read_text()
    own = "config/deploy.yml" not in rendered
    assert f"host: {'atelier.example.net' if own else 'new.example.com'}\n" in deploy


def test_a_dry_run_shows_the_changes_and_writes_nothing(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("changed_by_hand")
    before = files_of(app)

    ran = kamalstream("init", app, "--dry-run", "--defaults", "--data-file", answers())

    assert ran.code == 0, ran.err
    assert "+++ b/config/deploy.yml" in ran.out
    assert 'ENV["DISABLE_SSL"].blank? (a value of your own)' in ran.out
    *_, shown = ran.out.partition("\nNew\n")
    assert re.findall(r"^  (\S+) +(\+\d+(?: -\d+)?)", shown, re.MULTILINE)[7:] == [
        ("Dockerfile", "+3"),
        ("bin/docker-entrypoint", "+3"),
        (".dockerignore", "+7"),
        ("config/deploy.yml", "+36"),
        (".kamal/secrets", "+5"),
    ]
    assert "Yours, with a few lines more\n  Dockerfile" in shown
    assert "\n-" not in ran.out.replace("\n---", ""), "a line of theirs would go"
    assert files_of(app) == before


def test_a_second_run_changes_nothing(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("rails_8_0")
    kamalstream("init", app, "--yes", "--data-file", answers(retention="100h"))
    before = files_of(app)

    ran = kamalstream("init", app, "--yes")

    assert ran.code == 0, ran.err
    assert "Nothing would change" in ran.out
    assert files_of(app) == before


def test_a_second_run_changes_nothing_where_there_was_no_deployment(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("rails_8_0")
    for file in ("config/deploy.yml", ".kamal/secrets", "Dockerfile"):
        (app / file).unlink()
    kamalstream("init", app, "--yes", "--data-file", answers())
    before = files_of(app)

    ran = kamalstream("init", app, "--yes")

    assert "Nothing would change" in ran.out, ran.out + ran.err
    assert files_of(app) == before


def test_an_answer_in_the_place_of_a_placeholder_is_not_asked_for_twice(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("changed_by_hand")
    deploy = app / "config/deploy.yml"
    deploy.write_text(deploy.read_text().replace("198.51.100.23", "REPLACE_WITH_SERVER_1"))
    kamalstream("init", app, "--yes", "--data-file", answers(app_name=None, domain=None))
    before = files_of(app)

    ran = kamalstream("init", app, "--yes")

    assert "Nothing would change" in ran.out, ran.out + ran.err
    assert files_of(app) == before


def test_a_bucket_is_taken_over_with_an_endpoint_that_has_no_scheme(tmp_path: Path) -> None:
    app = SAMPLES["deployed with Kamal"].create(tmp_path)
    (app / "config/litestream.yml").write_text(
        "dbs:\n- path: /rails/storage/production.sqlite3\n  replica:\n    type: s3\n"
        "    bucket: mine\n    endpoint: fsn1.your-objectstorage.com\n"
    )
    found = detected(inspect_app(app))
    assert (found["storage_provider"], found["region"]) == ("hetzner", "fsn1")
    assert found["endpoint"] == "https://fsn1.your-objectstorage.com"


NODE = """\
# Install JavaScript dependencies
ARG NODE_VERSION=20.1.0
ARG YARN_VERSION=1.22.19
ENV PATH=/usr/local/node/bin:$PATH
RUN curl -sL https://github.com/nodenv/node-build/archive/master.tar.gz | tar xz -C /tmp/ && \\
    /tmp/node-build-master/bin/node-build "${NODE_VERSION}" /usr/local/node && \\
    npm install -g yarn@$YARN_VERSION && \\
    rm -rf /tmp/node-build-master

"""


def with_node(dockerfile: str) -> str:
    """Return Rails 8.1's Dockerfile as `rails new -j esbuild` writes it."""
    for old, new in {
        "packages needed to build gems\n": "packages needed to build gems and node modules\n",
        "libvips libyaml-dev pkg-config": "libvips libyaml-dev node-gyp pkg-config "
        "python-is-python3",
        "# Install application gems\n": f"{NODE}# Install application gems\n",
        "# Copy application code\n": "# Install node modules\nCOPY package.json yarn.lock ./\n"
        "RUN yarn install --immutable\n\n# Copy application code\n",
        "precompile\n\n\n\n\n": "precompile\n\n\nRUN rm -rf node_modules\n\n\n",
    }.items():
        assert old in dockerfile, old
        dockerfile = dockerfile.replace(old, new)
    return dockerfile


def test_versions_that_only_the_replaced_dockerfile_said_stay(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("rails_8_1")
    (app / "package.json").write_text('{"scripts": {"build": "esbuild app.js"}}')
    (app / "yarn.lock").write_text("")
    dockerfile = app / "Dockerfile"
    dockerfile.write_text(with_node(dockerfile.read_text()))
    assert is_stock("Dockerfile", dockerfile.read_text())
    kamalstream("init", app, "--yes", "--data-file", answers())
    assert "library/node:20.1.0-slim" in (app / "Dockerfile").read_text()

    ran = kamalstream("init", app, "--yes")

    assert "Nothing would change" in ran.out
    (app / ".node-version").write_text("22.2.0\n")
    kamalstream("init", app, "--yes")
    assert "library/node:22.2.0-slim" in (app / "Dockerfile").read_text()


def test_what_was_edited_since_it_was_rendered_stays_in_another_run(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("rails_8_1")
    kamalstream("init", app, "--yes", "--data-file", answers())
    with (app / "Dockerfile").open("a") as dockerfile:
        dockerfile.write("RUN echo mine\n")
    assert "Nothing would change" in kamalstream("init", app, "--defaults").out
    (app / ".ruby-version").write_text("3.4.8\n")
    new = answers(domain="new.example.com", ruby_version="3.4.8")
    again = kamalstream("init", app, "--defaults", "--data-file", new)
    assert again.code == 0, again.out
    text = (app / "Dockerfile").read_text()
    assert "ARG RUBY_VERSION=3.4.8\n" in text
    assert text.endswith("RUN echo mine\n")
    assert "host: new.example.com" in (app / "config/deploy.yml").read_text()


def test_where_both_changed_one_place_the_owners_stays_and_ours_is_said(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("rails_8_1")
    kamalstream("init", app, "--yes", "--data-file", answers())
    deploy = app / "config/deploy.yml"
    text = deploy.read_text().replace("host: notes.example.com", "host: mine.example.com")
    deploy.write_text(text)
    ran = kamalstream("init", app, "--yes", "--data-file", answers(domain="new.example.com"))
    assert ran.code == 1
    assert deploy.read_text() == text
    left = "config/deploy.yml: changed by you in the lines that change now; it stays as it is"
    *_, last = ran.out.partition("What comes next:")
    assert left in last
    assert "+  host: new.example.com" in last


@pytest.mark.parametrize("file", ["config/deploy.yml", "Dockerfile", ".kamal/secrets"])
def test_a_file_in_another_encoding_is_refused(
    kamalstream: Command, sample_app: Sample, answers: DataFile, file: str
) -> None:
    app = sample_app("rails_8_1")
    with (app / file).open("ab") as opened:
        opened.write("# M\u00fcller\n".encode("latin-1"))
    before = files_of(app)
    ran = kamalstream("init", app, "--yes", "--data-file", answers())
    lines = (app / file).read_bytes().count(b"\n")
    assert (ran.code, ran.err.splitlines()[0]) == (2, f"kamalstream: {file}:{lines} is not UTF-8.")
    assert files_of(app) == before


def test_a_byte_order_mark_is_no_part_of_the_text(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("rails_8_1")
    for file in ("Dockerfile", ".dockerignore", "config/deploy.yml"):
        (app / file).write_bytes(codecs.BOM_UTF8 + (app / file).read_bytes())
    ran = kamalstream("init", app, "--yes", "--data-file", answers())
    assert ran.code == 0, ran.out
    assert "own_files: []\n" in (app / ".copier-answers.yml").read_text()
    assert codecs.BOM_UTF8 not in (app / ".dockerignore").read_bytes()


def test_what_the_app_says_is_taken_and_the_data_file_wins(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("changed_by_hand")
    given = answers(
        app_name=None, server_ip=None, domain="chosen.example.com", ruby_version="3.3.0"
    )
    kamalstream("init", app, "--yes", "--data-file", given)

    answered = yaml.safe_load((app / ".copier-answers.yml").read_text())
    assert answered["app_name"] == "atelier"
    assert answered["server_ip"] == "198.51.100.23"
    assert answered["registry_server"] == "ghcr.io"
    assert "registry_username" not in answered, "of use to a deploy.yml of the template alone"
    assert answered["databases"] == inspect_app(app).databases.sqlite
    assert answered["domain"] == "chosen.example.com"
    assert answered["ruby_version"] == "3.3.0"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("bukcet: my-app-backups", "there is no question bukcet: did you mean bucket?"),
        ("zzz: 1", "there is no question zzz: the keys are app_name"),
        ("domain: [unclosed", "answers.yml line 1 is not valid YAML"),
        ("just words", "holds no answers"),
        ("domain: https://a.example.com", 'domain "https://a.example.com" has a scheme'),
        ("server_ip: 203.0.113.7", "domain is missing"),
        ("litestream_version: '0.4'", 'litestream_version "0.4" is not a Litestream series'),
    ],
)
def test_a_bad_data_file_is_refused_in_a_line_for_each_mistake(
    kamalstream: Command, sample_app: Sample, tmp_path: Path, content: str, said: str
) -> None:
    app = sample_app("rails_8_1")
    before = files_of(app)
    file = tmp_path / "answers.yml"
    file.write_text(content)

    ran = kamalstream("init", app, "--defaults", "--data-file", file)

    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert "attribute" not in ran.err
    assert files_of(app) == before


def test_a_missing_data_file_is_refused(kamalstream: Command, sample_app: Sample) -> None:
    ran = kamalstream("init", sample_app("rails_8_1"), "--defaults", "--data-file", "nowhere.yml")
    assert (ran.code, ran.err) == (
        2,
        "kamalstream: nowhere.yml cannot be read: No such file or directory.\n",
    )


def test_without_a_terminal_it_says_which_flags_to_use(
    kamalstream: Command, sample_app: Sample
) -> None:
    ran = kamalstream("init", sample_app("rails_8_1"))
    assert ran.code == 2
    assert "kamalstream init --defaults --data-file answers.yml" in ran.err


def test_what_is_no_rails_app_is_refused(kamalstream: Command, tmp_path: Path) -> None:
    ran = kamalstream("init", tmp_path, "--defaults")
    assert ran.code == 2
    assert "is not a Rails app" in ran.err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_refused() -> None:
    # Not even root makes files there.
    with pytest.raises(BadInput, match="/proc cannot be written to"):
        refuse_unwritable(Path("/proc"))


def test_a_folder_that_cannot_be_looked_into_is_said(
    kamalstream: Command, sample_app: Sample, answers: DataFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = sample_app("rails_8_1")
    before = files_of(app)

    def closed(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", ".kamal/secrets")

    with monkeypatch.context() as patched:
        # Not by its mode: root may look into everything.
        patched.setattr(init, "plan", closed)
        ran = kamalstream("init", app, "--yes", "--data-file", answers())
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert ".kamal/secrets is closed to you: Permission denied" in ran.err
    assert files_of(app) == before


def test_answers_of_another_template_are_not_overwritten(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("rails_8_1")
    (app / ".copier-answers.yml").write_text("_src_path: gh:somebody/else\nname: x\n")
    ran = kamalstream("init", app, "--defaults", "--data-file", answers())
    assert ran.code == 2
    assert "answers of another template" in ran.err


@pytest.mark.parametrize(
    "sample", [name for name, sample in SAMPLES.items() if "databases.sqlite" in sample.facts]
)
def test_databases_are_right_or_said_to_be_unknown(
    kamalstream: Command, answers: DataFile, tmp_path: Path, sample: str
) -> None:
    app = SAMPLES[sample].create(tmp_path / sample)
    expected = SAMPLES[sample].facts["databases.sqlite"]
    unreadable = inspect_app(app).databases.unreadable

    given = answers(registry_username="jane")
    ran = kamalstream("init", app, "--yes", "--defaults", "--data-file", given)

    if ran.code != 2:
        answered = yaml.safe_load((app / ".copier-answers.yml").read_text())
        assert set(answered["databases"].values()) == set(expected.values())
        assert not unreadable
    elif "Gemfile.lock" not in ran.err and "not a Rails app" not in ran.err:
        reasons = [
            *map(str, unreadable),
            "only storage/ outlives",
            "leaves nothing to back up",
            "not on SQLite",
        ]
        assert any(reason in ran.err for reason in reasons), ran.err


def test_databases_that_cannot_be_read_are_taken_from_the_data_file(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("rails_8_1")
    (app / "config/database.yml").write_text("<%= File.read('elsewhere.yml') %>\n")

    ran = kamalstream("init", app, "--defaults", "--data-file", answers())
    assert ran.code == 2
    assert "config/database.yml:1: code puts whole lines here" in ran.err

    given = answers(databases={"primary": "storage/notes.sqlite3"})
    ran = kamalstream("init", app, "--defaults", "--data-file", given)
    assert "- path: /rails/storage/notes.sqlite3" in (app / "config/litestream.yml").read_text()

    again = kamalstream("init", app, "--defaults")
    assert (again.code, "Nothing would change" in again.out) == (0, True), again.err


def test_files_that_are_given_as_nobodys_are_replaced_and_null_is_no_answer(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("rails_8_1")
    with (app / "Dockerfile").open("a") as dockerfile:
        dockerfile.write("RUN echo mine\n")
    given = answers()
    given.write_text(given.read_text() + "own_files: null\n")
    ran = kamalstream("init", app, "--dry-run", "--yes", "--data-file", given)
    assert "Yours, with a few lines more\n  Dockerfile" in ran.out
    kamalstream("init", app, "--yes", "--data-file", answers(own_files=[]))
    assert "RUN echo mine" not in (app / "Dockerfile").read_text()
    kept = next((app / "tmp").glob("before-kamalstream-*/Dockerfile"))
    assert kept.read_text().endswith("RUN echo mine\n")


def test_what_only_the_template_has_is_told_from_an_owners_file_of_that_name(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("rails_8_1")
    kamalstream("init", app, "--yes", "--data-file", answers())
    (app / ".copier-answers.yml").unlink()
    assert namesakes(app) == ()
    for file in ("docs/DEPLOYMENT.md", "bin/restore", "bin/boot-restore"):
        (app / file).write_text("#!/bin/sh\n# Mine\n")
    assert namesakes(app) == ("docs/DEPLOYMENT.md", "bin/restore", "bin/boot-restore")
    ran = kamalstream("init", app, "--yes", "--data-file", answers())
    assert (ran.code, "bin/restore is a program of yours" in ran.err) == (2, True)


def test_a_database_outside_of_the_volume_is_refused(
    kamalstream: Command, sample_app: Sample, answers: DataFile
) -> None:
    app = sample_app("rails_8_1")
    config = app / "config/database.yml"
    config.write_text("production:\n  adapter: sqlite3\n  database: db/production.sqlite3\n")
    ran = kamalstream("init", app, "--defaults", "--data-file", answers())
    assert ran.code == 2
    assert "opens db/production.sqlite3 (primary)" in ran.err


# --- Writing ----------------------------------------------------------------------------------


def test_when_one_file_cannot_be_written_none_is(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "a.txt").write_text("theirs")
    (app / "b").write_text("a file where a folder is needed")
    before = files_of(app)
    changes = (
        Change("a.txt", b"theirs", b"ours", 0o644, "ours"),
        Change("new/folder/c.txt", None, b"ours", 0o755, "new"),
        Change("b/d.txt", None, b"ours", 0o644, "new"),
    )
    with pytest.raises(BadInput, match=r"^b/d\.txt cannot .*\. Everything is as it was\.$"):
        apply(Plan(app, changes), datetime(2026, 1, 2))
    assert files_of(app) == before
    assert sorted(path.name for path in app.iterdir()) == ["a.txt", "b"]


def test_where_nothing_can_be_kept_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("theirs")
    (tmp_path / "tmp").write_text("a file")
    before = files_of(tmp_path)
    with pytest.raises(
        BadInput, match=r"^tmp/.* (cannot be written: File exists|cannot .*Not a directory)"
    ):
        apply(
            Plan(tmp_path, (Change("a.txt", b"theirs", b"ours", 0o644, "ours"),)),
            datetime(2026, 1, 2),
        )
    assert files_of(tmp_path) == before


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("newer")
    with pytest.raises(BadInput, match=r"a\.txt has changed meanwhile"):
        apply(
            Plan(tmp_path, (Change("a.txt", b"theirs", b"ours", 0o644, "ours"),)),
            datetime(2026, 1, 2),
        )
    assert (tmp_path / "a.txt").read_text() == "newer"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("theirs")
    (tmp_path / "a.txt").symlink_to("real.txt")
    apply(
        Plan(tmp_path, (Change("a.txt", b"theirs", b"ours", 0o640, "ours"),)), datetime(2026, 1, 2)
    )
    assert (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "ours"
    assert (tmp_path / "real.txt").stat().st_mode & 0o777 == 0o640


# --- Where the template is ----------------------------------------------------------------------


class Installed:
    def __init__(self, recorded: dict[str, object] | None) -> None:
        self.recorded = recorded

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return json.dumps(self.recorded) if self.recorded is not None else None


def test_the_template_is_the_checkout_that_runs() -> None:
    assert (Path(template_source().location) / "template/Dockerfile.jinja").is_file()


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (
            {"url": "https://example.com/k.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            Source("https://example.com/k.git", "abc"),
        ),
        (
            {"url": "https://example.com/k", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            Source("git+https://example.com/k", "abc"),
        ),
    ],
)
def test_an_installed_command_renders_the_commit_it_was_installed_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, recorded: dict[str, object], expected: Source
) -> None:
    monkeypatch.setattr(source_module, "_PACKAGE", tmp_path / "site-packages" / "kamalstream")
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed(recorded))
    assert template_source() == expected


def test_a_command_that_was_installed_from_a_folder_finds_it(
    monkeypatch: pytest.MonkeyPatch, template: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(source_module, "_PACKAGE", tmp_path / "site-packages" / "kamalstream")
    recorded = {"url": template.as_uri(), "dir_info": {}}
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed(recorded))
    assert template_source() == Source(str(template), "HEAD")


def test_without_a_repository_it_says_how_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(source_module, "_PACKAGE", tmp_path / "site-packages" / "kamalstream")
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed(None))
    with pytest.raises(BadInput, match=r"pip install git\+"):
        template_source()
