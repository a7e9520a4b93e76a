"""What stands where in a YAML text: its nodes with their places, aliases and anchors as written.

PyYAML composes and constructs; its events are what is looked at here, because a composed alias
stands where its anchor does and says nothing of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from kamalstream.edit.edited import UnsureError
from kamalstream.edit.erb import Unmask
from kamalstream.edit.yaml_scalars import NULL, STR

# What one event says, without place and style: kind, anchor, tag, value.
Meaning = tuple[str, str | None, str | None, str | None]

MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Node:
    """A node, or an alias, where it is written.

    Its meanings are those from `first` to before `last` of the document. It begins at `start`, in
    `column` (from 0), be it with an anchor. `end` is the place after its last character, `stop`
    that of the next token where it is a block. The one item of an alias is what it stands for.
    """

    event: yaml.NodeEvent
    meaning: Meaning
    first: int
    last: int
    start: int
    column: int
    end: int
    stop: int
    items: tuple[Node, ...]

    @property
    def is_mapping(self) -> bool:
        """Whether it is a mapping."""
        return isinstance(self.event, yaml.MappingStartEvent)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.event, yaml.SequenceStartEvent)

    @property
    def is_alias(self) -> bool:
        """Whether it is an alias."""
        return isinstance(self.event, yaml.AliasEvent)

    @property
    def is_null(self) -> bool:
        """Whether it is null, written out or not."""
        return self.meaning[2] == NULL

    @property
    def flow(self) -> bool:
        """Whether it is a mapping or list in brackets."""
        return bool(getattr(self.event, "flow_style", False))

    @property
    def pairs(self) -> list[tuple[Node, Node]]:
        """The keys and values of a mapping."""
        return list(zip(self.items[::2], self.items[1::2], strict=True)) if self.is_mapping else []

    def named(self, key: str) -> list[tuple[Node, Node]]:
        """Return the entries with this key."""
        return [pair for pair in self.pairs if pair[0].meaning[2:] == (STR, key)]


@dataclass(frozen=True)
class Document:
    """The one document of a text; `root` is None where nothing stands in it."""

    root: Node | None
    data: dict[Any, Any]
    meanings: list[Meaning]


def parse(plain: str, unmask: Unmask, line: Callable[[int], int]) -> Document:
    """Return the mapping in `plain`, with `unmask` done to its scalars.

    Raises UnsureError where it is no mapping, in the line that `line` gives for a place.
    """
    loader = _Loader(unmask)
    why, at = "", 0
    try:
        loader.read(plain)
        data = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        several = "single document" in (error.context or "")
        why = "several documents" if several else f"not valid YAML: {error.problem}"
        at = line(error.problem_mark.index) if error.problem_mark else 0
    except yaml.reader.ReaderError as error:
        why, at = f"not valid YAML: {error.reason}", line(error.position)
    except (yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError, TypeError):
        why = "not valid YAML"
    except RecursionError:
        why = "nested too deep"
    # Raised here, so that no exception with the text in it hangs on this one.
    if why:
        raise UnsureError(f"it is {why}", at)
    tree = _Tree([event for event in loader.events if isinstance(event, _OF_NODES)], line)
    root = tree.node() if tree.events else None
    if root is not None and root.is_null and root.end == root.start:
        root, tree.meanings = None, []
    if root is not None and not root.is_mapping:
        raise UnsureError("it is no mapping (`name: value` lines)", line(root.start))
    return Document(root, data if root else {}, tree.meanings)


_OF_NODES = (yaml.NodeEvent, yaml.CollectionEndEvent)


class _Loader(yaml.SafeLoader):
    """Keeps the events, and makes text of what has an unknown tag or no value in Python."""

    def __init__(self, unmask: Unmask) -> None:
        self.unmask = unmask
        self.events: list[yaml.Event] = []

    def read(self, plain: str) -> None:
        super().__init__(plain)

    def get_event(self) -> yaml.Event:
        event: yaml.Event = super().get_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.ScalarEvent):
            start: Any = event.start_mark
            end: Any = event.end_mark
            event.value = self.unmask(event.value, start.index, end.index)
        self.events.append(event)
        return event

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, OverflowError, LookupError, AttributeError):
            if not isinstance(node, yaml.ScalarNode):
                raise
            # A date such as 2024-13-99, or a number of too many digits.
            self.recursive_objects.pop(node, None)
            return node.value

    def construct_unknown(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        return node.value


_Loader.add_constructor(None, _Loader.construct_unknown)


class _Tree:
    """Makes nodes of events."""

    def __init__(self, events: Sequence[yaml.Event], line: Callable[[int], int]) -> None:
        self.events = events
        self.line = line
        self.resolver = yaml.resolver.Resolver()
        self.meanings = [self.meaning(event) for event in events]
        self.anchors: dict[str, Node] = {}
        self.at = 0

    def meaning(self, event: yaml.Event) -> Meaning:
        tag, value = getattr(event, "tag", None), getattr(event, "value", None)
        if isinstance(event, yaml.ScalarEvent) and tag in (None, "!"):
            tag = self.resolver.resolve(  # type: ignore[no-untyped-call]
                yaml.ScalarNode, value, event.implicit
            )
        return type(event).__name__, getattr(event, "anchor", None), tag, value

    def node(self) -> Node:
        first, event = self.at, self.events[self.at]
        assert isinstance(event, yaml.NodeEvent)
        self.at += 1
        items: list[Node] = []
        closing: yaml.Event = event
        if isinstance(event, yaml.CollectionStartEvent):
            while not isinstance(closing := self.events[self.at], yaml.CollectionEndEvent):
                items.append(self.node())
            self.at += 1
        mark: Any = event.start_mark
        closed: Any = closing.end_mark
        block = items and not getattr(event, "flow_style", False)
        end = items[-1].end if block else closed.index
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise UnsureError("something contains itself", self.line(mark.index))
            items = [self.anchors[event.anchor]]
        node = Node(
            event=event,
            meaning=self.meanings[first],
            first=first,
            last=self.at,
            start=mark.index,
            column=mark.column,
            end=end,
            stop=closed.index,
            items=tuple(items),
        )
        for key, _ in node.pairs:
            if "<%" in (key.meaning[3] or "").replace("<%%", ""):
                raise UnsureError("code (<%= … %>) names a key", self.line(key.start))
        if event.anchor and not node.is_alias:
            self.anchors[event.anchor] = node
        return node
