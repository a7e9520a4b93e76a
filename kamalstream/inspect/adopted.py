"""The app that is checked: its files and answers, read once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from kamalstream import facts, yaml_input
from kamalstream.errors import BadInput
from kamalstream.facts import ANSWERS, LITESTREAM
from kamalstream.inspect.app import AppFacts, inspect_app
from kamalstream.inspect.database_yml import Databases
from kamalstream.inspect.gemfile_lock import GemfileLock, gemfile_lock
from kamalstream.inspect.kamal.deployment import Kamal
from kamalstream.printable import shown
from kamalstream.regular_file import read_text

# What is walked through; a value of another kind in their place is a mistake of whoever edited it.
_SHAPES = {
    "own_files": (list, "list"),
    "volumes": (list, "list"),
    "destinations": (dict, "mapping"),
    "image": (dict, "mapping"),
}


@dataclass(frozen=True)
class Place:
    """A value in a YAML file and the line it stands on."""

    value: Any
    line: int


class App:
    """A Rails app that the template was rendered into.

    Takes the Rails root. Raises `BadInput` where there is no answers file of this template: then
    there is nothing to check.
    """

    def __init__(self, root: Path) -> None:
        """Read the answers file."""
        self.root = root
        text = self.text(ANSWERS)
        if text is None:
            raise BadInput(
                f"{root} has no {ANSWERS}: the template was not rendered there.\n"
                "Run `kamalstream init` (or `copier copy --trust`) in the app first."
            )
        if re.search(r"(?m)^<<<<<<< ", text):
            raise BadInput(
                f"{ANSWERS} has a conflict in it:\nkeep what is right, and take out <<<<<<<, "
                "======= and >>>>>>>."
            )
        answers = yaml_input.load(text, ANSWERS)
        if not isinstance(answers, dict) or not isinstance(answers.get("databases"), dict):
            raise BadInput(f"{ANSWERS} has no answers of kamalstream's template in it.")
        for name, (kind, said) in _SHAPES.items():
            if not isinstance(answers.get(name) or kind(), kind):
                raise BadInput(f"{ANSWERS}: {name} is {shown(answers[name])}, which is no {said}.")
        self.answers: dict[str, Any] = answers
        if self.series not in facts.LITESTREAM_KEYS:
            raise BadInput(f"{ANSWERS}: litestream_version is {shown(self.series)}: 0.5 or 0.3.")

    def text(self, file: str) -> str | None:
        """Return the text of `file`, relative to the Rails root; None where there is none.

        So it is where a pipe, a device or a file of more than 20 MB stands in its place.
        """
        try:
            return read_text(self.root / file, "replace")
        except PermissionError:
            raise
        except OSError:
            return None

    def line_of(self, file: str, pattern: str) -> int:
        """Return the first line of `file` that the regular expression `pattern` fits, else 0."""
        for number, line in enumerate((self.text(file) or "").splitlines(), 1):
            if re.search(pattern, line):
                return number
        return 0

    @cached_property
    def databases(self) -> dict[str, str]:
        """The databases of the answers: name → path below the Rails root."""
        return {str(name): str(path) for name, path in self.answers["databases"].items()}

    @cached_property
    def backed_up(self) -> dict[str, str]:
        """Those of them that are to be replicated."""
        return facts.backed_up(self.databases, bool(self.answers.get("backup_ephemeral")))

    @property
    def series(self) -> str:
        """Litestream's release series, "0.5" or "0.3"."""
        return str(self.answers.get("litestream_version", "0.5"))

    @property
    def copies_uploads(self) -> bool:
        """Whether uploaded files are copied to the bucket too, as it was answered."""
        return self.answers.get("uploads") is True

    @property
    def kamal(self) -> Kamal | None:
        """How Kamal deploys the app, None where it has no config/deploy.yml."""
        return self.inspected.kamal

    @property
    def rails_root(self) -> str:
        """Where Rails lives in the image, as it was answered."""
        return str(self.answers.get("rails_root") or facts.RAILS_ROOT)

    def in_container(self, path: str) -> str:
        """Return the database `path` of the answers as containers see it."""
        return facts.in_container(path, self.rails_root)

    def is_own(self, file: str) -> bool:
        """Return whether `file` is its owner's, and edited in place."""
        return file in (self.answers.get("own_files") or ())

    @property
    def destinations(self) -> dict[str, dict[str, Any]]:
        """The answers of every destination but the main one: name → databases and volumes."""
        return self.answers.get("destinations") or {}

    def tree(self, file: str) -> yaml.Node | None:
        """Return `file` as a tree with line numbers, None where it is no YAML mapping."""
        try:
            node = yaml.compose(self.text(file) or "", Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError):
            return None
        return node if isinstance(node, yaml.MappingNode) else None

    def replicated_by(self, file: str) -> list[Place]:
        """Return the `path` of every entry of a Litestream configuration's `dbs`."""
        entries = child(self.tree(file), "dbs")
        if not isinstance(entries, yaml.SequenceNode):
            return []
        paths = [child(entry, "path") for entry in entries.value]
        return [Place(str(p.value), line(p)) for p in paths if isinstance(p, yaml.ScalarNode)]

    @cached_property
    def replicated(self) -> list[Place]:
        """What config/litestream.yml replicates, as containers see it."""
        return self.replicated_by(LITESTREAM)

    @property
    def opened(self) -> Databases:
        """What config/database.yml opens where the main deployment runs."""
        return self.inspected.databases

    @cached_property
    def inspected(self) -> AppFacts:
        """All that is read of the app without running it."""
        return inspect_app(self.root)

    @cached_property
    def lockfile(self) -> GemfileLock:
        """Gemfile.lock; without gems, and with the reason, where it cannot be read."""
        return gemfile_lock(self.root)


def load_mapping(text: str | None) -> dict[str, Any] | None:
    """Return the YAML mapping in `text`, or None where it is none."""
    try:
        loaded = yaml_input.load(text or "", "it")
    except BadInput:
        return None
    return loaded if isinstance(loaded, dict) else None


def yaml_error(file: str, text: str) -> tuple[int, str] | None:
    """Return line and message of what makes `text` no YAML, None where it is YAML."""
    try:
        for _ in yaml.compose_all(text, Loader=yaml.SafeLoader):
            pass
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = f"{file} is not valid YAML: {yaml_input.problem(error)}"
        return (mark.line + 1 if mark else 0), said
    except RecursionError:
        return 0, f"{file} is nested too deeply to be meant"
    return None


def line(node: yaml.Node) -> int:
    """Return the line, from 1, that `node` starts on."""
    return int(node.start_mark.line) + 1


def items(node: yaml.Node | None) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Yield key and value of a mapping node, nothing for another one."""
    if isinstance(node, yaml.MappingNode):
        yield from node.value


def child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """Return the value of `key` in a mapping node, None where it is not there."""
    return next((value for name, value in items(node) if name.value == key), None)
