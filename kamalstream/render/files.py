"""Which files the template renders into an app."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from kamalstream.facts import ANSWERS, NEW_ANSWERS, VERIFY_WORKFLOW, litestream_of, rclone_of
from kamalstream.inspect.adopted import load_mapping
from kamalstream.regular_file import read_text


def rendered_files(template: Path, app: Path) -> list[str]:
    """Return the names, below the Rails root, of what the folder `template` renders into `app`.

    Destinations have a file each: their names are read from the app's answers, as is whether there
    is a workflow.
    """
    source = template / "template"
    names = set()
    for path in source.rglob("*"):
        name = str(path.relative_to(source)).removesuffix(".jinja")
        if not path.is_file() or name == NEW_ANSWERS:
            continue
        if "_copier_conf" in name:
            names.add(ANSWERS)
        elif "yield" in name:
            found = _answers(app).get("destinations")
            of = rclone_of if "rclone" in name else litestream_of
            if isinstance(found, dict) and (of is litestream_of or _copies(app)):
                names |= {of(str(one)) for one in found}
        elif "uploads" in name:
            names |= {re.sub("{%.*?%}", "", name)} if _copies(app) else set()
        elif "verify_schedule" in name:
            if _answers(app).get("verify_schedule", "none") != "none":
                names.add(VERIFY_WORKFLOW)
        else:
            names.add(name)
    return sorted(names)


def _copies(app: Path) -> bool:
    return _answers(app).get("uploads") is True


def _answers(app: Path) -> dict[str, Any]:
    try:
        return load_mapping(read_text(app / ANSWERS)) or {}
    except (OSError, ValueError):
        return {}
