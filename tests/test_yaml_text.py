"""YAML edited as text: the change that was meant, nothing else, or a refusal."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import date
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from kamalstream.edit.edited import UnsureError
from kamalstream.edit.yaml_scalars import written
from kamalstream.edit.yaml_text import Path, YamlText
from tests.conftest import APPS, requires

Change = Callable[[YamlText], YamlText]


def add(path: str, *block: str, tight: bool = False) -> Change:
    return lambda text: text.add(tuple(path.split(".")), list(block), tight=tight)


def append(path: str, *items: Any, comments: tuple[str, ...] = ()) -> Change:
    return lambda text: text.append(tuple(path.split(".")), list(items), comments)


def set_to(path: str, value: Any) -> Change:
    return lambda text: text.set(tuple(path.split(".")), value)


def remove(path: str) -> Change:
    return lambda text: text.remove(tuple(path.split(".")))


def uncomment(path: str, over: str, *block: str) -> Change:
    return lambda text: text.add(tuple(path.split(".")), block, over=re.compile(over))


def remove_items(path: str, *items: Any) -> Change:
    return lambda text: text.remove_items(tuple(path.split(".")), list(items))


def indent_under(path: str, key: str) -> Change:
    return lambda text: text.indent_under(tuple(path.split(".")), key)


DONE: dict[str, tuple[str, Change, str]] = {
    "an entry comes last in its mapping, above what is commented out there": (
        "env:\n  clear:\n    A: 1\n\n    # B: 2\n\nx: 1\n",
        add("env.clear.C", "# why", "C: 3"),
        "env:\n  clear:\n    A: 1\n    # why\n    C: 3\n\n    # B: 2\n\nx: 1\n",
    ),
    "comments further in belong to the entry above": (
        "a:\n  db:\n    image: x\n    # port: 1\n  # end\nz: 1\n",
        add("a.l", "l:", "  - 1", "", "  - 2"),
        "a:\n  db:\n    image: x\n    # port: 1\n  l:\n    - 1\n\n    - 2\n  # end\nz: 1\n",
    ),
    "missing parents are made": (
        "a: 1\n",
        add("b.c.d", "# e", "d: 1"),
        "a: 1\n\nb:\n  c:\n    # e\n    d: 1\n",
    ),
    "the file gets a new entry after a blank line, before its end mark": (
        "---\na: 1\n# b\n...\n",
        add("c", "c: 1"),
        "---\na: 1\n# b\n\nc: 1\n...\n",
    ),
    "a text without an entry gets its first": ("# c\n", add("a", "a: 1"), "# c\n\na: 1\n"),
    "an empty text gets its first entry": ("", add("a.b", "b: 1"), "a:\n  b: 1\n"),
    "a key without a value gets one": (
        "a:\n  b: # none\n    # c\nd: 1",
        add("a.b.x", "x: 1"),
        "a:\n  b: # none\n    x: 1\n    # c\nd: 1",
    ),
    "null that is written out gets braces": (
        "a: ~ # c\n",
        add("a.b.c", "c: 1"),
        "a: {b: {c: 1}} # c\n",
    ),
    "braces get an entry": ("a: {x: 1}\n", add("a.b", "b: 2"), "a: {b: 2, x: 1}\n"),
    "an entry goes right below the key where it is to": (
        "a: # s\n  # x\n  x: 1\n",
        add("a.b", "b: 2", tight=True),
        "a: # s\n  b: 2\n  # x\n  x: 1\n",
    ),
    "the line ends are those of the neighbour": (
        "a:\r\n  b: 1\r\nc:\n  d: 1\n",
        add("a.e", "e: 1"),
        "a:\r\n  b: 1\r\n  e: 1\r\nc:\n  d: 1\n",
    ),
    "a missing final newline stays missing": (
        "a:\r\n  b: 1",
        add("a.c", "c: 1"),
        "a:\r\n  b: 1\r\n  c: 1",
    ),
    "four columns and a byte order mark stay": (
        "\ufeff# c\na:\n    b: 1\n",
        add("a.c", "c: 1"),
        "\ufeff# c\na:\n    b: 1\n    c: 1\n",
    ),
    "an item comes last in its list": (
        "v:\n  - a # x\n  # - b\n\nz: 1\n",
        append("v", "s:/x"),
        "v:\n  - a # x\n  - s:/x\n  # - b\n\nz: 1\n",
    ),
    "a list as far out as its key stays there": (
        "v:\n- a\n# of w\nw: 1\n",
        append("v", "b", comments=("# c",)),
        "v:\n- a\n# c\n- b\n# of w\nw: 1\n",
    ),
    "items get the quotes of the last one": (
        "v:\n    - 'a'\n",
        append("v", "b:/c", "it's", 1),
        "v:\n    - 'a'\n    - 'b:/c'\n    - \"it's\"\n    - 1\n",
    ),
    "a list in brackets stays in them": (
        "v: [ A, b ] # c\n",
        append("v", "C", "d:e"),
        'v: [ A, b, C, "d:e" ] # c\n',
    ),
    "a list in brackets over lines": (
        "v: [\n  A, # a\n  B # b\n]\n",
        append("v", "C"),
        "v: [\n  A, # a\n  B, C # b\n]\n",
    ),
    "an empty list gets an item": ("v: []\n", append("v", "A"), "v: [A]\n"),
    "a list that is null gets an item": ("v:\nw: ~\n", append("v", "A"), "v:\n  - A\nw: ~\n"),
    "a list is made": (
        "e:\n  c: 1\n",
        append("e.s", "A", comments=("# c",)),
        "e:\n  c: 1\n  s:\n    # c\n    - A\n",
    ),
    "an item with code keeps it": (
        "v:\n  - a\n",
        append("v", '<%= ENV["A"] %>:/x', '<%= "b" %> "c"'),
        'v:\n  - a\n  - <%= ENV["A"] %>:/x\n  - "<%= "b" %> \\"c\\""\n',
    ),
    "items below a nested one": (
        "v:\n  - - a\n  - b: 1\n",
        append("v", "c"),
        "v:\n  - - a\n  - b: 1\n  - c\n",
    ),
    "a value is replaced where it stands": ("a: b  # c\n", set_to("a", "d e"), "a: d e  # c\n"),
    "a value keeps its quotes": ("a: 'b' # c\n", set_to("a", "1"), "a: '1' # c\n"),
    "a value gets quotes when it needs them": ("a: b\n", set_to("a", "12e5"), 'a: "12e5"\n'),
    "a number loses its quotes": ('a: "b"\n', set_to("a", 1), "a: 1\n"),
    "a boolean": ("a: no # c\n", set_to("a", True), "a: true # c\n"),
    "nothing becomes something": ("a: # c\nb: 1\n", set_to("a", "x"), "a: x # c\nb: 1\n"),
    "code is replaced": ("a: <%= 1 +\n 2 %> # c\n", set_to("a", "x"), "a: x # c\n"),
    "an anchor without aliases stays": ("a: &x b\n", set_to("a", "c"), "a: &x c\n"),
    "a value in braces": ("a: {b: c, d: 1}\n", set_to("a.b", "x:y"), 'a: {b: "x:y", d: 1}\n'),
    "what is said already stays as it is": ("a: 'b'\n", set_to("a", "b"), "a: 'b'\n"),
    "an entry goes with its comment": (
        "# of a\n\n# on b\n# b\nb:\n  x: 1\n  # y\n\n# c\nc: 1\n",
        remove("b"),
        "# of a\n\n# c\nc: 1\n",
    ),
    "an emptied parent goes too, and what is commented out in it stays": (
        "e:\n  s: 1\n  # c\n  c:\n    # A: 1\n\n    # b\n    B: 1\nz: 1\n",
        remove("e.c.B"),
        "e:\n  s: 1\n    # A: 1\n\nz: 1\n",
    ),
    "the last entry goes without a final newline": ("a: 1\n\nb: 2", remove("b"), "a: 1"),
    "the only entry goes": ("# c\n\na:\n  b: 1\n", remove("a.b"), "# c\n"),
    "an entry goes out of braces": ("a: {b: 1, c: 2}\n", remove("a.c"), "a: {b: 1}\n"),
    "the only entry in braces takes its key along": ("z: 1\na: {b: 1}\n", remove("a.b"), "z: 1\n"),
    "items go with their comments": (
        "v:\n  - a\n  # b\n  - b\n  - c\n  - 1\n",
        remove_items("v", "b", "c", "1", True),
        "v:\n  - a\n  - 1\n",
    ),
    "all items take the key along": ("v: [a, b]\nz: 1\n", remove_items("v", "a", "b"), "z: 1\n"),
    "items go out of brackets": ("v: [a, b, c]\n", remove_items("v", "a", "c"), "v: [b]\n"),
    "no item, no change": ("v: [a]\n", remove_items("v", "b"), "v: [a]\n"),
    "a flat mapping moves below a key": (
        "env: # e\n  # a\n  A: |\n    x\n\n     y\n  B: 1\n  # C: 1\n\n# z\nz: 1\n",
        indent_under("env", "clear"),
        "env: # e\n  clear:\n    # a\n    A: |\n      x\n\n       y\n    B: 1\n    # C: 1\n\n"
        "# z\nz: 1\n",
    ),
    "comments of code are comments, other code stays": (
        "a: |\n  x\n<%# of b %>\nb: 1\n  <%# b %>\n<% y = 1 %>\nc: 1\n",
        lambda text: text.remove(("b",)).remove(("c",)),
        "a: |\n  x\n<% y = 1 %>\n",
    ),
    "code over lines moves as it is": (
        'env:\r\n  A: <%= f("\n b") %>',
        indent_under("env", "clear"),
        'env:\r\n  clear:\r\n    A: <%= f("\n b") %>',
    ),
    "anchors, tags and merges elsewhere do no harm": (
        "x: &x {a: 1}\ny:\n  <<: *x\nz: !ruby/object:A {b: 2024-13-99}\ne:\n  c: 1\n",
        add("e.d", "d: 1"),
        "x: &x {a: 1}\ny:\n  <<: *x\nz: !ruby/object:A {b: 2024-13-99}\ne:\n  c: 1\n  d: 1\n",
    ),
    "a merge that does not bring the key": (
        "a: &a\n  b: 1\nc:\n  <<: *a\n",
        add("c.d", "d: 1"),
        "a: &a\n  b: 1\nc:\n  <<: *a\n  d: 1\n",
    ),
    "a comment gives way": (
        "a:\n  b: 1\n  # c: 2\n  d: 3\n# c: 4\n",
        uncomment("a.c", "# c: \\d", "c: 5"),
        "a:\n  b: 1\n  c: 5\n  d: 3\n# c: 4\n",
    ),
    "a comment below the last entry gives way, line ends and all": (
        "a:\r\n  b: 1\r\n    # c: 2\r\n# c: 4",
        uncomment("a.c", "# c: \\d", "c: 5"),
        "a:\r\n  b: 1\r\n  c: 5\r\n# c: 4",
    ),
    "where no comment fits, the entry comes last": (
        "a:\n  # cc: 2\n  b: 1 # c: 2\n# c: 4\n",
        uncomment("a.c", "# c: \\d", "c: 5"),
        "a:\n  # cc: 2\n  b: 1 # c: 2\n  c: 5\n# c: 4\n",
    ),
    "code that only prepares something, and comments of code": (
        '<%# c %>\n<% name = "x"\n   more = {a: 1} %>\ne:\n  a: <%= name %> # <%= 1 %>\n<%# d %>\n',
        add("e.d", "d: 1"),
        '<%# c %>\n<% name = "x"\n   more = {a: 1} %>\ne:\n  a: <%= name %> # <%= 1 %>\n  d: 1\n'
        "<%# d %>\n",
    ),
}


@pytest.mark.parametrize("name", DONE)
def test_the_text_changes_as_meant_and_every_other_byte_stays(name: str) -> None:
    before, change, after = DONE[name]
    assert change(YamlText(before)).text == after


REFUSED: dict[str, tuple[str, Change | None, int, str]] = {
    "an alias": ("a: &a\n  b: 1\nc: *a\n", add("c.d", "d: 1"), 3, "`c` is an alias (*)"),
    "an aliased list": ("a: &a\n  - b\nc: *a\n", append("a", "x"), 1, "aliases (*) elsewhere"),
    "an alias as a list": ("a: &a\n  - b\nc: *a\n", append("c", "x"), 3, "`c` is an alias (*)"),
    "an aliased value": ("a: &a b\nc: *a\n", set_to("a", "x"), 1, "aliases (*) elsewhere"),
    "an alias below": ("a: &a\n  b:\n    c: 1\nd: *a\n", set_to("a.b.c", 2), 1, "elsewhere repeat"),
    "an anchor that others need": (
        "b:\n  c: &a 2\nd: *a\n",
        remove("b.c"),
        1,
        "cannot be put here with certainty",
    ),
    "a merge": ("a: &a\n  b: {}\nc:\n  <<: *a\n", add("c.b.d", "d: 1"), 4, "a merge key (<<)"),
    "a merge at the top": ("a: &a\n  b: {}\n<<: *a\n", add("b.d", "d: 1"), 1, "in the file"),
    "a merged value": ("a: &a\n  b: 1\nc:\n  <<: *a\n", set_to("c.b", 2), 4, "a merge key (<<)"),
    "a list as a mapping": ("a:\n  - b\n", add("a.c", "c: 1"), 2, "`a` is no mapping"),
    "code as a mapping": ("a: <%= x %>\n", add("a.c", "c: 1"), 1, "`a` is no mapping"),
    "a mapping as a list": ("a:\n  b: 1\n", append("a", "c"), 1, "`a` is no list"),
    "items of a value": ("a: b\n", remove_items("a", "c"), 1, "`a` is no list"),
    "the same key twice": ("a:\n  b: 1\na: {}\n", add("a.c", "c: 1"), 3, "`a` stands there twice"),
    "a tag": ("a: !x\n  b: 1\n", add("a.c", "c: 1"), 1, "`a` has a tag (!)"),
    "lines into braces": ("a: {b: 1}\n", add("a.c", "c:", "  - 1"), 1, "written in braces"),
    "lines into null": ("a: null\n", add("a.c", "c:", "  - 1"), 1, "null is written out"),
    "an explicit key": ("? a\n: b: 1\n", remove("a"), 1, "`a` has no line of its own"),
    "text of several lines": ("a: |\n  b\n", set_to("a", "c"), 1, "several lines or parts"),
    "text over two lines": ("a: b\n  c\n", set_to("a", "c"), 1, "several lines or parts"),
    "a list as a value": ("a: [b]\n", set_to("a", "c"), 1, "several lines or parts"),
    "an item that is no value": ("a: [b]\n", append("a", {"c": 1}), 0, "cannot be written here"),
    "a date as a value": ("a: b\n", set_to("a", date(2026, 1, 1)), 0, "cannot be written here"),
    "what is there": ("a:\n  b: 1\n", add("a.b", "b: 2"), 2, "`b` is there already"),
    "what is not there": ("a:\n  b: 1\n", set_to("a.c", 2), 0, "`a.c` is not there"),
    "removing what is not there": ("a: 1\n", remove("b"), 0, "`b` is not there"),
    "another entry than its path": ("a: 1\n", add("b", "c: 1"), 0, "no entry `b`"),
    "two entries at once": ("a: 1\n", add("b", "b: 1", "c: 1"), 0, "no entry `b`"),
    "a value that moves": ("a: |+\n  b\n\n\n", add("c", "c: 1"), 5, "with certainty"),
    "nothing to move": ("a: {b: 1}\n", indent_under("a", "c"), 1, "lines of their own"),
    "items in one line": ("a:\n  - b\n  -\n    c\n", remove_items("a", "c"), 4, "line of its own"),
    "a block scalar that a new line would change": (
        "a: |\n  b",
        add("c", "c: 1"),
        2,
        "with certainty",
    ),
    "broken YAML": ("a: 1\nb: [\n", None, 3, "it is not valid YAML: "),
    "a tab": ("a:\n\tb: 1\n", None, 2, "it is not valid YAML: found character '\\t'"),
    "a sign that YAML does not have": ("a: 1\nb: \x07\n", None, 2, "it is not valid YAML: special"),
    "several documents": ("a: 1\n---\nb: 1\n", None, 2, "it is several documents"),
    "a list for a file": ("- a\n", None, 1, "it is no mapping"),
    "a text for a file": ("\na\n", None, 2, "it is no mapping"),
    "a mapping in itself": ("a: &a\n  b: *a\n", None, 2, "something contains itself"),
    "a byte order mark before a key": ("\ufeffa: 1\nb: 1\n", None, 1, "byte order mark"),
    "a condition": ("a: 1\n<% if x %>\nb: 1\n<% end %>\n", None, 2, "decides what stands here"),
    "a loop in braces": ("<% x.map { |y| %>\na: 1\n<% } %>\n", None, 1, "decides what stands"),
    "code before a key": ("a:\n<% x = 1 %>  b: 1\n", None, 2, "decides what stands here"),
    "a comment of code before a key": ("<%# x %>a: 1\n", None, 1, "names a key"),
    "a block that yields": ("a: <%= f do |x| %>\n", None, 1, "decides what stands here"),
    "a value on a line of its own": ("a: 1\n  <%= x %>\n", None, 2, "may yield whole lines"),
    "code amid a text": ("a: |\n  b\n<%# x %>\n  c\n", None, 3, "amid a text of several lines"),
    "code that names a key": ("a: 1\n<%= x %>: 1\n", None, 2, "names a key"),
    "code without an end": ("a: 1\nb: <%= x\n", None, 2, "a <% has no %>"),
    "code and its filler": ("a: <%= x %>\nb: \ue000\n", None, 0, "private use"),
    "broken YAML below code over lines": ("a: <%= 1\n %>\nb: [\n", None, 4, "not valid YAML"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_certain_is_refused_with_its_line(name: str) -> None:
    text, change, line, why = REFUSED[name]
    with pytest.raises(UnsureError) as caught:
        change(YamlText(text)) if change else YamlText(text)
    assert (caught.value.line, why in caught.value.why) == (line, True), caught.value


def test_looking_tells_what_is_there_and_where_it_is_written() -> None:
    text = YamlText(
        "a: &a\n  x: 1\n# b\nb:\n  <<: *a\n  y: <%= ENV['Y'] %>:<%= 1 %>\nc: *a\nd: {e: 1}\nf:\n"
    )
    assert text.data == {
        "a": {"x": 1},
        "b": {"x": 1, "y": "<%= ENV['Y'] %>:<%= 1 %>"},
        "c": {"x": 1},
        "d": {"e": 1},
        "f": None,
    }
    assert (text.value(("b", "x")), text.value(("b", "x", "y")), text.value(("q",))) == (
        1,
        None,
        None,
    )
    paths: list[Path] = [("b", "x"), ("c", "x"), ("f",), ("f", "g"), ("a", "x", "y")]
    assert [text.has(path) for path in paths] == [True, True, True, False, False]
    assert [text.line(path) for path in paths] == [0, 0, 9, 0, 0]
    assert [text.line(("b",)), text.line(("b", "y")), text.line(("d", "e"))] == [4, 6, 8]


def test_a_block_comes_from_column_0_with_its_comment_and_can_be_put_elsewhere() -> None:
    text = YamlText(
        "x:\r\n    # no\r\n\r\n    # a\r\n    a:\r\n\r\n    - b\r\n      # c\r\nz: 1\r\n"
    )
    block = text.block(("x", "a"))
    assert block == ["# a", "a:", "", "- b", "  # c"]
    assert YamlText("y:\n  b: 1\n").add(("y", "a"), block).text == (
        "y:\n  b: 1\n  # a\n  a:\n\n  - b\n    # c\n"
    )
    with pytest.raises(UnsureError, match="not written out"):
        text.block(("x", "q"))
    with pytest.raises(UnsureError, match="line of its own"):
        YamlText("a: {b: 1}\n").block(("a", "b"))


@pytest.mark.parametrize("app", ["rails_8_0", "rails_8_1", "changed_by_hand"])
def test_every_entry_of_a_real_file_goes_and_comes_alone(app: str) -> None:
    text = YamlText((APPS / app / "config/deploy.yml").read_text())
    for path in _mappings(text.data):
        for key, value in _at(text.data, path).items():
            here = (*path, key)
            expected = copy.deepcopy(text.data)
            del _at(expected, path)[key]
            if len(_at(text.data, path)) > 1:
                assert strictly(text.remove(here).data) == strictly(expected)
                back = text.remove(here).add(here, text.block(here))
                assert strictly(back.value(here)) == strictly(value)


# Documents and changes by chance


class Psych:
    """What Kamal makes of a file: ERB, then Psych; in one process for all questions."""

    def __init__(self) -> None:
        program = (
            "require 'json'; require 'yaml'; require 'erb'; STDOUT.sync = true\n"
            "STDIN.each_line do |l|\n"
            "  puts JSON.generate(YAML.unsafe_load(ERB.new(JSON.parse(l)).result))\n"
            "end"
        )
        self.process = subprocess.Popen(
            ["ruby", "-e", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, text: str) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(text) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def psych() -> Iterator[Psych]:
    ruby = Psych()
    yield ruby
    ruby.process.communicate()


def pyyaml(text: str) -> Any:
    """Return what PyYAML reads once Ruby has run the code in `text`, all of a few known forms."""
    return yaml.safe_load(_run(re.sub(r"<%[#\s].*?%>", "", text, flags=re.DOTALL)))


def _run(text: str) -> str:
    return re.sub(r'<%=\s*"(\w+)"\s*%>', r"\1", text)


def strictly(value: Any) -> str:
    """Return `value` comparable with its types and the order of its keys."""
    return json.dumps(value)


def said(value: Any) -> Any:
    """Return `value` of YamlText's data with its code run."""
    if isinstance(value, dict):
        return {key: said(one) for key, one in value.items()}
    if isinstance(value, list):
        return [said(one) for one in value]
    return _run(value) if isinstance(value, str) else value


