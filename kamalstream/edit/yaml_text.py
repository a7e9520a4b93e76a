"""The one engine that edits YAML as text: what is not meant to change stays, to the byte.

Where to edit comes from the marks PyYAML gives its events. Whether an edit is right is not argued
from the many ways to write YAML: the edited text is parsed again and must say, event by event, what
the old one said with exactly the change that was meant. Anything else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import yaml

from kamalstream.edit import erb as erb_tags
from kamalstream.edit.edited import UnsureError
from kamalstream.edit.yaml_nodes import MERGE, Meaning, Node, parse
from kamalstream.edit.yaml_scalars import STR, Scalar, is_plain, meaning, written

Path = tuple[str, ...]
Edit = tuple[int, int, str]

_BREAK = re.compile(r"\r\n|\n|\r")
_ANCHOR = re.compile(r"&\S+[ \t]+")
_COMMENT = re.compile(r"( *)(?:#|<%#)")
_DASH = re.compile(r"^( *)-(?=\s)", re.MULTILINE)
# Psych counts the mark as a column, and so takes the first key alone or none.
_HIDDEN_FROM_RUBY = re.compile(r"\ufeff[ \t]*[^\s#]")
_MAP: Meaning = ("MappingStartEvent", None, None, None)
_MAP_END: Meaning = ("MappingEndEvent", None, None, None)
_LIST: Meaning = ("SequenceStartEvent", None, None, None)
_LIST_END: Meaning = ("SequenceEndEvent", None, None, None)


def _says(value: Scalar) -> Meaning:
    return "ScalarEvent", None, *meaning(value)


@dataclass(frozen=True)
class _Entry:
    parent: Node
    key: Node
    value: Node


class YamlText:
    """The text of a YAML mapping, never changed: each edit returns a new one.

    `text` is the text, `data` what it says. With `erb`, tags that put something there are opaque:
    in `data` they stand as they are written. Raises UnsureError where the text is not one YAML
    mapping, or code decides what it says. Every edit raises UnsureError where it cannot be made
    with certainty: its `why` names keys of the path and nothing else of the text.
    """

    def __init__(self, text: str, *, erb: bool = True) -> None:
        """Read `text`."""
        self.text = text
        self._erb = erb
        # Its places are those of the text; lines that a tag joins are one.
        masked = erb_tags.mask(text) if erb else (text, text, lambda value, *_: value)
        self._plain, self._read, unmask = masked
        if _HIDDEN_FROM_RUBY.match(text):
            raise UnsureError("a byte order mark before the first key hides the rest from Ruby", 1)
        document = parse(self._read, unmask, self._line_of)
        self.data: dict[str, Any] = document.data
        self._root = document.root
        self._meanings = document.meanings
        self._aliased = {said[1] for said in document.meanings if said[0] == "AliasEvent"}

    def value(self, path: Path) -> Any:
        """Return the value at `path`, None where there is none."""
        value: Any = self.data
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def has(self, path: Path) -> bool:
        """Whether there is an entry at `path`, be it by an alias or a merge."""
        parent = self.value(path[:-1])
        return isinstance(parent, dict) and path[-1] in parent

    def line(self, path: Path) -> int:
        """Return the line, from 1, of the key at `path`; 0 where it is not written out."""
        entry = self._written_out(path)
        return self._line_of(entry.key.start) if entry else 0

    def block(self, path: Path) -> list[str]:
        """Return the lines of the entry at `path` from column 0, with the comment above it."""
        entry = self._written_out(path)
        if entry is None:
            raise UnsureError(f"`{path[-1]}` is not written out there")
        top, column = self._top(entry.key), entry.key.column
        lines = self._lines(top, self._after(entry.value, column))
        indent = re.compile(f" {{0,{column}}}")
        return [indent.sub("", self.text[a:b].rstrip("\r\n"), count=1) for a, b in lines]

    def add(
        self,
        path: Path,
        block: Sequence[str],
        *,
        tight: bool = False,
        over: re.Pattern[str] | None = None,
    ) -> YamlText:
        """Return the text with `block` (from column 0) as the entry at `path`, which is not there.

        It comes last in its parent, which is made if it is missing, and first in one in brackets.
        At the end of the file a blank line comes before it. `tight` leaves that out, and puts
        the entry first in a parent with entries, right below the parent's key. A line of the
        parent that is a comment which `over` fits gives way to it.
        """
        key = path[-1]
        if self.has(path):
            raise UnsureError(f"`{key}` is there already", self.line(path))
        lines, meant = list(block), self._entry_in(block, key)
        content = [line.strip() for line in block if not re.match(r"\s*(#|$)", line)]
        inline = content[0] if len(content) == 1 else None
        route = self._route(path)
        made = path[len(route) : -1]
        for name in reversed(made):
            lines = [f"{written(name)}:", *(f"  {line}" if line else "" for line in lines)]
            inline = inline and f"{written(name, flow=True)}: {{{inline}}}"
            meant = [_says(name), _MAP, *meant, _MAP_END]
        parent = route[-1].value if route else self._root
        if not route and not tight and self.text.strip():
            lines = ["", *lines]
        if parent is None:
            edit = self._insertion(len(self.text), 0, lines)
            return self._edited([edit], 0, len(self._meanings), [_MAP, *meant, _MAP_END])
        if parent.is_null:
            return self._filled(route[-1], lines, inline and f"{{{inline}}}", _MAP, meant, _MAP_END)
        if over and route and not made and not parent.flow:
            found = self._comment(route[-1], over)
            if found:
                column = parent.items[0].column
                edit = (*found, "\n".join(" " * column + line for line in lines))
                after = [key.first for key, _ in parent.pairs if key.start > found[0]]
                position = min(after, default=parent.last - 1)
                return self._edited([edit], position, position, meant)
        first = parent.flow or (tight and not made and bool(route))
        if parent.flow:
            if inline is None:
                raise UnsureError("its mapping is written in braces", self._line_of(parent.start))
            at = parent.items[0].start if parent.items else parent.stop - 1
            edit = at, at, inline + ", " * bool(parent.items)
        else:
            column = parent.items[0].column
            at = self._after(parent, column) if route else parent.stop
            if first:
                at = self._below(route[-1].key)
            edit = self._insertion(at, column, lines)
        position = parent.first + 1 if first else parent.last - 1
        return self._edited([edit], position, position, meant)

    def append(self, path: Path, items: Sequence[Scalar], comments: Sequence[str] = ()) -> YamlText:
        """Return the text with `items` last in the list at `path`, which is made if it is missing.

        They are written as the last item there is; `comments` (`# …`) come above them, except in a
        list in brackets.
        """
        if not items:
            return self
        route = self._route(path)
        value = route[-1].value if len(route) == len(path) else None
        if value is not None:
            self._sure(value, path[-1])
        last = value.items[-1].event if value and value.items else None
        quotes = last.style if isinstance(last, yaml.ScalarEvent) else None
        lines = [*comments, *(f"- {written(item, quotes, erb=self._erb)}" for item in items)]
        inline = ", ".join(written(item, quotes, flow=True, erb=self._erb) for item in items)
        meant = [_says(item) for item in items]
        if value is None:
            return self.add(path, [f"{written(path[-1])}:", *(f"  {line}" for line in lines)])
        if value.is_null:
            return self._filled(route[-1], lines, f"[{inline}]", _LIST, meant, _LIST_END)
        if not value.is_list:
            raise UnsureError(f"`{path[-1]}` is no list", self._line_of(route[-1].key.start))
        if value.flow:
            at = value.items[-1].end if value.items else value.stop - 1
            edit = at, at, ", " * bool(value.items) + inline
        else:
            dash = _DASH.search(self._plain, self._line_start(value.start))
            column = len(dash[1]) if dash else 0
            edit = self._insertion(self._after(value, column), column, lines)
        return self._edited([edit], value.last - 1, value.last - 1, meant)

    def set(self, path: Path, value: Scalar, *, quotes: str | None = None) -> YamlText:
        """Return the text with `value` in the place of the scalar at `path`.

        It is written in `quotes` or as the old one, where that is safe. The text stays as it is
        where it says so already, to PyYAML and to Psych.
        """
        now = self._written_out(path, follow=True)
        if now and now.value.meaning[2:] == meaning(value):
            style = getattr(now.value.event, "style", None)
            if style or not isinstance(value, str) or is_plain(value, erb=self._erb):
                return self
        entry = self._entry(path)
        old = entry.value
        self._sure(old, path[-1])
        found = _ANCHOR.match(self._plain, old.start)
        start = found.end() if found else old.start
        style = getattr(old.event, "style", "|")
        if style in ("|", ">") or _BREAK.search(self._plain, start, old.end):
            why = f"`{path[-1]}` has a value of several lines or parts"
            raise UnsureError(why, self._line_of(old.start))
        piece = written(value, quotes or style, flow=entry.parent.flow, erb=self._erb)
        edit = start, old.end, " " * (start == old.end) + piece
        meant: Meaning = ("ScalarEvent", old.event.anchor, *meaning(value))
        return self._edited([edit], old.first, old.last, [meant])

    def remove(self, path: Path) -> YamlText:
        """Return the text without the entry at `path`, and without the parents that it empties.

        The comment directly above each goes with it, and one of two blank lines around them.
        """
        self._entry(path)
        gone = self._route(path)
        outermost = len(gone) - 1
        while outermost and len(gone[outermost].parent.pairs) == 1:
            outermost -= 1
        gone = gone[outermost:]
        outer, inner = gone[0], gone[-1]
        whole = outer.parent is self._root and len(outer.parent.pairs) == 1
        first, last = outer.key.first, outer.value.last
        if whole:
            first, last = 0, len(self._meanings)
        if outer.parent.flow and not whole:
            spans = [(key.start, value.end) for key, value in outer.parent.pairs]
            edits = [_cut(spans, spans.index((outer.key.start, outer.value.end)))]
        else:
            if any(entry.parent.flow for entry in gone[1:]):
                gone, inner = [outer], outer
            heads = [(self._top(one.key), self._below(one.key)) for one in gone[:-1]]
            end = self._after(inner.value, inner.key.column)
            edits = self._without([*heads, (self._top(inner.key), end)])
        return self._edited(edits, first, last, [])

    def remove_items(self, path: Path, items: Sequence[Scalar]) -> YamlText:
        """Return the text without those of `items` that are in the list at `path`.

        The comment directly above each goes with it, and the entry when nothing is left.
        """
        value = self._entry(path).value
        self._sure(value, path[-1])
        if not value.is_list:
            raise UnsureError(f"`{path[-1]}` is no list", self._line_of(value.start))
        meant = [_says(item) for item in items]
        gone = [n for n, item in enumerate(value.items) if item.meaning in meant]
        if not gone:
            return self
        if len(gone) == len(value.items):
            return self.remove(path)
        item = value.items[gone[-1]]
        if value.flow:
            edits = [_cut([(one.start, one.end) for one in value.items], gone[-1])]
        else:
            dash = _DASH.match(self._plain, self._line_start(item.start))
            if dash is None:
                raise UnsureError("an item has no line of its own", self._line_of(item.start))
            column = len(dash[1])
            top = self._above(self._line_start(item.start), column)
            edits = self._without([(top, self._after(item, column))])
        return self._edited(edits, item.first, item.last, []).remove_items(path, items)

    def replace_items(self, path: Path, old: str, new: str) -> YamlText:
        """Return the text with `new` in the place of `old` in the list at `path`.

        An item may be the text, or a mapping with it as its key (`- HOST: tags`). Each is written
        in the quotes of the old one, where that is safe.
        """
        value = self._entry(path).value
        self._sure(value, path[-1])
        for item in value.items if value.is_list else ():
            node = item.pairs[0][0] if item.pairs else item
            if node.meaning == _says(old):
                style = getattr(node.event, "style", None)
                flow = value.flow or item.flow
                piece = written(new, style, flow=flow, erb=self._erb)
                edit = node.start, node.end, piece
                changed = self._edited([edit], node.first, node.last, [_says(new)])
                return changed.replace_items(path, old, new)
        return self

    def indent_under(self, path: Path, key: str) -> YamlText:
        """Return the text with all entries of the mapping at `path` below a new `key` in it."""
        entry = self._entry(path)
        value = entry.value
        self._sure(value, path[-1])
        if not value.is_mapping or value.flow:
            why = f"`{path[-1]}` has no entries on lines of their own"
            raise UnsureError(why, self._line_of(entry.key.start))
        start, end = self._below(entry.key), self._after(value, entry.key.column)
        lines = [a for a, b in self._lines(start, end) if self.text[a:b].strip()]
        edits = [
            *((at, at, "  ") for at in lines),
            self._insertion(start, value.items[0].column, [f"{written(key)}:"]),
        ]
        within = self._meanings[value.first + 1 : value.last - 1]
        meant = [value.meaning, _says(key), _MAP, *within, _MAP_END, _MAP_END]
        return self._edited(edits, value.first, value.last, meant)

    # The change, and the proof of it

    def _edited(
        self, edits: Sequence[Edit], first: int, last: int, meant: Sequence[Meaning]
    ) -> YamlText:
        """Apply `edits`, which have `meant` said in the place of what `first` to `last` say.

        Of edits at one place, each is put before those above it.
        """
        text, line = self.text, self._line_of(edits[0][0])
        for start, end, piece in sorted(edits, key=lambda edit: edit[0], reverse=True):
            text = text[:start] + piece + text[end:]
        try:
            new = YamlText(text, erb=self._erb)
        except UnsureError:
            new = None
        if new is None or new._meanings != [
            *self._meanings[:first],
            *meant,
            *self._meanings[last:],
        ]:
            raise UnsureError("the change cannot be put here with certainty", line)
        return new

    def _filled(
        self, entry: _Entry, lines: Sequence[str], inline: str | None, *meant: Any
    ) -> YamlText:
        """Put a value in the place of none: `lines` below the key, `inline` where null stands."""
        opening, within, closing = meant
        value = entry.value
        if value.start == value.end and not entry.parent.flow:
            edit = self._insertion(self._below(entry.key), entry.key.column + 2, lines)
        elif inline is None:
            raise UnsureError("null is written out here", self._line_of(value.start))
        else:
            edit = value.start, value.end, " " * (value.start == value.end) + inline
        return self._edited([edit], value.first, value.last, [opening, *within, closing])

    def _entry_in(self, block: Sequence[str], key: str) -> list[Meaning]:
        """Return what `block` says: one entry named `key`."""
        try:
            own = YamlText("".join(f"{line}\n" for line in block), erb=self._erb)
        except UnsureError:
            own = None
        pairs = own._root.pairs if own and own._root and not own._root.flow else []
        if own is None or [pair[0].meaning[2:] for pair in pairs] != [(STR, key)]:
            raise UnsureError(f"the lines to put there are no entry `{key}`")
        return own._meanings[1:-1]

    # Finding

    def _written_out(self, path: Path, *, follow: bool = False) -> _Entry | None:
        """Return the entry that counts, with `follow` through aliases too."""
        node, entry = self._root, None
        for key in path:
            found = node.named(key) if node else []
            if node is None or not found:
                return None
            name, node = found[-1]
            parent = entry.value if entry else self._root
            assert parent
            if follow and node.is_alias:
                [node] = node.items
            entry = _Entry(parent, name, node)
        return entry

    def _route(self, path: Path) -> list[_Entry]:
        """Return the entries on `path` as far as it goes, each certain to be what counts."""
        route: list[_Entry] = []
        node, name = self._root, ""
        for key in path:
            if node is None:
                break
            self._sure(node, name)
            if node.is_null:
                break
            line = self._line_of(node.start)
            called = f"`{name}`" if name else "the file"
            if not node.is_mapping:
                raise UnsureError(f"{called} is no mapping", line)
            merges = any(one.meaning[2] == MERGE for one, _ in node.pairs)
            if merges and self.has(path[: len(route) + 1]):
                raise UnsureError(f"a merge key (<<) decides what stands in {called}", line)
            found = node.named(key)
            if len(found) > 1:
                raise UnsureError(
                    f"the key `{key}` stands there twice", self._line_of(found[-1][0].start)
                )
            if not found:
                break
            route.append(_Entry(node, *found[0]))
            node, name = found[0][1], key
        return route

    def _entry(self, path: Path) -> _Entry:
        route = self._route(path)
        if not path or len(route) < len(path):
            raise UnsureError(f"`{'.'.join(path)}` is not there")
        return route[-1]

    def _sure(self, node: Node, name: str) -> None:
        """Raise UnsureError unless `node` is written here and nowhere repeated."""
        called, line = f"`{name}`" if name else "the file", self._line_of(node.start)
        if node.is_alias:
            raise UnsureError(f"{called} is an alias (*) of what stands elsewhere", line)
        if node.event.anchor in self._aliased:
            raise UnsureError(f"aliases (*) elsewhere repeat what stands in {called}", line)
        if getattr(node.event, "tag", None) is not None:
            raise UnsureError(f"{called} has a tag (!)", line)

    # Places

    def _line_of(self, at: int) -> int:
        return self.text.count("\n", 0, at) + 1

    def _line_start(self, at: int) -> int:
        return max(self._plain.rfind(char, 0, at) for char in "\r\n") + 1

    def _next_line(self, at: int) -> int:
        found = _BREAK.search(self._plain, at)
        return found.end() if found else len(self._plain)

    def _lines(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        while start < end:
            yield start, self._next_line(start)
            start = self._next_line(start)

    def _key_line(self, key: Node) -> int:
        """Return the start of the line of a key that is the first on it, written as `key:`."""
        start = self._line_start(key.start)
        own = not self._plain[start : key.start].strip(" ")
        if not own or not re.compile(r"[ \t]*:(?:\s|\Z)").match(self._plain, key.end):
            why = f"`{key.meaning[3]}` has no line of its own"
            raise UnsureError(why, self._line_of(key.start))
        return start

    def _top(self, key: Node) -> int:
        return self._above(self._key_line(key), key.column)

    def _below(self, key: Node) -> int:
        self._key_line(key)
        return self._next_line(key.end)

    def _above(self, start: int, column: int) -> int:
        """Return where the comment begins that stands in `column` directly above `start`."""
        while start:
            previous = self._line_start(start - 1 - self._plain.endswith("\r\n", 0, start))
            if self._comment_column(previous) != column:
                break
            start = previous
        return start

    def _after(self, node: Node, column: int) -> int:
        """Return where the lines of `node` end, with the comments below it right of `column`."""
        end = self._next_line(len(self._read[: node.end].rstrip()))
        for start, after in self._lines(end, len(self._plain)):
            if self._plain[start:after].strip():
                if self._comment_column(start) <= column:
                    break
                end = after
        return end

    def _comment_column(self, start: int) -> int:
        """Return in which column of the line at `start` a comment is all there is, -1: none."""
        found = _COMMENT.match(self.text, start)
        return len(found[1]) if found else -1

    def _comment(self, entry: _Entry, fits: re.Pattern[str]) -> tuple[int, int] | None:
        """Return where the last comment below the key of `entry` begins and ends that `fits`."""
        below, after = self._below(entry.key), self._after(entry.value, entry.key.column)
        found = None
        for start, end in self._lines(below, after):
            line = self.text[start:end].rstrip("\r\n")
            if self._comment_column(start) >= 0 and fits.fullmatch(line.strip()):
                found = start, start + len(line)
        return found

    def _insertion(self, at: int, column: int, lines: Sequence[str]) -> Edit:
        above = _BREAK.findall(self._plain, 0, at)
        end = (above[-1:] or _BREAK.findall(self._plain)[:1] or ["\n"])[0]
        piece = end.join(" " * column + line if line else "" for line in lines)
        if at == 0 or self._plain[at - 1] in "\r\n":
            return at, at, piece + end
        return at, at, end + piece

    def _without(self, spans: Sequence[tuple[int, int]]) -> list[Edit]:
        """Cut whole lines, and what they leave behind at their ends."""
        if any(end != start for (_, end), (start, _) in pairwise(spans)):
            return [(start, end, "") for start, end in spans]
        start, end = spans[0][0], spans[-1][1]
        above = self._line_start(start - 1 - self._plain.endswith("\r\n", 0, start)) if start else 0
        below = self.text[end : self._next_line(end)].strip()
        if above < start and not self.text[above:start].strip() and below in ("", "..."):
            start = above
        if end == len(self.text) and start and self.text[-1] not in "\r\n":
            start -= 1 + self._plain.endswith("\r\n", 0, start)
        return [(start, end, "")]


def _cut(spans: Sequence[tuple[int, int]], number: int) -> Edit:
    """Cut one of the things in brackets, and the comma with it."""
    start, end = spans[number]
    if number:
        start = spans[number - 1][1]
    elif len(spans) > 1:
        end = spans[1][0]
    return start, end, ""
