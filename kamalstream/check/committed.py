"""What git has: keys that must not be there, and the volume that is in use."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from kamalstream import git
from kamalstream.check.deployed import Deployed, built, deployments
from kamalstream.check.finding import Finding
from kamalstream.errors import BadInput
from kamalstream.facts import DATABASE_YML, DOCKERIGNORE, EXECUTABLES, PRODUCTION_RB
from kamalstream.inspect.adopted import App
from kamalstream.inspect.kamal.deployment import Deployment, kamal

#: The keys of the credentials that production may have.
KEYS = ("config/master.key", "config/credentials/production.key")
# What the image is built from and starts with; not all are there in every app.
_NEEDED = (
    *(DATABASE_YML, PRODUCTION_RB, *EXECUTABLES, DOCKERIGNORE),
    *("Gemfile", "Gemfile.lock", "config/cable.yml", "config/cache.yml", "config/queue.yml"),
    *("config/puma.rb", "config/storage.yml", "db/schema.rb"),
)


def check_committed(app: App) -> list[Finding]:
    """Return what is wrong with what is committed; nothing where there is no git repository."""
    try:
        tracked = git.names(app.root, "ls-files", "-z", "--", *KEYS)
    except (BadInput, OSError):
        return []
    return [*map(_tracked, tracked), *_left_out(app), *_volumes_in_use(app)]


def _left_out(app: App) -> Iterator[Finding]:
    """Does git ignore what the image needs: Kamal builds from a clone, which lacks it then."""
    found = built(app)
    cloned = [one for one in found if one.deployment.builder.context is None]
    needed = dict.fromkeys(
        [*_NEEDED, *(file for one in cloned for file in (one.dockerfile, one.litestream))]
    )
    ignored = ("ls-files", "--others", "--ignored", "--exclude-standard", "-z", "--", *needed)
    for file in git.names(app.root, *ignored) if cloned else ():
        made = any(file in (app.text(one.dockerfile) or "") for one in cloned)
        if not (made and file == DATABASE_YML):
            yield Finding(
                "git.ignored",
                "error",
                file,
                0,
                "git ignores it, and Kamal builds the image from a clone of the repository, which "
                "lacks it",
                f"git add --force {file} && git commit",
            )


def _tracked(key: str) -> Finding:
    return Finding(
        "secrets.key-in-git",
        "error",
        key,
        0,
        "is in git: whoever reads the repository reads every secret",
        f"git rm --cached {key} && printf '\\n/{key}\\n' >> .gitignore\n"
        "git add .gitignore && git commit\n"
        "Then make a new key, because the old one stays in the history: move it and its .yml.enc "
        "away, and bin/rails credentials:edit",
    )


def _volumes_in_use(app: App) -> Iterator[Finding]:
    """Does the last commit, which is what runs, keep the data in other volumes."""
    with tempfile.TemporaryDirectory(prefix="kamalstream-") as scratch:
        for file in app.kamal.files if app.kamal else ():
            before = git.committed(app.root, file)
            if before is not None:
                copy = Path(scratch, file)
                copy.parent.mkdir(exist_ok=True)
                copy.write_bytes(before)
        was = kamal(Path(scratch))
        for one in deployments(app) if was else ():
            before_it = was.deployment(one.deployment.name) if was else None
            if before_it:
                yield from _moved(one, before_it)


def _moved(one: Deployed, before: Deployment) -> Iterator[Finding]:
    said = set()
    for path in one.databases.values():
        inside = one.app.in_container(path)
        now, then = one.deployment.mount_of(inside), before.mount_of(inside)
        if now and then and now.source != then.source and now.source not in said:
            said.add(now.source)
            yield Finding(
                "volume.renamed",
                "error",
                now.file,
                now.line,
                f"the volume of {one.name} is {now.source}, but the last commit keeps the data in "
                f"{then.source}: the next deploy would start without it",
                f'Write "{then.source}:{now.target}" for the app and the accessory, or move the '
                "data there first.",
            )
