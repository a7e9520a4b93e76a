"""What `rails new` and `kamal init` wrote is told from what its owner changed.

tests/stock holds files that the real generators wrote; tests/ruby/render_stock.rb renders their
templates with Ruby's own ERB.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kamalstream import facts
from kamalstream.inspect.stock import is_stock, owned
from kamalstream.inspect.stock_templates import templates
from tests.conftest import ROOT, requires

STOCK = ROOT / "tests" / "stock"
TEMPLATES = ROOT / "kamalstream" / "facts" / "stock"
RENDER = ROOT / "tests" / "ruby" / "render_stock.rb"
WRITTEN = [
    (folder.name, file)
    for folder in sorted(STOCK.iterdir())
    for file in facts.OWNABLE
    if (folder / file).exists()
]
written = pytest.mark.parametrize(("release", "file"), WRITTEN)


def text_of(release: str, file: str) -> str:
    return (STOCK / release / file).read_text("utf-8")


# --- Stock ----------------------------------------------------------------------------------------


@written
def test_what_the_real_generators_wrote_is_stock(release: str, file: str) -> None:
    assert is_stock(file, text_of(release, file))


@written
def test_line_ends_a_byte_order_mark_and_blanks_at_ends_make_no_owner(
    release: str, file: str
) -> None:
    text = text_of(release, file)
    assert is_stock(file, text.replace("\n", "\r\n"))
    assert is_stock(file, "\ufeff" + text)
    assert is_stock(file, text.rstrip("\n"))
    assert is_stock(file, text + "\n\n \n")
    assert is_stock(file, text.replace("\n", "  \n"))


@pytest.mark.parametrize("release", [folder.name for folder in sorted(STOCK.iterdir())])
def test_a_fresh_app_has_no_file_of_its_owners(release: str) -> None:
    assert owned(STOCK / release) == ()


FILLED_IN = [
    ("- 192.168.0.1", "- 203.0.113.7"),
    ("- 192.168.0.1", "- shop.example.org"),
    ("- 192.168.0.1", '- "2001:db8::1"'),
    ("host: app.example.com", "host: shop.example.org"),
    ("image: your-user/", "image: acme/"),
    ("image: your-user/", "image: acme/team/"),
    ("image: my-user/my-app", "image: acme/shop"),
    ("service: my-app", "service: shop"),
    ("username: your-user", "username: acme"),
    ("username: your-user", "username: ops@example.org"),
]


@pytest.mark.parametrize("release", ["rails-8.0.5.1", "rails-8.1.4", "kamal-2.12.0"])
def test_values_that_were_to_be_filled_in_make_no_owner(release: str) -> None:
    text = text_of(release, facts.DEPLOY)
    everything = text
    for placeholder, value in FILLED_IN:
        live = re.compile(rf"^( *){re.escape(placeholder)}", re.MULTILINE)
        assert is_stock(facts.DEPLOY, live.sub(rf"\g<1>{value}", text)), value
        everything = live.sub(rf"\g<1>{value}", everything)
    assert everything != text
    assert is_stock(facts.DEPLOY, everything)


def test_versions_may_be_raised() -> None:
    text = text_of("rails-8.1.4", facts.DOCKERFILE)
    assert is_stock(facts.DOCKERFILE, text.replace("RUBY_VERSION=3.3.8", "RUBY_VERSION=4.0.0"))


FIXUPS: list[list[str]] = [
    [],
    ["chmod +x bin/*"],
    ["chmod +x bin/*", 'sed -i "s/\\r$//g" bin/*', "sed -i 's/ruby\\.exe$/ruby/' bin/*"],
    ["sed -i 's/ruby3\\.1$/ruby/' bin/*"],
]
LIBYAML_SINCE = ("7.2.4", "8.0.2", "8.0.3", "8.0.5", "8.1", "main")


def some_flags(release: str, chance: random.Random) -> dict[str, Any]:
    """Return flags that `rails new` of `release` may be called with, in the order of `chance`."""
    names = (
        "skip_active_record skip_active_storage skip_asset_pipeline skip_thruster skip_solid api"
        " depend_on_bootsnap keeps yarn_through_corepack skip_ci skip_kamal"
    )
    flags: dict[str, Any] = {name: chance.random() < 0.4 for name in names.split()}
    version = release.removeprefix("rails-")
    # 7.2.3 and 8.1.3 changed the packages and not the template.
    either = chance.random() < 0.5
    return flags | {
        "app_name": chance.choice(["shop", "my_shop2"]),
        "javascript": chance.choice(["importmap", "node", "bun"]),
        "database": chance.choice(["sqlite3", "postgresql", "mysql", "trilogy", "oracle"]),
        "yarn": chance.choice(["1.22.22", "latest"]),
        "fixups": chance.choice(FIXUPS),
        "libyaml": either if version == "7.2.0" else version.startswith(LIBYAML_SINCE),
        "libvips": version.startswith("7.1") or (version == "8.1.2" and either),
    }


@requires("ruby")
def test_every_template_of_rails_rendered_by_ruby_is_stock_with_any_flags() -> None:
    chance = random.Random(1)
    jobs = [
        (file, {"template": str(path), "release": path.parent.name, "flags": flags})
        for file, name in RAILS_NAMES.items()
        for path in sorted(TEMPLATES.glob(f"rails-*/{name}"))
        for flags in (some_flags(path.parent.name, chance) for _ in range(80))
    ]
    rendered = subprocess.run(
        ["ruby", RENDER],
        input=json.dumps([job for _, job in jobs]),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    texts = json.loads(rendered)
    assert len(set(texts)) > 800
    not_stock = [
        job
        for (file, job), text in zip(jobs, texts, strict=True)
        # Two runs of the generator in one file, and a line of its owner's.
        if not is_stock(file, text) or is_stock(file, text + text) or is_stock(file, text + "x\n")
    ]
    assert not_stock == []


RAILS_NAMES = {
    facts.DOCKERFILE: "Dockerfile.tt",
    facts.ENTRYPOINT: "docker-entrypoint.tt",
    facts.DEPLOY: "deploy.yml.tt",
    facts.SECRETS: "kamal-secrets.tt",
    facts.DOCKERIGNORE: "dockerignore.tt",
}
KAMAL_NAMES = {facts.DEPLOY: "deploy.yml", facts.SECRETS: "secrets"}


def test_every_file_that_kamal_init_copies_is_stock() -> None:
    paths = [
        (file, path)
        for file, name in KAMAL_NAMES.items()
        for path in TEMPLATES.glob(f"kamal-*/{name}")
    ]
    assert len(paths) == 18
    assert [path for file, path in paths if not is_stock(file, path.read_text("utf-8"))] == []


def test_every_template_is_read_once_and_has_its_place() -> None:
    read = [(t.release, file) for file in facts.OWNABLE for t in templates(file)]
    files = [path for path in TEMPLATES.glob("*/*") if path.is_file()]
    assert len(read) == len(set(read)) == len(files)
    contents = [path.read_bytes() for path in files]
    assert len(set(contents)) == len(contents)


# --- The owner's ----------------------------------------------------------------------------------


def changes(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (what was done, the line it was done to, the text after) for every line."""
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if not line:
            continue
        before, after = lines[:index], lines[index + 1 :]
        for what, put in {
            "drop": [],
            "twice": [line, line],
            "comment out": [f"# {line}"],
            "uncomment": [line.replace("# ", "", 1)],
            "add": [line, "ENV OWN=1"],
            "add a comment": [line, "# mine"],
            "add a word": [f"{line} x"],
            "indent": [f" {line}"],
        }.items():
            if put != [line]:
                yield what, line, "\n".join([*before, *put, *after, ""])