SCALARS = [
    "web", "1", "true", "~", '"quoted # no"', "'it''s'", '"a\\tb"', "a b c", "0.5", "x:/y", "null",
    '<%= "v1" %>', '"<%= "v2" %>"', '<%= "v3" %>:/rails', '<%=\n  "v4"\n%>', "plain #no", "'1'",
]  # fmt: skip
FLOWS = ["[]", "[A, b]", "[ 'A',\n{indent}B ]", "{{}}", "{{p: 1, q: [r]}}", "[A, ]"]
NAMES = ["env", "clear", "secret", "web", "volumes", "a-b", "db", "proxy", "A_B", "'quoted'"]


class Writer:
    """Writes documents as owners do: with comments, blank lines and indents of many kinds."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.lines: list[str] = []

    def some(self, *lines: str, often: float = 0.3) -> None:
        if self.random.random() < often:
            self.lines += lines

    def mapping(self, column: int, depth: int) -> None:
        pad = " " * column
        step = self.random.choice([2, 2, 3, 4])
        for name in self.random.sample(NAMES, self.random.randint(1, 4)):
            self.some("", often=0.2)
            self.some(f"{pad}# on {name}:", f"{pad}#   - x")
            kind = self.random.choice(["scalar", "scalar", "map", "list", "flow", "block", "null"])
            tail = self.random.choice(["", "", "  # why: not", " "])
            if kind == "map" and depth:
                self.lines.append(f"{pad}{name}:{tail}")
                self.mapping(column + step, depth - 1)
            elif kind == "list":
                self.lines.append(f"{pad}{name}:{tail}")
                self.list(column + self.random.choice([0, 2, step]))
            elif kind == "flow":
                flow = self.random.choice(FLOWS).format(indent=pad + "    ")
                self.lines.append(f"{pad}{name}: {flow}{tail}")
            elif kind == "block":
                self.lines += [f"{pad}{name}: |", f"{pad}  # text", "", f"{pad}    more"]
            elif kind == "null":
                self.lines.append(f"{pad}{name}:{tail}")
            else:
                self.lines.append(f"{pad}{name}: {self.random.choice(SCALARS)}{tail}")
            self.some(f"{pad}    # further in", often=0.1)
            self.some(f"{pad}<%# nothing\n here %>", often=0.1)
            self.some('  <% code = "y" %>', often=0.05)
            self.some(f"{pad}# out: 1", often=0.1)

    def list(self, column: int) -> None:
        for _ in range(self.random.randint(1, 3)):
            self.some(" " * column + "# item", often=0.2)
            self.lines.append(" " * column + "- " + self.random.choice([*SCALARS, "p: 1"]))


def document(random: Random) -> tuple[str, Random]:
    """Return a text, and what chooses the changes to it."""
    writer = Writer(random)
    writer.some("---", often=0.1)
    writer.some("# frozen", "", '<% code = "x" %>')
    writer.some("x-a: &a", "  k: [1]", "x-b: *a", "x-c:", "  <<: *a", often=0.2)
    writer.mapping(0, 3)
    # A line after a block scalar without a final newline would change it.
    ends = random.random() < 0.7 or any(line.endswith("|") for line in writer.lines)
    text = "\n".join(writer.lines) + "\n" * ends
    breaks = random.choice([["\n"], ["\n"], ["\r\n"], ["\n", "\r\n"]])
    return re.sub("\n", lambda _: random.choice(breaks), text), random


DOCUMENTS = st.randoms(use_true_random=True).map(document)


def _mappings(data: dict[str, Any], path: Path = ()) -> Iterator[Path]:
    yield path
    for key, value in data.items():
        if isinstance(value, dict) and not key.startswith("x-"):
            yield from _mappings(value, (*path, key))


def _at(data: Any, path: Path) -> Any:
    for key in path:
        data = data[key]
    return data


def _flow(text: YamlText, path: Path) -> bool:
    line = text.text.splitlines()[text.line(path) - 1] if path else ""
    return bool(re.search(r": [\[{]", line))


def is_refused(text: str) -> bool:
    """Whether a comment that was written further in is a line of a text, behind code."""
    return bool(re.search(r"more\s+(# further in\s+)?(<%[^%]*%>\s*)+# further in", text))


def keeps_all_lines(before: str, after: str) -> bool:
    rest = iter(after.splitlines())
    return all(line in rest for line in before.splitlines())


BLOCKS = [
    ["new: 1"],
    ["# on it", "new: 'x'"],
    ["# on it", "# and", "new:", "  # inner", "  - <%= \"v9\" %>:/x", "", "  - b"],
    ["new: |", "  a", "", "    b"],
]  # fmt: skip
ITEMS: list[Any] = [
    "NEW",
    "a:/b",
    "yes",
    "1e3",
    "",
    "it's: # so",
    7,
    True,
    '<%= "v8" %>:/x',
    "é\n\x85",
    "0o7",
]


class Check:
    """All kinds of change on one document, each against what `read` makes of the texts."""

    def __init__(self, example: tuple[str, Random], read: Callable[[str], Any]) -> None:
        self.text, self.random = example
        assume(not is_refused(self.text))
        self.read = read
        self.before = YamlText(self.text)
        self.old = said(self.before.data)
        assert strictly(self.old) == strictly(read(self.text))
        self.mappings = list(_mappings(self.before.data))

    def holds(self, after: YamlText, expected: Any) -> None:
        assert strictly(said(after.data)) == strictly(expected)
        assert strictly(self.read(after.text) or {}) == strictly(expected)

    def expected(self) -> Any:
        return copy.deepcopy(self.old)

    def entry(self) -> Path:
        """Return a path to an entry, and () where there are only those with anchors."""
        path = self.random.choice(self.mappings)
        keys = [key for key in _at(self.old, path) if not key.startswith("x-")]
        return (*path, self.random.choice(keys)) if keys else ()

    def add(self) -> None:
        path = self.random.choice(self.mappings)
        flow = _flow(self.before, path)
        block = self.random.choice(BLOCKS[: 2 if flow else 4 if self.text.endswith("\n") else 3])
        made = self.random.choice([(), ("mid",), ("mid", "low")])
        after = self.before.add((*path, *made, "new"), block)
        expected, value = self.expected(), self.read("\n".join([*block, ""]))
        for name in reversed(made):
            value = {name: value}
        parent = _at(expected, path)
        inside = dict(parent)
        parent.clear()
        parent.update({**value, **inside} if flow else {**inside, **value})
        self.holds(after, expected)
        assert flow or keeps_all_lines(self.text, after.text)
        with pytest.raises(UnsureError, match="is there already"):
            after.add((*path, *made, "new"), block)
        if inside:
            assert after.remove((*path, *made, "new")).text == self.text

    def append(self) -> None:
        path = self.entry()
        items = self.random.sample(ITEMS, 2)
        had = self.before.value(path)
        if not path or not isinstance(had, list | None):
            return
        after = self.before.append(path, items, ["# more"])
        expected = self.expected()
        _at(expected, path[:-1])[path[-1]] = said([*(had or []), *items])
        self.holds(after, expected)
        if had:
            assert _flow(self.before, path) or keeps_all_lines(self.text, after.text)
            if not {strictly(one) for one in had} & {strictly(item) for item in items}:
                assert after.remove_items(path, items).text == self.text

    def set(self) -> None:
        path, value = self.entry(), self.random.choice(ITEMS)
        old = self.before.value(path)
        if path and not isinstance(old, dict | list) and "more" not in str(old):
            after = self.before.set(path, value)
            expected = self.expected()
            _at(expected, path[:-1])[path[-1]] = said(value)
            self.holds(after, expected)

    def remove(self) -> None:
        path = self.entry()
        if path:
            try:
                after = self.before.remove(path)
            except UnsureError:
                # A comment that is left would become a line of a text above it.
                assert "|" in self.text
                return
            expected = self.expected()
            del _at(expected, path[:-1])[path[-1]]
            while (path := path[:-1]) and not _at(expected, path):
                del _at(expected, path[:-1])[path[-1]]
            self.holds(after, expected)

    def indent_under(self) -> None:
        path = self.entry()
        inside = self.before.value(path)
        if path and isinstance(inside, dict) and not _flow(self.before, path):
            after = self.before.indent_under(path, "within")
            expected = self.expected()
            _at(expected, path[:-1])[path[-1]] = {"within": said(inside)}
            self.holds(after, expected)

    def all(self) -> None:
        for change in (self.add, self.append, self.set, self.remove, self.indent_under):
            change()


FUZZ = settings(suppress_health_check=list(HealthCheck))


@settings(FUZZ, max_examples=200)
@example(document(Random(9826)))  # blanks before a tag are a line of the text above
@given(DOCUMENTS)
def test_any_change_means_what_was_meant_to_pyyaml(example: tuple[str, Random]) -> None:
    Check(example, pyyaml).all()


@requires("ruby")
@settings(FUZZ, max_examples=100)
@given(DOCUMENTS)
def test_any_change_means_what_was_meant_to_psych(
    psych: Psych, example: tuple[str, Random]
) -> None:
    Check(example, psych).all()


PIECES = [
    "a", "b: ", "- ", "\n", "\r\n", "  ", ": ", "? ", "&a ", "*a", "<<: ", "!t ", "|", ">+", "#",
    "'", '"', "[", "]", "{", "}", ",", "\t", "<%= x %>", "<%", "%>", "<% end %>", "<%# c\n %>",
    "---\n", "...\n", "%YAML 1.1\n", "\ufeff", "\ue000", "\u2028", "\x00", "!!int ",
    "!!timestamp ", "!!set ", "=", "é😀", "0x",
]  # fmt: skip


@settings(FUZZ, max_examples=300)
@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from(PIECES)).map("".join),
        st.tuples(DOCUMENTS, st.integers(0, 400), st.integers(0, 9), st.sampled_from(PIECES)).map(
            lambda drawn: drawn[0][0][: drawn[1]] + drawn[3] + drawn[0][0][drawn[1] + drawn[2] :]
        ),
    )
)
def test_any_text_is_edited_or_refused_and_nothing_else(text: str) -> None:
    changes: list[Change] = [
        *(add("env.new", "new: 1"), add("a.b", "b:", "  - 1"), append("env.secret", "X")),
        *(append("a", "X"), set_to("a", "x"), set_to("env.clear", 1), remove("a"), remove("env")),
        *(remove_items("a", "a"), indent_under("env", "new"), indent_under("a", "b")),
        lambda one: YamlText("\n".join(one.block(("a",)))),
    ]
    try:
        before = YamlText(text)
    except UnsureError:
        return
    for change in changes:
        try:
            after = change(before)
        except UnsureError:
            continue
        assert YamlText(after.text).data == after.data


@requires("ruby")
@settings(FUZZ, max_examples=200)
@given(
    value=st.one_of(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.from_regex(r"[-+:0-9a-fxotyn_.,eETZ ]{1,12}", fullmatch=True),
        st.sampled_from(["y", "Off", "NULL", "~", ".inf", ".NaN", "<<", "=", "!x", "a: b", "a #b"]),
        st.integers(),
        st.booleans(),
        st.none(),
    ),
    quotes=st.sampled_from([None, "'", '"']),
)
def test_a_value_is_the_same_to_pyyaml_and_psych(
    psych: Psych, value: Any, quotes: str | None
) -> None:
    for text in (
        f"a: {written(value, quotes)}\n",
        f"a: [{written(value, quotes, flow=True)}]\n",
    ):
        meant = {"a": [value] if "[" in text[:4] else value}
        assert strictly(yaml.safe_load(text)) == strictly(meant)
        assert strictly(psych(text.replace("<%", "<%%"))) == strictly(meant)
