"""The answers about uploaded files: are there any on a volume, and where."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kamalstream.facts import COPY_UPLOADS, UPLOADS
from kamalstream.inspect.app import AppFacts
from kamalstream.inspect.kamal.mounts import mount_of, volume


def uploads(app: AppFacts, volumes: Collection[str]) -> dict[str, Any]:
    """Return the answers that the app gives: key of copier.yml → value.

    `volumes` (SOURCE:TARGET) are those of the databases. Files are copied where the tables of
    Active Storage are there, and its service stores on a volume.
    """
    service = app.uploads
    if not (service and service.on_disk and service.root):
        return {"uploads": False}
    main = app.kamal.main if app.kamal else None
    held = mount_of(map(volume, volumes), service.root)
    own = main.mount_of(service.root) if main and not held else None
    other = main.accessories.get(UPLOADS) if main else None
    # An accessory of theirs that is called like ours stays what it is.
    theirs = other is not None and COPY_UPLOADS not in [local for local, _ in other.files]
    kept = held or (own if own and own.source else None)
    found: dict[str, Any] = {"uploads": bool(app.attachments and kept and not theirs)}
    if kept:
        found["uploads_root"] = service.root
        found["uploads_volume"] = f"{own.source}:{own.target}" if own and own.source else ""
    return found
