"""Is there in the image what `asset_path` names, and nothing mounted over it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from kamalstream.check.deployed import Deployed, deployments
from kamalstream.check.finding import Finding
from kamalstream.facts import DOCKERIGNORE
from kamalstream.inspect.adopted import App
from kamalstream.inspect.image.dockerignore import excluded


def check(app: App) -> Iterator[Finding]:
    """Yield where a deploy would fail for its assets."""
    for one in deployments(app):
        yield from _assets(one)


def _assets(one: Deployed) -> Iterator[Finding]:
    role = one.deployment.primary_role
    path = posixpath.normpath(role.asset_path) if role and role.asset_path else None
    if path is None:
        return
    place = one.deployment.line("asset_path")
    fix = f"Take `asset_path:` out of {place[0]}."
    taken = next((mount for mount in one.deployment.mounts if mount.target == path), None)
    if taken:
        yield Finding(
            "assets.path",
            "error",
            *place,
            f"{taken} of {taken.file}:{taken.line} is mounted there too, and Docker refuses two "
            "(Duplicate mount point)",
            fix,
        )
    elif why := _without_assets(one, path):
        message = f"{why}, so the image has no {path}, and the deploy fails when Kamal copies it"
        yield Finding("assets.path", "error", *place, message, fix)


def _without_assets(one: Deployed, path: str) -> str:
    app, root = one.app, one.image.workdir if one.image else None
    below = path.removeprefix(f"{root}/") if root else path
    if root and below == path and path.startswith("/rails/"):
        return f"Rails lives in {root} there"
    here = app.root / below
    if here.is_dir() and not excluded(app.text(DOCKERIGNORE) or "", below):
        return ""
    if app.inspected.assets is None and not app.inspected.asset_builders:
        return "nothing in Gemfile.lock builds assets"
    return ""
