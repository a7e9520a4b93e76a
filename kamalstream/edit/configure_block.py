"""Finds the `Rails.application.configure` block of an environment file and what it sets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pygments.token import Name, Operator

from kamalstream.edit.ruby_source import MODIFIERS, Frame, Source, Token, UnsureError, is_kind

# Called on `config`, these set things without an assignment that can be read.
INDIRECT = {
    *("__send__", "instance_eval", "instance_exec", "method", "public_send", "send"),
    *("tap", "then", "with_options", "yield_self"),
}
# Directly in the block, these make what comes after them conditional.
JUMPS = {"break", "next", "return"}
CLAUSES = {"else", "ensure", "rescue"}


@dataclass(frozen=True)
class Assignment:
    """A live `config.<name> = <value>` on the line `line`, counted from 0.

    `tokens` are those of the value. `why` is empty where the assignment always happens, and else
    says for the user why it may not, or not as it reads.
    """

    name: str
    line: int
    tokens: tuple[Token, ...]
    why: str

    @property
    def value(self) -> str:
        """The value's source without white space between its tokens."""
        return "".join(map(str, self.tokens))


@dataclass(frozen=True)
class Commented:
    """A comment, alone on the line `line` (from 0), that begins with `config.<name>`.

    `token` is the comment. `before` and `after` are the commented code around `value`, whose white
    space is gone; `value` is None where the comment is no complete assignment.
    """

    name: str
    line: int
    token: Token
    before: str = ""
    value: str | None = None
    after: str = ""


