"""Writes the `database:` lines that `rails new` leaves open into config/database.yml."""

from __future__ import annotations

from collections.abc import Mapping

from kamalstream.edit.edited import ByHand, Edited, UnsureError
from kamalstream.edit.yaml_scalars import written
from kamalstream.edit.yaml_text import YamlText
from kamalstream.facts import DATABASE_YML
from kamalstream.inspect.database_yml import STOCK_COMMENT, Databases


def edit(text: str, section: str, opened: Databases, answered: Mapping[str, str]) -> Edited:
    """Return `text` in which every database of `section` has its file.

    `opened` is what was read of `text`. A file is the one `answered` for the name, else the one
    that the generator meant; where neither says it, nothing is written. The generator's comment
    gives way to the line.
    """
    files = {name: answered.get(name) or opened.sqlite.get(name) for name in opened.unwritten}
    by_hand = []
    for name, file in files.items():
        if file is None:
            continue
        line = f"database: {written(file)}"
        try:
            now = YamlText(text)
            several = isinstance(now.value((section, name)), dict)
            path = (section, name, "database") if several else (section, "database")
            if now.has(path):
                continue
            text = now.add(path, [line], over=STOCK_COMMENT).text
        except UnsureError as error:
            by_hand.append(ByHand(DATABASE_YML, opened.unwritten[name], error.why, line))
    return Edited(text, tuple(by_hand))
