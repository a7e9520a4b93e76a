"""Are uploaded files anywhere but on the one disk of the server."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kamalstream.check.finding import Finding
from kamalstream.facts import PRODUCTION_RB
from kamalstream.inspect.adopted import App, load_mapping

_STORAGE_YML = "config/storage.yml"


def check(app: App) -> Iterator[Finding]:
    """Yield where Active Storage keeps attachments on the volume: Litestream copies databases."""
    service = app.inspected.storage_service
    if not (app.inspected.attachments and service and _is_on_disk(app, service)):
        return
    yield Finding(
        "uploads.not-backed-up",
        "warning",
        PRODUCTION_RB,
        app.line_of(PRODUCTION_RB, r"^\s*config\.active_storage\.service"),
        f"uploaded files are on the disk of the server (service {service}), and Litestream does "
        "not copy them: they are lost with the server",
        f"Add an S3 service to {_STORAGE_YML}, in a bucket or folder of its own, and name it here: "
        "config.active_storage.service = :amazon",
    )


def _is_on_disk(app: App, service: str) -> bool:
    text = app.text(_STORAGE_YML) or ""
    # ERB stands in values there; what kind of service it is hardly ever depends on it.
    services = load_mapping(re.sub(r"<%.*?%>", "x", text, flags=re.DOTALL)) or {}
    entry = services.get(service)
    return str(entry.get("service")).lower() == "disk" if isinstance(entry, dict) else False