# The files of one release that an edit turns into those of another.
ALSO_STOCK = {
    ("rails-7.2.4", "drop", "COPY vendor/* ./vendor/"),  # 7.2.3
    ("rails-8.0.5.1", "drop", "COPY vendor/* ./vendor/"),  # 8.0.4
    # 8.1.0.beta1
    ("rails-8.1.4", "uncomment", "# KAMAL_REGISTRY_PASSWORD=$KAMAL_REGISTRY_PASSWORD"),
}


@written
def test_any_line_dropped_added_or_changed_is_its_owners(release: str, file: str) -> None:
    taken_for_stock = {
        (release, what, line)
        for what, line, text in changes(text_of(release, file))
        if is_stock(file, text)
    }
    assert taken_for_stock <= ALSO_STOCK


def test_files_changed_by_hand_are_their_owners() -> None:
    assert owned(ROOT / "tests" / "by_hand") == facts.OWNABLE


OWN = [
    (facts.DOCKERFILE, " libvips sqlite3", " libvips sqlite3 ffmpeg"),
    (facts.DOCKERFILE, " libvips sqlite3", " sqlite3"),  # the volume still says Active Storage
    (facts.DOCKERFILE, "--name notes notes", "--name notes shop"),
    (facts.DOCKERFILE, "ARG RUBY_VERSION=3.3.8", "ARG RUBY_VERSION=3.3.8 # as in .ruby-version"),
    (facts.DEPLOY, "service: notes", "service: shop"),
    (facts.DEPLOY, "image: notes", "image: acme/notes"),
    (facts.DEPLOY, "localhost:5555", "ghcr.io"),
    (facts.DEPLOY, "    - 192.168.0.1\n", "    - 192.168.0.1\n    - 192.168.0.2\n"),
    (facts.DEPLOY, "    - 192.168.0.1\n", '    - <%= ENV["HOST"] %>\n'),
    (facts.DEPLOY, "    - 192.168.0.1\n", "    - 203.0.113.7 # Hetzner\n"),
    (facts.DEPLOY, "  #     - 192.168.0.1\n", "  #     - 203.0.113.7\n"),
    (facts.DEPLOY, "notes_storage:/rails", "shop_storage:/rails"),
    (facts.DEPLOY, "# proxy:\n#   ssl: true\n#   host: app", "proxy:\n  ssl: true\n  host: app"),
    (facts.SECRETS, "$(cat config/master.key)", "$RAILS_MASTER_KEY"),
]


