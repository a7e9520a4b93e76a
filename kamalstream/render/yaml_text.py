"""A YAML file as text whose entries can be taken out and put in, comments and all."""

from __future__ import annotations

import re
from typing import Any

import yaml

Path = tuple[str, ...]


_STATEMENT = re.compile(r"<%(?![=%#]).*?%>", re.DOTALL)
_DECIDES = re.compile(r"\b(?:if|unless|else|elsif|end|each|do|case|when|while|then|yield)\b|\{")


class YamlText:
    """The text of a YAML mapping in block style.

    Kamal's ERB may stand in it: values stay as they are written, and statements that only prepare
    something are passed over. Raises ValueError, with the line, where the text is no YAML mapping
    or code decides what it says.
    """

    def __init__(self, text: str) -> None:
        """Read `text`."""
        self.lines = text.splitlines()
        for tag in _STATEMENT.finditer(self.text):
            if _DECIDES.search(tag[0]):
                raise ValueError(self.text.count("\n", 0, tag.start()) + 1)
        plain = _STATEMENT.sub(lambda tag: re.sub(r"[^\n]", " ", tag[0]), self.text)
        try:
            self._tokens = list(yaml.scan(plain, Loader=yaml.SafeLoader))
            self.data: dict[str, Any] = yaml.safe_load(plain) or {}
            self._root = yaml.compose(plain, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            raise ValueError(mark.line + 1 if mark else 0) from error
        if not isinstance(self._root, yaml.MappingNode):
            raise ValueError(0)
        # An alias means nothing where its anchor is not, so values are written out instead.
        self._aliased = any(isinstance(t, yaml.AliasToken) for t in self._tokens)

    @property
    def preamble(self) -> list[str]:
        """The lines of code before the first key."""
        assert isinstance(self._root, yaml.MappingNode)
        head = "\n".join(self.lines[: self._root.start_mark.line])
        return [line for tag in _STATEMENT.findall(head) for line in tag.splitlines()]

    @property
    def text(self) -> str:
        """The whole text."""
        return "\n".join(self.lines) + "\n"

    def value(self, path: Path) -> Any:
        """Return the value at `path`, None where there is none."""
        value: Any = self.data
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def line(self, path: Path) -> int:
        """Return the line, from 1, of the key at `path`; 0 where it is not written out."""
        pair = self._pair(path)
        return pair[0].start_mark.line + 1 if pair else 0

    def block(self, path: Path) -> list[str]:
        """Return the lines of the entry at `path` from column 0, with the comment above it."""
        pair = self._pair(path)
        if pair is None or self._aliased or self._is_flow(path):
            return yaml.safe_dump({path[-1]: self.value(path)}, sort_keys=False).splitlines()
        start, end = self._range(path)
        indent = pair[0].start_mark.column
        comment = start
        while comment and re.match(rf" {{{indent}}}#", self.lines[comment - 1]):
            comment -= 1
        lines = self.lines[comment:end]
        return [line[indent:] if line[:indent].isspace() else line for line in lines]

    def put(self, path: Path, block: list[str]) -> YamlText:
        """Return the text with `block` (from column 0) as the entry at `path`.

        It takes the place of the entry that is there, else it comes last in the mapping above.
        """
        if self._pair(path):
            start, end = self._range(path)
            block = block[next(i for i, line in enumerate(block) if not line.startswith("#")) :]
        elif len(path) == 1:
            start = end = len(self.lines)
            block = ["", *block]
        else:
            start = end = self._range(path[:-1])[1]
        return self._with(start, end, block, self._indent(path))

    def append(self, path: Path, items: list[str]) -> YamlText:
        """Return the text with `items` (YAML scalars as written) last in the sequence at `path`."""
        end = self._range(path)[1]
        pair = self._pair(path)
        assert pair
        column = pair[1].start_mark.column
        return self._with(end, end, [f"- {item}" for item in items], column)

    def _with(self, start: int, end: int, block: list[str], indent: int) -> YamlText:
        shifted = [" " * indent + line if line else line for line in block]
        return YamlText("\n".join([*self.lines[:start], *shifted, *self.lines[end:]]))

    def _indent(self, path: Path) -> int:
        parent = self._pair(path[:-1])
        node = parent[1] if parent else self._root
        assert isinstance(node, yaml.MappingNode)
        return int(node.value[0][0].start_mark.column)

    def _is_flow(self, path: Path) -> bool:
        parent = self._pair(path[:-1])
        node = parent[1] if parent else self._root
        assert isinstance(node, yaml.MappingNode)
        return bool(node.flow_style)

    def _pair(self, path: Path) -> tuple[yaml.Node, yaml.Node] | None:
        node: yaml.Node | None = self._root
        pair = None
        for key in path:
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            pair = next((one for one in pairs if one[0].value == key), None)
            if pair is None:
                return None
            node = pair[1]
        return pair

    def _range(self, path: Path) -> tuple[int, int]:
        """Return the first line (from 0) of an entry and the one after its last."""
        pair = self._pair(path)
        assert pair
        key, value = pair
        start, end = key.start_mark.line, value.end_mark.line
        block = isinstance(value, yaml.CollectionNode) and not value.flow_style
        # A block ends where the next token stands; an alias stands where its anchor does.
        end = max(start + 1, end if block or not value.end_mark.column else end + 1)
        while end > start + 1 and not self._belongs(self.lines[end - 1], key.start_mark.column):
            end -= 1
        return start, end

    def _belongs(self, line: str, indent: int) -> bool:
        """Whether the last line of an entry is its own: neither blank nor a comment further out."""
        bare = line.strip()
        return bool(bare) and (not bare.startswith("#") or not line[: indent + 1].strip())
