"""Reads YAML with ERB in it as Rails and Kamal would see it in production, without Ruby.

Each `<%= … %>` whose value is certain is put into the text before the YAML is read, as ERB does;
the others leave a mark, and who asks for a value with such a mark in it gets an UnknownValueError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import yaml

from kamalstream.inspect.ruby_expression import (
    Environment,
    Known,
    UnknownValueError,
    assign,
    evaluate,
)
from kamalstream.inspect.unreadable import Unreadable, UnreadableError, source_line
from kamalstream.regular_file import read_text

# Rails has no trim mode (ActiveSupport::ConfigurationFile#render), Kamal has "-"
# (Kamal::Configuration.load_config_file).
_TAG = re.compile(r"<%%|<%(?P<kind>[=#]?)(?P<code>.*?)(?<!%)%>", re.DOTALL)
_MARK = "ERB_NOT_READ"
_OPENS = re.compile(
    r"\s*(?:if|unless|case|while|until|for|begin)\b|.*(?:\bdo|\{)\s*(?:\|[^|]*\|)?\s*\Z", re.DOTALL
)
_BRANCHES = re.compile(r"\s*(?:else|elsif|when|in|rescue|ensure)\b")
_CLOSES = re.compile(r"\s*(?:end\b|\})")


class _Loader(yaml.SafeLoader):
    """Takes an anchor given twice, as Psych does: an alias means the latest."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(getattr(event, "anchor", None), None)
        return super().compose_node(parent, index)


@dataclass(frozen=True)
class _Tag:
    """One ERB output: its place in the expanded text, and what it gave or why it gave nothing."""

    start: int
    end: int
    line: int
    value: Known | UnknownValueError


@dataclass(frozen=True)
class Entry:
    """One pair of a mapping."""

    key: yaml.Node
    value: yaml.Node