@pytest.mark.parametrize(("file", "before", "after"), OWN)
def test_what_no_generator_writes_is_its_owners(file: str, before: str, after: str) -> None:
    text = text_of("rails-8.1.4", file)
    assert text.count(before) >= 1
    assert not is_stock(file, text.replace(before, after, 1))


def test_a_file_that_two_runs_of_the_generator_would_write_is_its_owners() -> None:
    text = text_of("rails-8.1.4", facts.DOCKERFILE)
    # As with `--skip-bootsnap`, in one of two places.
    block = text[text.index("# Precompile bootsnap") : text.index("# Precompiling assets")]
    assert not is_stock(facts.DOCKERFILE, text.replace(block, ""))


def test_an_empty_file_is_its_owners() -> None:
    assert not any(is_stock(file, "") for file in facts.OWNABLE)


def test_a_file_that_no_generator_knows_cannot_be_asked_about() -> None:
    with pytest.raises(KeyError):
        is_stock("config/puma.rb", "")


# --- In a folder ----------------------------------------------------------------------------------


def copy(release: str, app: Path) -> Path:
    for file in facts.OWNABLE:
        (app / file).parent.mkdir(parents=True, exist_ok=True)
        (app / file).write_bytes((STOCK / release / file).read_bytes())
    return app


def test_what_is_no_file_at_its_own_place_is_the_owners(tmp_path: Path) -> None:
    app = copy("rails-8.1.4", tmp_path / "app")
    assert owned(app) == ()
    (app / facts.DOCKERFILE).rename(tmp_path / "Dockerfile")
    (app / facts.DOCKERFILE).symlink_to(tmp_path / "Dockerfile")
    (app / ".kamal").rename(tmp_path / "kamal")
    (app / ".kamal").symlink_to(tmp_path / "kamal")
    (app / facts.DOCKERIGNORE).unlink()
    (app / facts.DOCKERIGNORE).symlink_to("nowhere")
    (app / facts.ENTRYPOINT).unlink()
    (app / facts.ENTRYPOINT).mkdir()
    (app / facts.DEPLOY).unlink()
    os.mkfifo(app / facts.DEPLOY)
    assert owned(app) == facts.OWNABLE


def test_a_file_in_another_encoding_is_its_owners(tmp_path: Path) -> None:
    app = copy("rails-8.1.4", tmp_path)
    text = text_of("rails-8.1.4", facts.DOCKERFILE)
    (app / facts.DOCKERFILE).write_bytes(f"{text}# é".encode("latin-1"))
    (app / facts.DEPLOY).write_text(text_of("rails-8.1.4", facts.DEPLOY), "utf-16")
    assert owned(app) == (facts.DOCKERFILE, facts.DEPLOY)


def test_an_app_that_is_reached_over_a_link_is_no_owners_doing(tmp_path: Path) -> None:
    app = copy("rails-8.1.4", tmp_path / "app")
    (tmp_path / "link").symlink_to(app)
    assert owned(tmp_path / "link") == ()


def test_files_that_are_not_there_have_no_owner(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("no folder\n")
    assert owned(tmp_path) == ()


# --- Fast -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        text_of("rails-8.1.4", facts.DOCKERFILE) + "RUN true\n" * 200,
        "RUN apt-get install -y curl\n" * 200,
        (ROOT / "tests" / "by_hand" / "Dockerfile").read_text("utf-8"),
        text_of("rails-8.1.4", facts.DOCKERFILE).replace("libvips", "libvips " * 5000),
        text_of("rails-8.1.4", facts.DOCKERFILE).replace("3.3.8", "3" * 100_000),
        " " * 100_000 + "x",
    ],
    ids=["stock but for its end", "own", "by hand", "packages", "a long version", "blanks"],
)
def test_an_owners_dockerfile_is_told_at_once(text: str) -> None:
    templates(facts.DOCKERFILE)
    started = time.process_time()
    is_stock(facts.DOCKERFILE, text)
    assert time.process_time() - started < 0.05
