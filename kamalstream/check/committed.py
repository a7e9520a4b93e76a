"""What git has: keys that must not be there, and the volume that is in use."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from kamalstream import git
from kamalstream.check.deployed import Deployed, deployments
from kamalstream.check.finding import Finding
from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import App
from kamalstream.inspect.kamal.deployment import Deployment, kamal

#: The keys of the credentials that production may have.
KEYS = ("config/master.key", "config/credentials/production.key")


def check_committed(app: App) -> list[Finding]:
    """Return what is wrong with what is committed; nothing where there is no git repository."""
    try:
        tracked = git.names(app.root, "ls-files", "-z", "--", *KEYS)
    except (BadInput, OSError):
        return []
    return [*map(_tracked, tracked), *_volumes_in_use(app)]


def _tracked(key: str) -> Finding:
    return Finding(
        "secrets.key-in-git",
        "error",
        key,
        0,
        "is in git: whoever reads the repository reads every secret",
        f"git rm --cached {key}; put /{key} into .gitignore; then make a new key, because the old "
        "one stays in the history (bin/rails credentials:edit after moving both files away)",
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
