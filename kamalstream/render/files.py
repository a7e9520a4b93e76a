"""Which files the template renders into an app."""

from __future__ import annotations

from pathlib import Path

from kamalstream.facts import ANSWERS, NEW_ANSWERS, litestream_of
from kamalstream.inspect.adopted import load_mapping
from kamalstream.regular_file import read_text


def rendered_files(template: Path, app: Path) -> list[str]:
    """Return the names, below the Rails root, of what the folder `template` renders into `app`.

    Destinations have a file each: their names are read from the app's answers.
    """
    source = template / "template"
    names = set()
    for path in source.rglob("*"):
        name = str(path.relative_to(source)).removesuffix(".jinja")
        if not path.is_file() or name == NEW_ANSWERS:
            continue
        if "_copier_conf" in name:
            names.add(ANSWERS)
        elif "{%" in name:
            names |= {litestream_of(destination) for destination in _destinations(app)}
        else:
            names.add(name)
    return sorted(names)


def _destinations(app: Path) -> list[str]:
    try:
        answers = load_mapping(read_text(app / ANSWERS)) or {}
    except (OSError, ValueError):
        return []
    found = answers.get("destinations")
    return [str(name) for name in found] if isinstance(found, dict) else []
