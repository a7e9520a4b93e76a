"""Are uploaded files anywhere but on the one disk of the server."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from kamalstream import facts
from kamalstream.check import accessory
from kamalstream.check.deployed import Deployed, deployments
from kamalstream.check.finding import Finding
from kamalstream.facts import PRODUCTION_RB, UPLOADS
from kamalstream.inspect.adopted import App
from kamalstream.inspect.kamal.containers import Accessory
from kamalstream.inspect.kamal.mounts import Mount
from kamalstream.inspect.storage_yml import STORAGE_YML


def check(app: App) -> Iterator[Finding]:
    """Yield where files of Active Storage are lost with the server, or with the next deploy."""
    name, service = app.inspected.storage_service, app.inspected.uploads
    if not app.inspected.attachments:
        return
    place = (PRODUCTION_RB, app.line_of(PRODUCTION_RB, r"^\s*config\.active_storage\.service"))
    answered = str(app.answers.get("uploads_root")) if app.copies_uploads else None
    root = (service.root if service else None) or answered
    if service and not service.on_disk:
        if app.copies_uploads:
            yield Finding(
                "uploads.elsewhere",
                "warning",
                *place,
                f"uploaded files go to the service {service.name}, which is not on the server: the "
                "accessory `uploads` has nothing to copy",
                "kamal accessory remove uploads\nThen: kamalstream update --data uploads=false",
            )
    elif root:
        yield from _on_disk(app, root, place)
    elif name or place[1]:
        entry = app.line_of(STORAGE_YML, rf"^{re.escape(name or '-')}:")
        yield Finding(
            "uploads.unknown",
            "warning",
            *((STORAGE_YML, entry) if entry else place),
            f"where uploaded files are kept cannot be read ({name or 'code decides it'}): nobody "
            "looks whether they are backed up",
            "Where that is a folder on the server, say which it is in the container: "
            + _update("FOLDER"),
        )


def _update(*root: str) -> str:
    told = "".join(f" --data uploads_root={one}" for one in root)
    return f"kamalstream update --data uploads=true{told}"


def _on_disk(app: App, root: str, place: tuple[str, int]) -> Iterator[Finding]:
    found = deployments(app)
    for one in found:
        held = one.deployment.mount_of(root)
        if one.deployment.unreadable_at("volumes"):
            continue
        if held is None or not held.source:
            name = f"{one.deployment.service or app.answers.get('app_name')}_uploads"
            yield Finding(
                "uploads.no-volume",
                "warning",
                *one.deployment.line("volumes"),
                f"uploaded files ({root}) are on no volume of {one.name}: every deploy loses them",
                f'volumes:\n  - "{name}:{root}"\nThen: {_added(app, root, f"{name}:{root}")}',
            )
        elif app.copies_uploads:
            yield from _of_accessory(one, root, held)
    held = found[0].deployment.mount_of(root) if found else None
    if held and held.source and not app.copies_uploads:
        yield Finding(
            "uploads.not-backed-up",
            "warning",
            *place,
            f"uploaded files are on the disk of the server ({root}), and nothing copies them: "
            "they are lost with the server",
            f"{_added(app, root, f'{held.source}:{held.target}')}\n"
            f"Or keep them in a bucket: an S3 service in {STORAGE_YML}, named here.",
        )


def _added(app: App, root: str, volume: str) -> str:
    """Return the command that has the files in `root`, on `volume`, copied too."""
    others = []
    if root != app.answers.get("uploads_root", f"{app.rails_root}/storage"):
        others.append(root)
    told = "" if volume in facts.data_volumes(app.answers) else volume
    more = f" --data {shlex.quote(f'uploads_volume={told}')}" if told else ""
    return f"{_update(*others)}{more}"


def _of_accessory(one: Deployed, root: str, held: Mount) -> Iterator[Finding]:
    answered = one.app.answers.get("uploads_root")
    if answered != root:
        yield Finding(
            "uploads.root",
            "error",
            STORAGE_YML,
            one.app.line_of(STORAGE_YML, r"^\s*root:"),
            f"uploaded files are kept in {root}, and those in {answered} are copied",
            f"{_added(one.app, root, str(held))}\nThen: kamal accessory reboot uploads",
        )
        return
    ours = one.deployment.accessories.get(UPLOADS)
    if one.deployment.unreadable_at("accessories", UPLOADS):
        return
    if ours is None:
        yield Finding(
            "uploads.accessory",
            "error",
            *one.deployment.line("accessories"),
            f"{one.name} has no accessory `uploads`: nothing copies uploaded files",
            "kamalstream init puts it there, or shows the lines to put.",
        )
        return
    yield from accessory.user(one, ours)
    yield from accessory.placement(one, ours)
    yield from _config(one, ours)
    theirs = ours.mount_of(root)
    lines = f'accessories:\n  uploads:\n    volumes:\n      - "{held.source}:{held.target}"'
    reboot = one.kamal("accessory reboot uploads")
    fix = f"In {one.deployment.file}:\n{lines}\nThen: {reboot}"
    if theirs is None or (theirs.source, theirs.target) != (held.source, held.target):
        yield Finding(
            "uploads.differs",
            "error",
            *one.deployment.line("accessories", UPLOADS, "volumes"),
            f"the accessory `uploads` of {one.name} has {theirs or 'no volume'} where the app "
            f"keeps uploaded files ({held}): it copies none of them",
            fix,
        )
    elif "ro" in theirs.options.split(","):
        yield Finding(
            "uploads.read-only",
            "error",
            *one.deployment.line("accessories", UPLOADS, "volumes"),
            f"the accessory `uploads` of {one.name} cannot write to {theirs.source}: no file "
            "comes back after the loss of the server",
            fix,
        )


def _config(one: Deployed, ours: Accessory) -> Iterator[Finding]:
    """Does it copy to a path of its own."""
    name = one.deployment.name
    wanted = facts.RCLONE if one.is_main or not name else facts.rclone_of(name)
    if wanted not in [local for local, _ in ours.files]:
        yield Finding(
            "uploads.config",
            "error",
            *one.deployment.line("accessories", UPLOADS, "files"),
            f"the accessory `uploads` of {one.name} does not go by {wanted}: it would mix its "
            "files with another deployment's",
            f"In {one.deployment.file}:\naccessories:\n  uploads:\n    files:\n"
            f"      - {wanted}:/etc/rclone.conf:ro\n"
            f"      - {facts.COPY_UPLOADS}:/usr/local/{facts.COPY_UPLOADS}:ro",
        )
