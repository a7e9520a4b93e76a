"""Puts keys under `litestream:` in a YAML text: inserts lines or replaces values, nothing else.

Where to edit comes from the marks PyYAML gives its nodes. Whether the edit is right is not argued
from the many ways to write YAML: the edited text is parsed again and must mean what the old text
meant plus the keys. Anything else is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Mapping

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

STR, MAP = "tag:yaml.org,2002:str", "tag:yaml.org,2002:map"
NULL = "tag:yaml.org,2002:null"
# Psych counts it as a column, and so silently drops every line after the first key.
BYTE_ORDER_MARK = "\ufeff"
LINE_BREAK = re.compile("\r\n|\n|\r")
# Characters that Ruby's numbers and times are made of: a plain scalar of these alone may be one.
MAYBE_A_NUMBER = re.compile("[0-9a-fobxtz_.,:+-]*", re.IGNORECASE)

Edit = tuple[int, int, str]
Tree = tuple[str, Hashable]


class UnsureError(Exception):
    """A text that is not edited; the message says why and quotes nothing of it."""


def put(text: str, keys: Mapping[str, str]) -> str:
    """Return `text` with `keys` under `litestream:`, and the very same text if they are there.

    Values must be printable and free of blanks. Raises UnsureError.
    """
    if text.startswith(BYTE_ORDER_MARK):
        raise UnsureError("it begins with a byte order mark")
    root = _compose(text)
    edits = _edits(text, root, keys)
    edited = text
    for start, end, piece in sorted(edits, reverse=True):
        edited = edited[:start] + piece + edited[end:]
    if edits and not _is_right(edited, root, keys):
        raise UnsureError("`litestream` is not written in a way this can edit")
    return edited


def present(text: str, names: Iterable[str]) -> frozenset[str]:
    """Return those of `names` that have a value under `litestream:`. Raises UnsureError."""
    root = _compose(text)
    mapping = _last(root, "litestream")
    return frozenset(name for name in names if _has_value(_last(mapping, name)))


def values(text: str, names: Iterable[str]) -> dict[str, str]:
    """Return the values that `names` have under `litestream:`. Raises UnsureError."""
    mapping = _last(_compose(text), "litestream")
    found = {name: _last(mapping, name) for name in names}
    return {
        name: str(node.value).strip() for name, node in found.items() if _has_value(node) and node
    }


def _last(node: Node | None, name: str) -> Node | None:
    """Return the value Ruby would take: of two equal keys, the last."""
    entries = _entries(node, name) if isinstance(node, MappingNode) else []
    return entries[-1][1] if entries else None


def _has_value(node: Node | None) -> bool:
    return isinstance(node, ScalarNode) and node.tag != NULL and bool(node.value.strip())


def _compose(text: str) -> MappingNode | None:
    """Return the mapping the text is, None where it is empty or only comments."""
    root: object = None
    why = ""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        why = f"it is not one YAML document that can be read{line}"
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        why = "it is not YAML that can be read"
    # Raised here, so that no exception with the text in it hangs on this one.
    if why:
        raise UnsureError(why)
    if root is None or (isinstance(root, ScalarNode) and root.tag == NULL):
        return None
    if not isinstance(root, MappingNode):
        raise UnsureError("it is not a mapping (`name: value` lines)")
    return root


def _entries(mapping: MappingNode, name: str) -> list[tuple[Node, Node]]:
    """Return the entries Rails would read as `name`: it makes symbols of all keys."""
    scalars = [(key, value) for key, value in mapping.value if isinstance(key, ScalarNode)]
    if any(key.value == "<<" for key, _ in scalars):
        raise UnsureError("a merge (`<<:`) may decide what is under `litestream`")
    return [(key, value) for key, value in scalars if key.value.strip(":\"'") == name]


def _entry(mapping: MappingNode, name: str) -> tuple[Node, Node] | None:
    entries = _entries(mapping, name)
    if len(entries) > 1:
        raise UnsureError(f"`{name}` is there twice")
    if entries and entries[0][0].value != name:
        raise UnsureError(f"`{name}` is written as a symbol")
    return entries[0] if entries else None


def _edits(text: str, root: MappingNode | None, keys: Mapping[str, str]) -> list[Edit]:
    pairs = [f"{name}: {_quoted(value)}" for name, value in keys.items()]
    flow = "{" + ", ".join(pairs) + "}"
    if root is None:
        return [_lines(text, len(text), 0, _block(pairs))]
    entry = _entry(root, "litestream")
    if entry is None:
        if root.flow_style:
            return [_flow_pairs(root, [f"litestream: {flow}"])]
        return [_lines(text, root.end_mark.index, _column(root), _block(pairs))]
    key, value = entry
    if isinstance(value, ScalarNode) and value.tag == NULL:
        if root.flow_style or value.value:
            return [_replacement(value, flow)]
        return [_lines(text, _next_line(text, key), key.start_mark.column + 2, pairs)]
    if not isinstance(value, MappingNode):
        raise UnsureError("`litestream` has a value of its own")
    return _edits_below(text, key, value, keys)


def _edits_below(text: str, key: Node, mapping: MappingNode, keys: Mapping[str, str]) -> list[Edit]:
    edits, missing = [], []
    for name, wanted in keys.items():
        entry = _entry(mapping, name)
        if entry is None:
            missing.append(f"{name}: {_quoted(wanted)}")
        elif not _is_string(entry[1], wanted):
            edits.append(_replacement(entry[1], _quoted(wanted)))
    if missing and mapping.flow_style:
        edits.append(_flow_pairs(mapping, missing))
    elif missing:
        # Right below `litestream:`, above a comment that belongs to the first key.
        edits.append(_lines(text, _next_line(text, key), _column(mapping), missing))
    return edits


def _quoted(value: str) -> str:
    """Double quotes always: Ruby and Python disagree on which plain scalars are strings."""
    return json.dumps(value, ensure_ascii=False)


def _block(pairs: list[str]) -> list[str]:
    return ["litestream:", *(f"  {pair}" for pair in pairs)]


def _column(mapping: MappingNode) -> int:
    first_key = mapping.value[0][0]
    return int(first_key.start_mark.column)


def _next_line(text: str, key: Node) -> int:
    found = LINE_BREAK.search(text, key.end_mark.index)
    return found.end() if found else len(text)


def _lines(text: str, at: int, column: int, lines: list[str]) -> Edit:
    found = LINE_BREAK.search(text)
    line_break = found[0] if found else "\n"
    piece = line_break.join(" " * column + line for line in lines)
    if at == 0 or text[at - 1] in "\r\n":
        return at, at, piece + line_break
    return at, at, line_break + piece


def _flow_pairs(mapping: MappingNode, pairs: list[str]) -> Edit:
    joined = ", ".join(pairs)
    if not mapping.value:
        at = mapping.end_mark.index - len("}")
        return at, at, joined
    at = mapping.value[0][0].start_mark.index
    return at, at, joined + ", "


def _replacement(node: Node, piece: str) -> Edit:
    if not isinstance(node, ScalarNode) or node.style in ("|", ">"):
        raise UnsureError("a key under `litestream` has a value of several lines or parts")
    start, end = node.start_mark.index, node.end_mark.index
    return start, end, piece if end > start else " " + piece


def _is_string(node: Node, wanted: str) -> bool:
    """Whether Ruby, too, reads `node` as the string `wanted`."""
    if not isinstance(node, ScalarNode) or node.tag != STR or node.value != wanted:
        return False
    # Psych takes `12e5` for a number, `yEs` for true and `:a` for a symbol; PyYAML takes none so.
    plain_is_safe = len(wanted) > len("false") and not MAYBE_A_NUMBER.fullmatch(wanted)
    return node.style is not None or (plain_is_safe and not wanted.startswith(":"))


def _tree(node: Node | None) -> Tree:
    """Return what a node means, comparable: without marks, styles, order of keys, aliases."""
    if node is None:
        return MAP, frozenset()
    if isinstance(node, MappingNode):
        return node.tag, frozenset((_tree(key), _tree(value)) for key, value in node.value)
    if isinstance(node, SequenceNode):
        return node.tag, tuple(_tree(item) for item in node.value)
    return node.tag, node.value


def _is_right(edited: str, old: MappingNode | None, keys: Mapping[str, str]) -> bool:
    try:
        return _tree(_compose(edited)) == _expected(old, keys)
    except (UnsureError, RecursionError):
        return False


def _expected(root: MappingNode | None, keys: Mapping[str, str]) -> Tree:
    """Return what `root` means once `keys` are under its `litestream`."""
    entries = {_tree(key): _tree(value) for key, value in root.value} if root else {}
    entry = _entry(root, "litestream") if root else None
    mapping = entry[1] if entry and isinstance(entry[1], MappingNode) else None
    below = {_tree(key): _tree(value) for key, value in mapping.value} if mapping else {}
    below.update({(STR, name): (STR, value) for name, value in keys.items()})
    entries[STR, "litestream"] = (mapping.tag if mapping else MAP, frozenset(below.items()))
    return root.tag if root else MAP, frozenset(entries.items())
