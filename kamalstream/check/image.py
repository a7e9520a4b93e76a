"""Will the image build and start: gems, Ruby, executables; and does it leave the secrets out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from kamalstream.check.deployed import deployments
from kamalstream.check.finding import Finding
from kamalstream.facts import (
    BOOT_RESTORE,
    DOCKERFILE,
    DOCKERIGNORE,
    EXECUTABLES,
    NEVER_IN_THE_IMAGE,
    PRODUCTION_RB,
    RESTORE,
)
from kamalstream.inspect.adopted import App
from kamalstream.inspect.image.dockerignore import excluded, verdict
from kamalstream.inspect.ruby_version import ruby_version

# What stands in a file → the gem that it needs.
_NEEDS = (
    (DOCKERFILE, r"^CMD.*bin/thrust\b", "thruster"),
    (DOCKERFILE, r"^\s*(RUN )?bundle exec bootsnap|^RUN bundle exec bootsnap", "bootsnap"),
    (PRODUCTION_RB, r"^\s*config\.active_job\.queue_adapter\s*=\s*:solid_queue", "solid_queue"),
    (PRODUCTION_RB, r"^\s*config\.cache_store\s*=\s*:solid_cache_store", "solid_cache"),
    ("config/database.yml", r"adapter:\s*sqlite3", "sqlite3"),
)


def check(app: App) -> Iterator[Finding]:
    """Yield what would stop the image from being built or started, or what must not be in it."""
    yield from _executables(app)
    yield from _gems(app)
    yield from _ruby(app)
    yield from _dockerignore(app)


def _executables(app: App) -> Iterator[Finding]:
    made = re.search(r"\bchmod\b", app.text(DOCKERFILE) or "")
    for file in EXECUTABLES:
        path = app.root / file
        if path.exists() and not os.access(path, os.X_OK) and not made:
            message = "is not executable: the container cannot start it"
            yield Finding("file.mode", "error", file, 0, message, f"chmod +x {file}")


def _gems(app: App) -> Iterator[Finding]:
    for place in app.lockfile.unreadable:
        yield Finding(
            "gems.unreadable",
            "error",
            place.file,
            place.line,
            f"the image cannot be built: {place.why}",
            "Run `bundle install` and commit Gemfile.lock.",
        )
    if app.lockfile.unreadable:
        return
    if app.line_of(DOCKERFILE, r'^CMD \["\./bin/rails"') and "thruster" not in app.lockfile.gems:
        yield Finding(
            "gems.thruster",
            "note",
            DOCKERFILE,
            app.line_of(DOCKERFILE, r"^CMD"),
            "Puma serves the assets itself: the gem thruster would compress and cache them",
            "bundle add thruster && bundle binstubs thruster, then "
            + (
                'CMD ["./bin/thrust", "./bin/rails", "server"]'
                if app.is_own(DOCKERFILE)
                else "kamalstream init again"
            ),
        )
    for file, pattern, gem in _NEEDS:
        line = app.line_of(file, pattern)
        if line and gem not in app.lockfile.gems:
            yield Finding(
                "gems.missing",
                "error",
                file,
                line,
                f"needs the gem {gem}, which is not in Gemfile.lock",
                f"Run `bundle add {gem}`, or take that line out.",
            )


def _ruby(app: App) -> Iterator[Finding]:
    built = re.search(r"^ARG RUBY_VERSION=(\S+)", app.text(DOCKERFILE) or "", re.MULTILINE)
    if built is None:
        return
    wanted = ruby_version(app.root, app.lockfile)
    version = built[1].strip("\"'")
    # What follows it names a variant of the official image, as in 3.4.7-alpine3.22.
    if wanted.version and not re.fullmatch(rf"{re.escape(wanted.version)}(?:-[a-z].*)?", version):
        yield Finding(
            "ruby.version",
            "error",
            DOCKERFILE,
            app.line_of(DOCKERFILE, r"^ARG RUBY_VERSION="),
            f"builds with Ruby {version}, but {wanted.file} says {wanted.version}",
            f"ARG RUBY_VERSION={wanted.version}"
            if app.is_own(DOCKERFILE)
            else f"copier update --trust --data ruby_version={wanted.version}",
        )
    for place in wanted.unreadable:
        yield Finding(
            "ruby.unreadable",
            "warning",
            place.file,
            place.line,
            f"{place.why}; the image gets Ruby {version}",
            "Write the version of your app to .ruby-version.",
        )


def _dockerignore(app: App) -> Iterator[Finding]:
    text = app.text(DOCKERIGNORE) or ""
    for path in NEVER_IN_THE_IMAGE:
        if not excluded(text, path):
            yield Finding(
                "dockerignore.secret",
                "error",
                DOCKERIGNORE,
                0,
                f"{path} would be in the image, for everyone who can pull it",
                f"Add a line /{path}",
            )
    for path in (BOOT_RESTORE, RESTORE, *(one.litestream for one in deployments(app))):
        out, line = verdict(text, path)
        if out:
            message = f"keeps {path} out of the image, which needs it to restore"
            fix = f"Add a line !/{path} at the end"
            yield Finding("dockerignore.needed", "error", DOCKERIGNORE, line, message, fix)
