"""Puts keys under `litestream:` in the decrypted YAML of the Rails credentials, which has no ERB.

No message or exception made here has anything of the text in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from kamalstream.edit import edited
from kamalstream.edit.yaml_scalars import written
from kamalstream.edit.yaml_text import YamlText

SECTION = "litestream"
BYTE_ORDER_MARK = "\ufeff"
# Always: Ruby and Python disagree on which plain scalars are strings.
QUOTES = '"'


class UnsureError(Exception):
    """A text that is not edited; the message says why and quotes nothing of it."""


def put(text: str, keys: Mapping[str, str]) -> str:
    """Return `text` with `keys` under `litestream:`, and the very same text if they are there.

    Values must be printable and free of blanks. Raises UnsureError.
    """
    if text.startswith(BYTE_ORDER_MARK):
        raise UnsureError("it begins with a byte order mark")
    yaml_text, written_out = _read(text)
    for mapping, names in ((written_out, [SECTION]), (_last(written_out, SECTION), keys)):
        for key in mapping if isinstance(mapping, dict) else ():
            if _name(key) in names and key != _name(key):
                raise UnsureError(f"`{_name(key)}` is written as a symbol")
    why = ""
    try:
        for name, value in reversed([*keys.items()]):
            path, line = (SECTION, name), f"{name}: {written(value, QUOTES)}"
            if yaml_text.has(path):
                yaml_text = yaml_text.set(path, value, quotes=QUOTES)
            else:
                yaml_text = yaml_text.add(path, [line], tight=True)
    except edited.UnsureError as unsure:
        why = str(unsure)
    if why:
        raise UnsureError(why)
    return yaml_text.text


def present(text: str, names: Iterable[str]) -> frozenset[str]:
    """Return those of `names` that have a value under `litestream:`. Raises UnsureError."""
    return frozenset(values(text, names))


def values(text: str, names: Iterable[str]) -> dict[str, str]:
    """Return the values that `names` have under `litestream:`. Raises UnsureError."""
    section = _last(_read(text)[1], SECTION)
    found = {name: _last(section, name) for name in names}
    return {
        name: value.strip()
        for name, value in found.items()
        if isinstance(value, str) and value.strip() not in ("", "~", "null", "Null", "NULL")
    }


def _read(text: str) -> tuple[YamlText, dict[Any, Any]]:
    """Return the text, and what it says with each value as it is written."""
    line = ""
    try:
        return YamlText(text, erb=False), yaml.load(text, yaml.BaseLoader) or {}
    except edited.UnsureError as unsure:
        line = f", line {unsure.line}" if unsure.line else ""
    except yaml.YAMLError:
        pass
    # Raised here, so that no exception with the text in it hangs on this one.
    raise UnsureError(f"it is not one YAML mapping (`name: value` lines) that can be read{line}")


def _name(key: object) -> str:
    """Return what Rails reads a key as: it makes symbols of all."""
    return key.strip(":\"'") if isinstance(key, str) else ""


def _last(mapping: object, name: str) -> object:
    """Return the value Ruby would take: of two equal keys, the last."""
    if not isinstance(mapping, dict):
        return None
    if "<<" in mapping:
        raise UnsureError("a merge (`<<:`) may decide what is under `litestream`")
    return next((mapping[key] for key in reversed(mapping) if _name(key) == name), None)