class Document:
    """A YAML file with ERB: nodes by `mapping`, text by `scalar`, places by `unreadable`."""

    def __init__(self, file: str, source: str, env: Environment, trim: bool = False) -> None:
        """Read `source`, called `file` in what is said about it.

        `env` is what `evaluate` takes; with `trim`, ERB has the trim mode "-". Raises
        UnreadableError where code decides the shape of the whole file.
        """
        self.file = file
        self._source = source if source.endswith("\n") else source + "\n"
        self._tags: list[_Tag] = []
        self._lines = [1]
        text = self._expand(env, trim)
        try:
            self.root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or "not text"
            line = self._lines[min(mark.line, len(self._lines) - 1)] if mark else 0
            raise UnreadableError(
                [self._place(line, f"this is not valid YAML: {problem}")]
            ) from None
        self.assumed_by_shape = self._check_shape(text)

    def _expand(self, env: Environment, trim: bool) -> str:
        """Return the text after ERB, with a mark for each output that is not known."""
        out, at, line = "", 0, 1
        variables: dict[str, Known] = {}
        problems: list[Unreadable] = []
        for tag in _TAG.finditer(self._source):
            plain = self._source[at : tag.start()]
            self._refuse_open_tag(plain, line)
            out += plain
            self._lines += range(line + 1, line + 1 + plain.count("\n"))
            line += plain.count("\n")
            at = tag.end()
            code = (tag["code"] or "").replace("%%>", "%>")
            if tag[0] == "<%%":
                out += "<%"
            elif tag["kind"] == "=":
                value = _value(code, env, variables)
                shown = value.text if isinstance(value, Known) else None
                if shown is None and not out[out.rfind("\n") + 1 :].strip():
                    problems.append(self._tag(line, tag[0], "code puts whole lines here"))
                # An empty output stretches back over blanks, to where YAML sees a null.
                start = len(out.rstrip(" ")) if shown == "" else len(out)
                out += _MARK if shown is None else shown
                self._tags.append(_Tag(start, len(out), line, value))
            elif tag["kind"] == "":
                try:
                    # The line end that <% -%> takes away leaves blank lines, at most.
                    env = assign(code.strip("-") if trim else code, env, variables)
                except UnknownValueError:
                    problems.append(self._tag(line, tag[0], "code decides what the file says"))
            line += tag[0].count("\n")
        if problems:
            raise UnreadableError(problems)
        rest = self._source[at:]
        self._refuse_open_tag(rest, line)
        self._lines += range(line + 1, line + 1 + rest.count("\n"))
        return out + rest

    def _refuse_open_tag(self, text: str, line: int) -> None:
        before, opened, _ = text.partition("<%")
        if opened:
            line += before.count("\n")
            raise UnreadableError([self._place(line, "this ERB tag does not end")])

    def _check_shape(self, text: str) -> tuple[tuple[str, str], ...]:
        """Return what code outside values assumes; raise UnreadableError where it is unknown."""
        values = list(_values(self.root))
        assumed: tuple[tuple[str, str], ...] = ()
        for tag in self._tags:
            before = text[text.rfind("\n", 0, tag.start) + 1 : tag.start]
            if any(_within(tag, node) for node in values) or re.search(r"(^|\s)#", before):
                continue
            if isinstance(tag.value, UnknownValueError) or tag.value.text is None:
                raise UnreadableError([self._place(tag.line, "code decides what the file says")])
            assumed += tag.value.assumed
        return assumed

    def mapping(self, node: yaml.Node | None) -> dict[str, Entry]:
        """Return the pairs of a mapping node with its merges (`<<`) in Psych's order.

        Psych::Visitors::ToRuby#revive_hash: pairs and merges take effect in the order they are
        written, so that a merge after a key replaces it. Raises UnreadableError for a node that is
        no mapping of names.
        """
        if not isinstance(node, yaml.MappingNode):
            raise UnreadableError(
                [self.unreadable(node or self.root, "a mapping is expected here")]
            )
        pairs: dict[str, Entry] = {}
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for one in reversed(merged):
                    pairs.update(self.mapping(one))
                continue
            # Psych reads a plain :name as a symbol, which Rails then takes for the string.
            if not isinstance(key, yaml.ScalarNode) or key.value.startswith(":"):
                raise UnreadableError([self.unreadable(key, "a name is expected here")])
            pairs[key.value] = Entry(key, value)
        return pairs

    def scalar(self, node: yaml.Node) -> Known:
        """Return the text of a scalar node and what it assumes; null has the text None.

        Raises UnknownValueError where code in it is not known, or where it is no scalar.
        """
        if not isinstance(node, yaml.ScalarNode):
            raise UnknownValueError("a single value is expected here")
        assumed: tuple[tuple[str, str], ...] = ()
        for tag in self._tags:
            if not _within(tag, node):
                continue
            if isinstance(tag.value, UnknownValueError):
                raise tag.value
            if tag.value.text is None and node.value == _MARK and node.style is None:
                return tag.value
            tag.value.string()
            assumed += tag.value.assumed
        if node.tag == "tag:yaml.org,2002:null":
            return Known(None)
        return Known(str(node.value), assumed)

    def block(self, entry: Entry) -> str:
        """Return the lines of a pair as they stand in the file, ERB and comments included."""
        start = self.line(entry.key)
        end_mark = entry.value.end_mark
        end = self._lines[min(end_mark.line, len(self._lines) - 1)]
        # The end of a block is where the next token starts.
        in_block = isinstance(entry.value, yaml.CollectionNode) and not entry.value.flow_style
        if end > start and (in_block or end_mark.column == 0):
            end -= 1
        lines = self._source.splitlines()[start - 1 : end]
        while lines and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
            lines.pop()
        return "\n".join(lines) + "\n"

    def comment_below(
        self, key: yaml.Node, fits: re.Pattern[str]
    ) -> tuple[int, re.Match[str] | None]:
        """Return the line of the last comment further in below `key` that `fits`, and the match.

        Without one it is the line of `key`.
        """
        found: tuple[int, re.Match[str] | None] = (self.line(key), None)
        for number, line in enumerate(self._source.splitlines()[found[0] :], found[0] + 1):
            text = line.strip()
            if text and len(line) - len(line.lstrip()) <= key.start_mark.column:
                break
            if said := fits.fullmatch(text):
                found = number, said
        return found

    def unreadable(self, node: yaml.Node | None, why: str) -> Unreadable:
        """Return the place of `node` with the reason it cannot be read."""
        return self._place(self.line(node) if node else 0, why)

    def line(self, node: yaml.Node) -> int:
        """Return the line of the file, from 1, on which `node` starts."""
        return self._lines[node.start_mark.line]

    def _tag(self, line: int, text: str, why: str) -> Unreadable:
        return Unreadable(self.file, line, shorten(text, 80, placeholder=" …"), why)

    def _place(self, line: int, why: str) -> Unreadable:
        return Unreadable(self.file, line, source_line(self._source, line), why)


