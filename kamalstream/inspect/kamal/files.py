"""Kamal's configuration files: which there are, what each says, and one over another.

Source of facts: Kamal::Configuration.create_from (lib/kamal/configuration.rb, 2.11 and 2.12).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from kamalstream.inspect import erb_yaml
from kamalstream.inspect.erb_yaml import Document, alternatives
from kamalstream.inspect.kamal.values import Unknown
from kamalstream.inspect.ruby_expression import Environment, UnknownValueError
from kamalstream.inspect.unreadable import Assumed, Unreadable, UnreadableError, source_line
from kamalstream.regular_file import read_text

# Kamal sets it, or takes it away, before it renders the ERB of either file.
_DESTINATION = "KAMAL_DESTINATION"
# Files with such a word for a part of their name are copied by people, not read by Kamal.
_NO_DESTINATION = frozenset(
    {"example", "examples", "sample", "template", "tmpl", "dist", "tt", "erb"}
    | {"bak", "backup", "orig", "old"}
)
_ABSENT = object()
# Parts of the configuration that decide nothing about the app, its data and its secrets.
_NO_CONCERN = frozenset(
    ("aliases", "boot", "hooks_output", "labels", "logging", "output", "sshkit")
)


@dataclass(frozen=True)
class KamalFile:
    """One file. `data` is None where the file as a whole is not readable; `unreadable` says why.

    The values in `data` are str, int, float, bool, None, lists and mappings, and `Unknown`.
    """

    name: str
    data: dict[str, Any] | None
    unreadable: tuple[Unreadable, ...] = ()
    assumed: tuple[Assumed, ...] = ()
    document: Document | None = None

    def line(self, *path: str | int) -> int | None:
        """Return the line of a key, or of an element where the last step is an index.

        None: what holds the key is there, or nothing of it is, and the key is not. 0: the path
        ends before, in something that is no mapping (or list), so that nothing stands below it.
        """
        document = self.document
        if document is None or self.data is None:
            return None
        at, line = document.root, 0
        for step in path:
            if isinstance(step, int):
                if not isinstance(at, yaml.SequenceNode) or not 0 <= step < len(at.value):
                    return 0
                at = at.value[step]
                line = document.line(at)
                continue
            try:
                entry = document.mapping(at).get(step)
            except UnreadableError:
                return 0
            if entry is None:
                return None
            at, line = entry.value, document.line(entry.key)
        return line


def destination_names(app: Path) -> tuple[str, ...]:
    """Return the names of the destinations of the app in the folder `app`, sorted.

    `kamal -d NAME` reads config/deploy.NAME.yml (Pathname#sub_ext), also where NAME has dots.
    """
    return tuple(name for name in _names(app) if not _is_example(name))


def example_files(app: Path) -> tuple[str, ...]:
    """Return the files that have a destination's form and an example's or a backup's name."""
    return tuple(destination_file(name) for name in _names(app) if _is_example(name))


def destination_file(name: str) -> str:
    """Return the path of the file of destination `name`, below the app."""
    return f"config/deploy.{name}.yml"


def _names(app: Path) -> list[str]:
    files = [file.name for file in (app / "config").glob("deploy.*.yml") if file.is_file()]
    names = (name.removeprefix("deploy.").removesuffix(".yml") for name in files)
    return sorted(filter(None, names))


def _is_example(name: str) -> bool:
    parts = name.lower().split(".")
    last = re.split(r"[-_]", parts[-1])[-1]
    return bool(_NO_DESTINATION & set(parts)) or last in ("example", "sample", "template")


def read(app: Path, file: str, destination: str | None) -> KamalFile:
    """Read `file` as Kamal reads it for `destination`; never raises for what it says."""
    env = {_DESTINATION: destination} if destination else {}
    try:
        return _of(erb_yaml.read(app, file, env, trim=True))
    except UnreadableError as error:
        return _in_part(app, file, env) or KamalFile(file, None, error.unreadable)
    except RecursionError:
        why = "a part of it contains itself, or is nested too deeply"
    except (ValueError, OverflowError, yaml.YAMLError) as error:
        why = f"this is not valid YAML: {error}".splitlines()[0]
    return KamalFile(file, None, (Unreadable(file, 0, "", why),))


def _of(document: Document) -> KamalFile:
    values = _Values(document)
    return KamalFile(
        document.file, values.top(), (), tuple(dict.fromkeys(values.assumed)), document
    )


def _in_part(app: Path, file: str, env: Environment) -> KamalFile | None:
    """Return what `file` says whichever way its blocks of code go; None where that is not known."""
    try:
        source = read_text(app / file)
        read = [_of(Document(file, one, env, True)) for one in alternatives(source)]
    except (UnreadableError, RecursionError, ValueError, OSError, yaml.YAMLError):
        return None
    if not read:
        return None

    def common(found: list[Any], path: tuple[str, ...]) -> Any:
        there = [one for one in found if one is not _ABSENT]
        if len(there) == len(found) and all(isinstance(one, dict) for one in found):
            keys = dict.fromkeys(key for one in found for key in one)
            return {key: common([x.get(key, _ABSENT) for x in found], (*path, key)) for key in keys}
        if all(one == found[0] for one in found):
            return found[0]
        line = next((line for one in read if (line := one.line(*path))), 0)
        why = "code (<% … %>) decides what stands here"
        place = Unreadable(file, line, source_line(source, line), why)
        return Unknown(place, path[0] not in _NO_CONCERN and path[:2] != ("builder", "args"))

    data = common([one.data for one in read], ())
    assumed = tuple(dict.fromkeys(said for one in read for said in one.assumed))
    return replace(read[1], data=data, assumed=assumed)


class _Values:
    """Turns nodes into plain values, as Psych does."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.assumed = [Assumed(document.file, 0, *one) for one in document.assumed_by_shape]
        self._known: dict[tuple[int, bool], Any] = {}
        self._open: set[int] = set()

    def top(self) -> dict[str, Any]:
        """Return the whole file; raises UnreadableError where it is no mapping of names."""
        values = {}
        for key, entry in self.document.mapping(self.document.root).items():
            concern = key not in _NO_CONCERN and not key.startswith("x-")
            if key == "builder" and isinstance(entry.value, yaml.MappingNode):
                # Arguments of the build decide about the image only.
                values[key] = self._mapping(entry.value, concern, quiet="args")
            else:
                values[key] = self._value(entry.value, concern)
        return values

    def _value(self, node: yaml.Node, concern: bool) -> Any:
        # An alias reaches the same node again.
        at = (id(node), concern)
        if at not in self._known:
            if id(node) in self._open:
                return self._unknown(node, "it contains itself", concern)
            self._open.add(id(node))
            self._known[at] = self._read(node, concern)
            self._open.remove(id(node))
        return self._known[at]

    def _read(self, node: yaml.Node, concern: bool) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, concern)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(one, concern) for one in node.value]
        return self._mapping(node, concern)

    def _mapping(self, node: yaml.Node, concern: bool, quiet: str = "") -> Any:
        try:
            pairs = self.document.mapping(node)
        except UnreadableError as error:
            return Unknown(error.unreadable[0], concern)
        return {
            key: self._value(entry.value, concern and key != quiet) for key, entry in pairs.items()
        }

    def _scalar(self, node: yaml.ScalarNode, concern: bool) -> Any:
        try:
            value = self.document.scalar(node)
            if value.text is None and set(value.unset) - {_DESTINATION}:
                value.string()
        except UnknownValueError as error:
            return self._unknown(node, str(error), concern)
        if concern:
            line = self.document.line(node)
            self.assumed += [
                Assumed(self.document.file, line, *one)
                for one in value.assumed
                if one[0] != _DESTINATION
            ]
        return None if value.text is None else _typed(node, value.text)

    def _unknown(self, node: yaml.Node, why: str, concern: bool) -> Unknown:
        return Unknown(self.document.unreadable(node, why), concern)


def _typed(node: yaml.ScalarNode, text: str) -> Any:
    """Return what Psych makes of a scalar: a boolean, a number, or text."""
    constructor = SafeConstructor()
    try:
        if node.tag == "tag:yaml.org,2002:bool":
            return text.lower() in ("true", "yes", "on")
        if node.tag == "tag:yaml.org,2002:int":
            return constructor.construct_yaml_int(node)
        if node.tag == "tag:yaml.org,2002:float":
            return constructor.construct_yaml_float(node)
    except (ValueError, ArithmeticError, LookupError):
        return text
    # A symbol, which becomes its name wherever Kamal writes it.
    return text[1:] if node.style is None and re.match(r":[^\"']", text) else text


def merged(base: Any, over: Any) -> Any:
    """Return `over` laid over `base` as Kamal does: mappings merge, all else is replaced.

    ActiveSupport's Hash#deep_merge!, in Kamal::Configuration.load_config_files. What is not known
    may be a mapping, so a mapping over it is not known either.
    """
    if isinstance(over, dict):
        if isinstance(base, Unknown):
            return base
        if isinstance(base, dict):
            new = {
                key: merged(base[key], value) if key in base else value
                for key, value in over.items()
            }
            return {**base, **new}
    return over