class ConfigureBlock:
    """The one configure block of a file.

    Takes the source and the names of the settings to look for, such as `active_job.queue_adapter`.
    Raises UnsureError where there is no such block or more than one, and where the settings may be
    set in a way that cannot be followed.
    """

    def __init__(self, source: Source, names: Sequence[str]) -> None:
        """Find the block and all that the file says about the settings called `names`."""
        self.source = source
        self.frame = self._find()
        self.first_line = source.line(source.tokens[self.frame.opener].start)
        self.last_line = source.line(source.tokens[self.frame.closer].start)
        self._check_shape()
        self._mentions: list[tuple[str, int]] = []
        self.assignments = [*self._assignments(names)]
        self.commented = [*self._commented()]
        self._mentions += [(one.name, one.line) for one in self.commented]

    @property
    def indent(self) -> str:
        """The white space before a statement of the block."""
        source, frame = self.source, self.frame
        for token in source.tokens[frame.opener + 1 : frame.closer]:
            before = source.text[source.starts[source.line(token.start)] : token.start]
            if token.frame is frame and token.first and not before.strip():
                return before
        line = source.line_text(self.first_line)
        return line[: len(line) - len(line.lstrip())] + "  "

    def place(self, near: Sequence[str]) -> int:
        """Return the line (from 0) before which a paragraph goes that is related to `near`.

        That is the end of the paragraph that mentions the first of these names, or names that begin
        with it; else the end of the block.
        """
        for name in near:
            lines = [line for found, line in self._mentions if f"{found}.".startswith(f"{name}.")]
            if lines:
                return next(self._gaps(min(lines) + 1), self.last_line)
        return self.last_line

    def _gaps(self, line: int) -> Iterator[int]:
        for candidate in range(line, self.last_line):
            blank = not self.source.line_text(candidate).strip()
            if blank and self.source.between_statements(candidate, self.frame):
                yield candidate

    def _find(self) -> Frame:
        source = self.source
        found: list[Frame] = []
        for opener, frame in source.frames.items():
            start = next((i for i in range(opener, -1, -1) if source.tokens[i].first), opener)
            names, after = source.chain(start + (source.tokens[start].text == "::"))
            is_configure = after == opener and names[-1] == "configure"
            if is_configure and names[-2:-1] in (["application"], ["app"], ["Application"]):
                found.append(frame)
        if len(found) != 1:
            raise UnsureError(f"it has {len(found) or 'no'} `Rails.application.configure do`")
        if found[0].parent is not None:
            raise UnsureError("its `Rails.application.configure do` is inside another block")
        return found[0]

    def _check_shape(self) -> None:
        source, frame = self.source, self.frame
        if frame.names:
            raise UnsureError(f"line {self.first_line + 1}: the configure block takes a parameter")
        closer = source.tokens[frame.closer]
        before = source.text[source.starts[self.last_line] : closer.start]
        if before.strip() or source.line(source.tokens[frame.opener + 1].start) == self.first_line:
            raise UnsureError(
                f"line {self.first_line + 1}: the configure block is not on its own lines"
            )
        if source.tokens[frame.closer + 1 :] and not source.tokens[frame.closer + 1].first:
            raise UnsureError(f"line {self.last_line + 1}: something follows the end of the block")
        for index in range(frame.opener + 1, frame.closer):
            token = source.tokens[index]
            word = source.word(index) if token.frame is frame else ""
            if word in JUMPS or (word in CLAUSES and token.first):
                raise UnsureError(
                    f"line {source.line(token.start) + 1}: {token} in the configure block"
                )

    def _assignments(self, names: Sequence[str]) -> Iterator[Assignment]:
        source = self.source
        for index, token in enumerate(source.tokens):
            if not is_kind(token.kind, Name) or self._is_inside_chain(index):
                continue
            chain, after = source.chain(index)
            path = _below_config(chain)
            if path is None or (chain[0] == "config" and self._is_parameter(token.frame)):
                continue
            line = source.line(token.start)
            name = ".".join(path)
            if self._starts(index) and token.frame is self.frame:
                self._mentions.append((name, line))
            self._refuse_other_ways(path, index, after, names)
            if name in names:
                why = self._why_unsure(index, after)
                if why is not None:
                    yield Assignment(name, line, self._value(after), why)

    def _is_inside_chain(self, index: int) -> bool:
        before = self.source.tokens[max(index - 2, 0) : index]
        if not before or before[-1].text not in {".", "::"}:
            return False
        return before[-1].text == "." or (not before[-1].first and is_kind(before[0].kind, Name))

    def _is_parameter(self, frame: Frame | None) -> bool:
        """Whether `config` inside `frame` is the parameter of some other block."""
        while frame is not None:
            if "config" in frame.names:
                return True
            frame = frame.parent
        return False

    def _refuse_other_ways(
        self, path: list[str], index: int, after: int, names: Sequence[str]
    ) -> None:
        line = self.source.line(self.source.tokens[index].start) + 1
        if not path and (self._assigns(after) or self._assigns(index - 1)):
            raise UnsureError(f"line {line}: config gets another name, or the name another meaning")
        if path and path[-1] in INDIRECT:
            parent = "".join(f"{part}." for part in path[:-1])
            if any(name.startswith(parent) for name in names):
                raise UnsureError(f"line {line}: config.{'.'.join(path)} may set anything")

    def _assigns(self, index: int) -> bool:
        """Whether the token at `index` is a plain `=`: not of `=>`, `||=`."""
        tokens = self.source.tokens
        if not 0 < index < len(tokens) - 1 or tokens[index].text != "=" or tokens[index].is_string:
            return False
        before, after = tokens[index - 1], tokens[index + 1]
        attached = is_kind(before.kind, Operator) and before.end == tokens[index].start
        arrow = after.text == ">" and tokens[index].end == after.start
        return not arrow and (not attached or before.text == "]")

    def _why_unsure(self, index: int, after: int) -> str | None:
        """Why the assignment at `index`, if any, may not happen; None where there is none."""
        source, token = self.source, self.source.tokens[index]
        following = source.tokens[after] if after < len(source.tokens) else None
        if following is None or following.is_string:
            return None
        first = self._starts(index)
        if following.text == "," and (first or source.tokens[index - 1].text == ","):
            rest = range(after, after + len(source.rest_of_statement(after)))
            return "set together with others" if any(map(self._assigns, rest)) else None
        if not self._assigns(after):
            operator = "".join(map(str, source.tokens[after : after + 2]))
            is_operator = re.match(r"(\|\||&&)=|[-+*/|&^%]=", operator)
            return "set only on top of what is set before" if is_operator else None
        if token.frame is not None and token.frame is not self.frame:
            return "set inside another block"
        if not (first or self._assigns(index - 1)) or self._modifier(after) is not None:
            return "set only under a condition"
        return ""

    def _starts(self, index: int) -> bool:
        """Whether a statement begins with the chain of names at `index`, or the `::` before it."""
        before, token = self.source.tokens[index - 1], self.source.tokens[index]
        return token.first or (before.first and before.text == "::")

    def _modifier(self, after: int) -> int | None:
        """The index of the `if` or the like that ends the value, if one does."""
        source = self.source
        for index in range(after + 1, after + 1 + len(source.rest_of_statement(after + 1))):
            same = source.tokens[index].frame is source.tokens[after].frame
            if same and source.word(index) in MODIFIERS:
                return index
        return None

    def _value(self, after: int) -> tuple[Token, ...]:
        """The value's tokens; of `a = b = value` the last ones."""
        source = self.source
        end = self._modifier(after) or after + 1 + len(source.rest_of_statement(after + 1))
        frame = source.tokens[after].frame
        start = max(
            (i for i in range(after, end) if source.tokens[i].frame is frame and self._assigns(i)),
            default=after,
        )
        return tuple(source.tokens[start + 1 : end])

    def _commented(self) -> Iterator[Commented]:
        source = self.source
        for token in source.comments:
            line = source.line(token.start)
            alone = source.line_text(line).lstrip().startswith(token.text.rstrip())
            match = re.match(r"#+[ \t]*(config((?:\.\w+)+).*)", token.text)
            if not (alone and match and self.first_line < line <= self.last_line):
                continue
            if source.between_statements(line, self.frame):
                yield _read_comment(match.group(1), match.group(2)[1:], line, token)


def _read_comment(body: str, name: str, line: int, token: Token) -> Commented:
    nothing = Commented(name, line, token)
    try:
        code = Source(body)
    except UnsureError:
        return nothing
    chain, after = code.chain(0)
    if after >= len(code.tokens) - 1 or code.tokens[after].text != "=":
        return nothing
    value = code.tokens[after + 1 :]
    start, end = value[0].start, value[-1].end
    squeezed = "".join(map(str, value))
    return Commented(".".join(chain[1:]), line, token, body[:start], squeezed, body[end:])


def _below_config(chain: list[str]) -> list[str] | None:
    """Return what follows `config` in a chain of names that leads to the app's configuration."""
    for index, name in enumerate(chain):
        if name in {"config", "configuration"}:
            before = chain[:index]
            ours = name == "config" and before in ([], ["self"])
            if ours or before == ["Rails"] or before[-1:] in (["application"], ["app"]):
                return chain[index + 1 :]
            return chain[index + 1 :] if before[-1:] == ["Application"] else None
    return None
