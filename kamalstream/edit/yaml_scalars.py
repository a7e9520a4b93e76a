"""Writes single values into YAML so that PyYAML and Ruby's Psych read what was meant."""

from __future__ import annotations

import json
import re

from kamalstream.edit.edited import UnsureError
from kamalstream.edit.erb import TAG

Scalar = str | int | float | None

STR, NULL = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null"

# Without quotes only what has no sign in it that means something somewhere.
_PLAIN = re.compile(r"[\w/](?:[\w./@+=-]|:(?=[\w/])| (?=[\w/-]))*", re.ASCII)
_PLAIN_IN_FLOW = re.compile(r"\w[\w.-]*", re.ASCII)
# YAML 1.1 knows these in three spellings, Psych in any.
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
# What Ruby's numbers and times are made of: `12e5`, `1_0`, `0o17`, `2024-01-01 10:00:00 Z`.
_MAYBE_A_NUMBER = re.compile(r"[0-9][0-9a-fobxtz_.,: +-]*", re.IGNORECASE)


def meaning(value: Scalar) -> tuple[str, str]:
    """Return the tag YAML gives `value`, and its text. Raises UnsureError: it is no such value."""
    if isinstance(value, str):
        return STR, value
    kind = {type(None): "null", bool: "bool", int: "int", float: "float"}.get(type(value))
    if kind is None:
        raise UnsureError("a mapping, list or date cannot be written here")
    text = repr(value) if kind in ("int", "float") else json.dumps(value)
    return f"tag:yaml.org,2002:{kind}", text


def is_plain(value: str, *, flow: bool = False, erb: bool = False) -> bool:
    """Whether `value` without quotes (`flow`: in brackets) is this text to every reader."""
    bare = TAG.sub(lambda tag: "x" * len(tag[0]), value) if erb else value
    return (
        bool((_PLAIN_IN_FLOW if flow else _PLAIN).fullmatch(bare))
        and bare.lower() not in _WORDS
        and not _MAYBE_A_NUMBER.fullmatch(bare)
    )


def written(
    value: Scalar, quotes: str | None = None, *, flow: bool = False, erb: bool = False
) -> str:
    """Return `value` as YAML on one line, in `quotes` (None: none) where these are safe.

    With `erb` the tags in it stay code.
    """
    if not isinstance(value, str):
        return meaning(value)[1]
    if not quotes and is_plain(value, flow=flow, erb=erb):
        return value
    if quotes == "'" and value.isprintable() and "'" not in value:
        return f"'{value}'"
    parts = TAG.split(value) if erb else [value]
    return '"' + "".join(p if i % 2 else _escaped(p) for i, p in enumerate(parts)) + '"'


def _escaped(text: str) -> str:
    return "".join(
        char
        if char.isprintable() and char not in '"\\'
        else json.dumps(char)[1:-1]
        if ord(char) < 0x10000
        else f"\\U{ord(char):08x}"
        for char in text
    )
