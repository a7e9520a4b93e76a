"""Reads YAML that somebody else wrote. The standard library and PyYAML only: Copier's hooks use it.

PyYAML lets exceptions of Python's own through (`2020-99-99`, `!!int abc`, 5,000 digits, a thousand
brackets), builds whatever a few aliases multiply, and takes the last of two keys without a word.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError

from kamalstream.errors import BadInput
from kamalstream.printable import shown

# Far beyond any file of answers; PyYAML reads 100,000 characters in about a second.
_MOST_CHARACTERS = 100_000
_MOST_VALUES = 10_000


def load(text: str, name: str) -> Any:
    """Return what the YAML `text` says; `name` is what it is called, mostly a file.

    Raises BadInput, with the line, where it is no YAML, where a value is none that YAML has, a key
    is no text or stands there twice, and where it is too large or too deep to be meant.
    """
    if len(text) > _MOST_CHARACTERS:
        raise BadInput(f"{name} has {len(text):,} characters: that is no file of answers.")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _values_in(node, {}) > _MOST_VALUES:
            raise BadInput(f"{name} has aliases that make it too large to be meant: write it out.")
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise BadInput(f"{name}{_place(error)} is not valid YAML: {problem(error)}.") from error
    except RecursionError as error:
        raise BadInput(f"{name} is nested too deeply to be meant.") from error


def problem(error: yaml.YAMLError) -> str:
    """Return what PyYAML says is wrong, in one line."""
    return shown(getattr(error, "problem", None) or str(error).splitlines()[0], 200)


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" line {mark.line + 1}" if mark else ""


def _values_in(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values `node` comes to once its aliases are followed."""
    at = id(node)
    if at not in known:
        # What contains itself is as large as can be.
        known[at] = _MOST_VALUES + 1
        below = [one for pair in node.value for one in pair] if _is_mapping(node) else node.value
        inner = () if isinstance(node, yaml.ScalarNode) else below
        known[at] = 1 + sum(_values_in(one, known) for one in inner)
    return known[at]


def _is_mapping(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode)


class _Loader(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            if isinstance(node, yaml.ScalarNode):
                # Half a character, as "\ud800" is one, can be neither printed nor written.
                node.value.encode()
            return super().construct_object(node, deep)
        except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
            said = f"{shown(node.value)} is not a value that YAML has, put it in quotes"
            raise ConstructorError(None, None, said, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                said = f"the key {shown(key.value)} is no text, put it in quotes"
                raise ConstructorError(None, None, said, key.start_mark)
            if key.value in seen:
                said = f"the key {shown(key.value)} stands there twice"
                raise ConstructorError(None, None, said, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)
