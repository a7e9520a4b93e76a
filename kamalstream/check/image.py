"""Will the image build and start: gems, Ruby, executables; and does it leave the secrets out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from kamalstream.check.deployed import deployments
from kamalstream.check.finding import Finding
from kamalstream.facts import (
    DEPLOY,
    DOCKERFILE,
    DOCKERIGNORE,
    EXECUTABLES,
    NEVER_IN_THE_IMAGE,
    PROGRAMS,
)
from kamalstream.inspect.adopted import App
from kamalstream.inspect.image.dockerfile import dockerfile_packages
from kamalstream.inspect.image.dockerignore import excluded, verdict
from kamalstream.inspect.image.gem_packages import gem_packages
from kamalstream.inspect.ruby_version import ruby_version

# What stands in a file → the gem that it needs.
_NEEDS = (
    (DOCKERFILE, r"^CMD.*bin/thrust\b", "thruster"),
    (DOCKERFILE, r"^\s*(RUN )?bundle exec bootsnap|^RUN bundle exec bootsnap", "bootsnap"),
    ("config/database.yml", r"adapter:\s*sqlite3", "sqlite3"),
)


def check(app: App) -> Iterator[Finding]:
    """Yield what would stop the image from being built or started, or what must not be in it."""
    yield from _executables(app)
    yield from _gems(app)
    yield from _packages(app)
    yield from _javascript(app)
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
    yield from _thruster(app)
    for file, pattern, gem in _NEEDS:
        line = app.line_of(file, pattern)
        if line and gem not in app.lockfile.gems:
            yield Finding(
                "gems.missing",
                "error",
                file,
                line,
                f"needs the gem {gem}, which is not in Gemfile.lock",
                f"bundle add {gem}" + (" && bundle binstubs thruster" * (gem == "thruster")),
            )


def _thruster(app: App) -> Iterator[Finding]:
    line = app.line_of(DOCKERFILE, r'^CMD \["\./bin/rails"')
    if not line or "thruster" in app.lockfile.gems:
        return
    fix = ["bundle add thruster && bundle binstubs thruster"]
    own = app.is_own(DOCKERFILE)
    if own:
        fix += [f"In {DOCKERFILE}:", 'CMD ["./bin/thrust", "./bin/rails", "server"]']
    for one in deployments(app):
        # The proxy would go on asking Puma, past Thruster.
        if one.deployment.get("proxy", "app_port") and (own or app.is_own(DEPLOY)):
            fix.append(f"Take app_port: out of {one.deployment.file}")
    if not own:
        fix.append("Then: kamalstream init again")
    yield Finding(
        "gems.thruster",
        "note",
        DOCKERFILE,
        line,
        "Puma is asked directly: the gem thruster before it would compress and cache its answers",
        "\n".join(fix),
    )


def _packages(app: App) -> Iterator[Finding]:
    """Say what gems need that came later. A Dockerfile of the owner's may have it otherwise."""
    if app.is_own(DOCKERFILE):
        return
    installed = dockerfile_packages(app.root).image
    for gem, packages in gem_packages(app.root, app.inspected.image_gems).items():
        missing = [package for package in packages.image if package not in installed]
        if missing:
            yield Finding(
                "image.packages",
                "warning",
                DOCKERFILE,
                app.line_of(DOCKERFILE, r"apt-get install"),
                f"does not install {' '.join(missing)}, which the gem {gem} needs",
                "kamalstream init, which puts it there",
            )


def _javascript(app: App) -> Iterator[Finding]:
    side = app.inspected.javascript
    install = app.line_of(DOCKERFILE, r"^RUN (npm ci|(yarn|pnpm|bun) install)\b")
    if install and not side.is_locked and not app.is_own(DOCKERFILE):
        yield Finding(
            "javascript.lockfile",
            "warning",
            DOCKERFILE,
            install,
            f"installs JavaScript packages, and there is no lockfile of {side.manager}",
            f"Run `{side.manager} install` and commit what it writes, then kamalstream init.",
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
            else f"kamalstream update --data ruby_version={wanted.version}",
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
    for path in (*PROGRAMS, *(one.litestream for one in deployments(app))):
        out, line = verdict(text, path)
        if out:
            message = f"keeps {path} out of the image, which needs it to restore"
            fix = f"Add a line !/{path} at the end"
            yield Finding("dockerignore.needed", "error", DOCKERIGNORE, line, message, fix)
