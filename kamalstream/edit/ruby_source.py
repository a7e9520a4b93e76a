"""Reads Ruby with Pygments' lexer: which tokens start statements, and inside which block.

Pygments colours text, it does not parse it. What it cannot tell apart, or is known to get wrong,
raises `UnsureError`: a caller that edits files must then change nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field

from pygments.lexers.ruby import RubyLexer
from pygments.token import Comment, Error, Keyword, Name, Operator, Punctuation, String
from pygments.token import _TokenType as TokenType

OPENERS = {"(": ")", "[": "]", "{": "}", "#{": "}"}
ALWAYS_BLOCKS = {"begin", "case", "class", "def", "module", "for"}
CONDITIONS = {"if", "unless", "while", "until"}
LOOPS = {"while", "until", "for"}
# After these words a statement begins, so that `if` opens a block and is no modifier.
BEFORE_STATEMENT = {"then", "do", "else", "begin", "ensure"}
BEFORE_EXPRESSION = BEFORE_STATEMENT | CONDITIONS | {"elsif", "when", "in", "case"}
# Ruby 2.7 goes on at a leading dot, Ruby 4.0 at these operators too.
CONTINUING = {".", "&&", "||", "and", "or"}
MODIFIERS = CONDITIONS | {"rescue", "and", "or"}


def is_kind(kind: TokenType, of: TokenType) -> bool:
    """Whether a Pygments token type is `of` or one below it."""
    return kind[: len(of)] == of


class UnsureError(Exception):
    """The source cannot be read with certainty; the text says why, for the user."""


@dataclass(eq=False)
class Frame:
    """What stands between an opening token and its closing one: a block, a bracket, a hash."""

    opener: int
    parent: Frame | None
    closer: int = -1
    names: set[str] = field(default_factory=set)
    statements: bool = True
    loop: bool = False


@dataclass(eq=False)
class Token:
    """One token that matters to the syntax; `start` is its offset in `Source.text`."""

    start: int
    kind: TokenType
    text: str
    frame: Frame | None = None
    first: bool = False

    @property
    def end(self) -> int:
        """Offset of the first character after the token."""
        return self.start + len(self.text)

    @property
    def is_string(self) -> bool:
        """Whether the token is part of a string, symbol or regular expression."""
        return is_kind(self.kind, String) and not is_kind(self.kind, String.Interpol)

    def __str__(self) -> str:
        """Return the token as it stands in the source."""
        return self.text


class Source:
    """Ruby source, with `\\n` line ends, as tokens that know their block.

    Takes the text; raises `UnsureError` for anything that Pygments or this class may have misread.
    Tokens outside every block have the frame None. A token that opens or closes a block belongs to
    the frame around it.
    """

    def __init__(self, text: str) -> None:
        """Read `text`; raise `UnsureError` where its structure is not certain."""
        self.text = text
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.tokens: list[Token] = []
        self.comments: list[Token] = []
        self.frames: dict[int, Frame] = {}
        self._breaks: set[int] = set()
        self._covered: set[int] = set()
        self._lex()
        self._offsets = [token.start for token in self.tokens]
        self._nest()

    def line(self, offset: int) -> int:
        """Return the line, counted from 0, that holds `offset`."""
        return bisect_left(self.starts, offset + 1) - 1

    def line_text(self, line: int) -> str:
        """Return the text of a line counted from 0, without its line end."""
        start = self.starts[line]
        end = self.text.find("\n", start)
        return self.text[start:] if end < 0 else self.text[start:end]

    def between_statements(self, line: int, frame: Frame | None) -> bool:
        """Whether a statement of the block `frame` may be put on its own before `line`."""
        if line in self._covered:
            return False
        index = bisect_left(self._offsets, self.starts[line])
        if index == len(self.tokens):
            return frame is None
        token = self.tokens[index]
        if frame is not None and frame.closer == index:
            return True
        return token.frame is frame and token.first

    def chain(self, index: int) -> tuple[list[str], int]:
        """Return the names of `a.b::c` from token `index` on, and the index after the last."""
        names = [self.tokens[index].text]
        index += 1
        while index + 1 < len(self.tokens):
            dot = index
            if self.tokens[dot].text == "&" and self.tokens[dot + 1].text == ".":
                dot += 1
            if self.tokens[dot].text not in {".", "::"} or dot + 1 >= len(self.tokens):
                break
            names.append(self.tokens[dot + 1].text)
            index = dot + 2
        return names, index

    def rest_of_statement(self, index: int) -> list[Token]:
        """Return the tokens from `index` to the end of the statement of that token's block."""
        found: list[Token] = []
        frame = self.tokens[index - 1].frame
        for position in range(index, len(self.tokens)):
            token = self.tokens[position]
            ends = token.frame is frame and (token.first or token.text == ";")
            if ends or (frame is not None and frame.closer == position):
                break
            found.append(token)
        return found

    def word(self, index: int) -> str:
        """Return the keyword at `index`, or nothing where it is a method name or a hash key."""
        token = self.tokens[index]
        if token.kind is Operator.Word:
            return token.text
        if not is_kind(token.kind, Keyword) or is_kind(token.kind, Keyword.Pseudo):
            return ""
        after = self.tokens[index + 1] if index + 1 < len(self.tokens) else None
        if after is not None and after.text == ":" and after.start == token.end:
            return ""
        return token.text

    def _lex(self) -> None:
        text = self.text if self.text.endswith("\n") else self.text + "\n"
        broken = True
        for start, kind, value in RubyLexer().get_tokens_unprocessed(text):
            if not value:
                continue
            line = self.line(start)
            if is_kind(kind, Error):
                raise UnsureError(f"line {line + 1} cannot be read: {value.strip()!r}")
            if is_kind(kind, Comment):
                self._comment(start, kind, value)
                broken = broken or kind is not Comment.Single
            elif value.isspace() and not is_kind(kind, String):
                broken = broken or "\n" in value
            elif kind in (String.Heredoc, String.Delimiter) and value.endswith("\n"):
                if kind is String.Delimiter and value[:-1] != value.rstrip():
                    raise UnsureError(f"line {line + 1}: a heredoc ends in trailing spaces")
                self._covered.add(line)
            else:
                self._quoted(line, kind, value)
                self._covered.update(range(line + 1, line + 1 + value.count("\n")))
                if broken:
                    self._breaks.add(len(self.tokens))
                self.tokens.append(Token(start, kind, value))
                broken = False

    def _comment(self, start: int, kind: TokenType, value: str) -> None:
        line = self.line(start)
        if kind is Comment.Single:
            self.comments.append(Token(start, kind, value))
            return
        if kind is Comment.Hashbang:
            return
        last = value.rsplit("\n", 1)[-1]
        if kind is Comment.Multiline:
            self._covered.update(range(line, line + value.count("\n") + 1))
            certain = start in self.starts and re.match(r"=end(\s|\Z)", last) is not None
        else:
            self._covered.update(range(line, len(self.starts)))
            certain = value.startswith("\n") or (
                start in self.starts and self.line_text(line) == "__END__"
            )
        if not certain:
            raise UnsureError(
                f"line {line + 1}: {value.split()[0]} where it is not certain what it is"
            )

    def _quoted(self, line: int, kind: TokenType, value: str) -> None:
        """Refuse what Pygments gets wrong: it then takes code for a string, to the next quote."""
        previous = self.tokens[-1] if self.tokens else None
        if is_kind(kind, String) and "\n" in value and (kind is String.Regex or "config" in value):
            raise UnsureError(f"line {line + 1}: a string over several lines that looks like code")
        if is_kind(kind, String.Interpol) and previous and previous.kind is String.Single:
            raise UnsureError(f"line {line + 1}: #{{ in single quotes")

    def _nest(self) -> None:
        frame: Frame | None = None
        first = True
        params: Frame | None = None
        for index, token in enumerate(self.tokens):
            previous = self.tokens[index - 1] if index else None
            if params is not None:
                token.frame = params
                if token.text == "|" and index > params.opener + 1:
                    params, first = None, True
                elif is_kind(token.kind, Name):
                    params.names.add(token.text)
                continue
            if index in self._breaks and (frame is None or frame.statements):
                first = first or not self._continued(previous, index)
                if first and frame is not None:
                    frame.loop = False
            token.frame, token.first = frame, first
            first = token.text == ";" and not token.is_string
            if token.is_string:
                continue
            if first and frame is not None:
                frame.loop = False
            if frame is not None and self._closes(frame, index):
                frame.closer = index
                frame = token.frame = frame.parent
                token.first = False
            elif self.word(index) in BEFORE_STATEMENT - {"do", "begin"}:
                first = True
            elif token.text == "do" and self.word(index) and frame is not None and frame.loop:
                frame.loop, first = False, True
            elif self._opens(index):
                frame = self.frames[index] = Frame(index, frame)
                frame.statements = token.text not in OPENERS or self._is_block(index)
                frame.loop = token.text in LOOPS
                first = token.text in {"do", "begin"} or (token.text == "{" and frame.statements)
                after = self.tokens[index + 1].text if index + 1 < len(self.tokens) else ""
                if first and after == "||":
                    raise UnsureError("a block with an empty parameter list")
                if first and after == "|":
                    params = frame
        if frame is not None:
            line = self.line(self.tokens[frame.opener].start)
            raise UnsureError(f"line {line + 1}: {self.tokens[frame.opener]} is never closed")

    def _continued(self, previous: Token | None, index: int) -> bool:
        """Whether the statement goes on over the line end before token `index`."""
        following = "".join(map(str, self.tokens[index : index + 2]))
        if self.tokens[index].text in CONTINUING or following == "&.":
            return True
        if previous is None or previous.text in {")", "]", "}", ";"}:
            return False
        return is_kind(previous.kind, Punctuation) or is_kind(previous.kind, Operator)

    def _closes(self, frame: Frame, index: int) -> bool:
        token, opener = self.tokens[index], self.tokens[frame.opener].text
        if token.text in OPENERS.values() and not is_kind(token.kind, Name):
            if OPENERS.get(opener) != token.text:
                raise UnsureError(f"line {self.line(token.start) + 1}: {token} closes nothing")
            return True
        if self.word(index) == "end":
            if opener in OPENERS:
                raise UnsureError(f"line {self.line(token.start) + 1}: end closes nothing")
            return True
        return False

    def _opens(self, index: int) -> bool:
        token, word = self.tokens[index], self.word(index)
        if token.text in OPENERS and not is_kind(token.kind, Name):
            return True
        if token.text in OPENERS.values() or word == "end":
            raise UnsureError(f"line {self.line(token.start) + 1}: {token} closes nothing")
        if word == "def":
            self._refuse_endless(index)
        if word in CONDITIONS and not token.first:
            previous = self.tokens[index - 1]
            if previous.text in {")", "]", "}"} or previous.is_string:
                return False
            return (
                is_kind(previous.kind, Operator)
                or is_kind(previous.kind, Punctuation)
                or self.word(index - 1) in BEFORE_EXPRESSION
            )
        return word in CONDITIONS or word in ALWAYS_BLOCKS or word == "do"

    def _refuse_endless(self, index: int) -> None:
        """A method without `end` (`def name = value`) cannot be told from a default value."""
        line = self.line(self.tokens[index].start)
        depth = 0
        for token in self.tokens[index + 1 :]:
            if self.line(token.start) != line or token.text == ";":
                return
            depth += (token.text == "(") - (token.text == ")")
            if token.text == "=" and not depth:
                raise UnsureError(f"line {line + 1}: def with = on the same line")

    def _is_block(self, index: int) -> bool:
        """Whether the brace at `index` opens a block rather than a hash."""
        if index == 0 or self.tokens[index].text != "{":
            return False
        if is_kind(self.tokens[index].kind, String):
            return False
        before = self.tokens[index - 1]
        if before.text == ">" and self.tokens[index - 2].text == "-":
            return True
        return before.text == ")" or (is_kind(before.kind, Name) and not self.tokens[index].first)
