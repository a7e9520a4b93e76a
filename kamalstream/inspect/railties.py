"""Which parts of Rails an app loads."""

from __future__ import annotations

import re
from pathlib import Path

_LOADED = re.compile(
    r"^\s*require\s*\(?\s*[\"'](rails/all|active_storage/engine)[\"']", re.MULTILINE
)


def uses_active_storage(app: Path) -> bool:
    """Return whether config/application.rb of the app in the folder `app` loads Active Storage."""
    file = app / "config/application.rb"
    return (
        bool(_LOADED.search(file.read_text("utf-8", errors="replace"))) if file.is_file() else False
    )
