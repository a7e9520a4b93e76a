"""Does every database lie on a volume, and does the accessory see it there."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from kamalstream.check.deployed import SIDECAR, Deployed, deployments
from kamalstream.check.finding import Finding
from kamalstream.facts import DATABASE_YML
from kamalstream.inspect.adopted import App
from kamalstream.inspect.app import holds_code
from kamalstream.inspect.kamal.containers import Accessory
from kamalstream.inspect.kamal.mounts import Mount, volume


def check(app: App) -> Iterator[Finding]:
    """Yield databases that a deploy would lose, or that the accessory does not see."""
    for one in deployments(app):
        if one.deployment.unreadable_at("volumes"):
            continue
        yield from _of_app(one)
        unknown = one.deployment.unreadable_at("accessories", SIDECAR, "volumes")
        if one.sidecar and not unknown:
            yield from _of_sidecar(one, one.sidecar)
        yield from _folders(one)


def _paths(one: Deployed) -> list[str]:
    return [one.app.in_container(path) for path in one.databases.values()]


def _of_app(one: Deployed) -> Iterator[Finding]:
    lost: dict[str, None] = {}
    for path in _paths(one):
        mount = one.deployment.mount_of(path)
        if mount is None or not mount.source:
            storage = one.app.in_container("storage")
            folder = storage if path.startswith(f"{storage}/") else posixpath.dirname(path)
            lost[folder] = None
    wanted = [volume(written) for written in one.volumes]
    name = f"{one.deployment.service or one.app.answers.get('app_name')}_storage"
    for folder in lost:
        held = [str(one) for one in wanted if f"{folder}/".startswith(f"{one.target}/")]
        fix = f'volumes:\n  - "{(held or [f"{name}:{folder}"])[0]}"'
        if _hides(one, folder):
            fix = f"Write another path in {DATABASE_YML}: database: storage/…"
        yield Finding(
            "volume.missing",
            "error",
            *one.deployment.line("volumes"),
            f"no volume is mounted at {folder}: every deploy of {one.name} starts with empty "
            "databases",
            fix,
        )
    yield from _hidden(one)


def _hides(one: Deployed, folder: str) -> bool:
    """Whether a mount at the `folder` of the containers hides code of the image."""
    root = one.app.rails_root
    return folder.startswith(f"{root}/") and holds_code(
        one.app.root / posixpath.relpath(folder, root)
    )


def _hidden(one: Deployed) -> Iterator[Finding]:
    storage = one.app.in_container("storage")
    mounts: dict[Mount, list[str]] = {}
    for path in one.databases.values():
        mount = one.deployment.mount_of(one.app.in_container(path))
        if mount and _hides(one, mount.target):
            mounts.setdefault(mount, []).append(posixpath.basename(path))
    for mount, names in mounts.items():
        yield Finding(
            "volume.hides",
            "warning",
            mount.file,
            mount.line,
            f"a volume at {mount.target} hides what later images have there: new migrations never "
            f"run in {one.name}",
            f'Mount it elsewhere, in the app and the accessory: "{mount.source}:{storage}"\n'
            f"and write the new paths in {DATABASE_YML}: "
            + ", ".join(f"database: storage/{name}" for name in names),
        )


def _of_sidecar(one: Deployed, sidecar: Accessory) -> Iterator[Finding]:
    reboot = f"Then: {one.kamal(f'accessory reboot {SIDECAR}')}"
    seen: set[tuple[str, str]] = set()
    for place in one.replicated:
        mine, theirs = one.deployment.mount_of(place.value), sidecar.mount_of(place.value)
        if mine is None:
            # Of a database this is said above; of anything else, that the app does not open it.
            continue
        fix = f'Under accessories: {SIDECAR}: volumes:\n  - "{mine.source}:{mine.target}"\n{reboot}'
        if theirs is None:
            targets = ", ".join(mount.target for mount in sidecar.mounts)
            yield Finding(
                "volume.path",
                "error",
                one.litestream,
                place.line,
                f"{place.value} is below no volume of the accessory of {one.name} "
                f"({targets or 'it has none'}): Litestream waits for it for ever",
                fix,
            )
        elif theirs.source == mine.source and theirs.target != mine.target:
            yield Finding(
                "volume.place",
                "error",
                one.litestream,
                place.line,
                f"{place.value} is another file for the accessory of {one.name} than for the app: "
                f"{mine.source} is at {theirs.target} there, and here at {mine.target}",
                fix,
            )
        elif (mine.target, theirs.target) not in seen:
            seen.add((mine.target, theirs.target))
            yield from _differs(one, sidecar, mine, theirs, fix)


def _differs(
    one: Deployed, sidecar: Accessory, mine: Mount, theirs: Mount, fix: str
) -> Iterator[Finding]:
    place = (theirs.file or sidecar.file, theirs.line or sidecar.line)
    if theirs.source != mine.source:
        yield Finding(
            "volume.differs",
            "error",
            *place,
            f"the accessory of {one.name} mounts {theirs.source or 'no volume of a name'} where "
            f"the app mounts {mine.source} ({mine.target}): it sees none of the databases there",
            fix,
        )
    elif "ro" in theirs.options.split(","):
        message = f"Litestream makes tables of its own, and {theirs.source} is mounted read-only"
        yield Finding("volume.read-only", "error", *place, message, fix)


def _folders(one: Deployed) -> Iterator[Finding]:
    mounts = (one.deployment.mount_of(path) for path in _paths(one))
    sudo = "" if one.deployment.ssh.user == "root" else "sudo "
    for mount in dict.fromkeys(mount for mount in mounts if mount and mount.folder):
        command = f"{sudo}mkdir -p {mount.source} && {sudo}chown {one.user} {mount.source}"
        yield Finding(
            "volume.folder",
            "note",
            mount.file,
            mount.line,
            f"where {mount.source} is not on the server yet, Docker makes it for root, and the app "
            f"({one.user}) cannot write there",
            one.kamal(f'server exec "{command}"'),
        )