def alternatives(source: str) -> list[str]:
    """Return `source` without what blocks of code (`<% if … %>` to `<% end %>`) decide, and with.

    The first text has none of it; in the others each block has one of its branches, so that every
    branch is in one of them. Places stay on their lines. [] where the blocks are not understood, or
    there are none.
    """
    # Innermost last: the options of each open block, and the text of the branch so far.
    open_blocks: list[list[list[str]]] = []
    texts, at = [""], 0
    for tag in _TAG.finditer(source):
        plain, at = source[at : tag.start()], tag.end()
        texts = [text + plain for text in texts]
        code = (tag["code"] or "").strip("-") if tag["kind"] == "" else ""
        blank = "\n" * tag[0].count("\n")
        if tag["kind"] != "" or not (
            _OPENS.match(code) or _BRANCHES.match(code) or _CLOSES.match(code)
        ):
            texts = [text + tag[0] for text in texts]
        elif _CLOSES.match(code) or _BRANCHES.match(code):
            if not open_blocks:
                return []
            before, *branches = open_blocks.pop()
            branches.append([text + blank for text in texts])
            if _CLOSES.match(code):
                texts = _with_block(before, branches)
            else:
                open_blocks.append([before, *branches])
                texts = [""]
        else:
            open_blocks.append([[text + blank for text in texts]])
            texts = [""]
    if open_blocks or len(texts) == 1:
        return []
    return [text + source[at:] for text in texts]


def _with_block(before: list[str], branches: list[list[str]]) -> list[str]:
    """Return the texts `before` a block, each with one of what its `branches` may say, or none."""
    height = sum(branch[0].count("\n") for branch in branches)
    options = ["\n" * height]
    for index, branch in enumerate(branches):
        above = sum(other[0].count("\n") for other in branches[:index])
        below = height - above - branch[0].count("\n")
        options += ["\n" * above + text + "\n" * below for text in branch]
    longest = max(len(before), len(options))
    return [
        before[min(n, len(before) - 1)] + options[min(n, len(options) - 1)] for n in range(longest)
    ]


def read(app: Path, file: str, env: Environment, trim: bool = False) -> Document:
    """Read `file`, a path below `app`; raises UnreadableError, also where there is no such file.

    `env` and `trim` are as for Document.
    """
    try:
        source = read_text(app / file)
    except FileNotFoundError:
        raise UnreadableError([Unreadable(file, 0, "", "there is no such file")]) from None
    except (OSError, UnicodeDecodeError) as error:
        why = "this is not UTF-8" if isinstance(error, ValueError) else str(error.strerror)
        raise UnreadableError([Unreadable(file, 0, "", why)]) from None
    return Document(file, source, env, trim)


def _value(code: str, env: Environment, variables: dict[str, Known]) -> Known | UnknownValueError:
    try:
        value = evaluate(code, env, variables)
    except UnknownValueError as error:
        return error
    if "\n" in (value.text or ""):
        return UnknownValueError("its value has several lines")
    return value


def _within(tag: _Tag, node: yaml.ScalarNode) -> bool:
    """Tell whether `tag` gave a part of the scalar `node`."""
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(tag.value, Known) and tag.value.text == "":
        return bool(start <= tag.end and tag.start <= end)
    return bool(start < tag.end and tag.start < end)


def _values(root: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """Yield every scalar that is not a key once, although aliases reach the same node again."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield node
        elif isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
