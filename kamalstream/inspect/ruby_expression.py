"""Evaluates the few Ruby expressions that configuration files hold, without Ruby.

What is not understood entirely is not known: there is no guessing.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from kamalstream.facts import RAILS_ROOT

# BODY if ENV["X"], and ENV["X"] && BODY: nil where X is unset, whatever BODY is.
_ENV = r"(?:::)?ENV(?:\[\s*|\.(?:key|has_key|include)\?\(?\s*)[\"'](?P<{}>\w+)[\"']\s*[\])]?"
_GUARDED = re.compile(
    rf"(?P<body>.*\S)\s+(?P<word>if|unless)\s+{_ENV.format('name')}\s*"
    rf"|\s*{_ENV.format('first')}\s*&&(?P<then>(?:(?!\|\||\s[?:]\s|\bor\b|[;\n#]).)+)",
    re.DOTALL,
)
_COMMENT = re.compile(r"(?:^|\s)#(?!\{)")
_ONLY_BY_RUNNING = "its value is known only by running it"


class UnknownValueError(Exception):
    """The expression's value cannot be told without running it; the text says why."""


@dataclass(frozen=True)
class Known:
    """The value of a Ruby expression.

    `text` is its string form (None for Ruby's nil), `assumed` the environment variables taken as
    unset with the default that took their place, `unset` those taken as unset that led to nil.
    """

    text: str | None
    assumed: tuple[tuple[str, str], ...] = ()
    unset: tuple[str, ...] = ()
    is_path: bool = False

    def string(self) -> str:
        """Return the text; raise UnknownValueError for nil."""
        if self.text is None:
            names = " and ".join(f'ENV["{name}"]' for name in self.unset)
            raise UnknownValueError(f"{names} has no default here" if names else "its value is nil")
        return self.text


Environment = Mapping[str, "str | None"]
#: What Rails.root is, kept beside the variables: no variable has a dot in its name.
ROOT = "Rails.root"


def evaluate(source: str, env: Environment, variables: Mapping[str, Known]) -> Known:
    """Return the value of the Ruby expression `source`, or raise UnknownValueError.

    `env` holds the environment variables that are set (None: set to something unknown); all others
    are taken as unset. `variables` are the local variables.
    """
    guarded = _GUARDED.fullmatch(source)
    if guarded and not _COMMENT.search(guarded["body"] or ""):
        name = guarded["name"] or guarded["first"]
        if (name in env) is (guarded["word"] == "unless"):
            return Known(None, unset=(name,))
        source = guarded["body"] or guarded["then"]
    parser = _Parser(source, env, variables)
    value = parser.expression()
    parser.end()
    return value


class _SetElsewhere(dict[str, "str | None"]):
    """An environment in which every variable may be set, to something unknown."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> None:
        return None


def assign(source: str, env: Environment, variables: dict[str, Known]) -> Environment:
    """Run the Ruby statements `source` and return the environment after them.

    They may assign local variables (`variables` is changed), require files, and load .env files,
    whose values are not read. Raises UnknownValueError for anything else.
    """
    parser = _Parser(source, env, variables)
    while not parser.at_end():
        if parser.take(r"require(_relative)?\b"):
            parser.arguments()
        elif parser.take(r"Dotenv\.(load|overload)\b(?!!)"):
            if parser.take(r"\(\s*\)|(?=;|\Z)") is None:
                parser.arguments()
            parser.env = _SetElsewhere(parser.env)
        else:
            name = parser.take(r"[a-z_]\w*(?=\s*=(?![=~>]))")
            if name is None:
                raise UnknownValueError("what it does is known only by running it")
            parser.expect("=")
            if parser.take(r"\d+(?=\s*(?:[;\n]|\Z))"):
                # Numbers are for pools and timeouts; what is made of one is not known.
                variables.pop(name, None)
            else:
                variables[name] = parser.expression()
        parser.end_of_statement()
    return parser.env


class _Parser:
    """Recursive descent over the characters of one expression or a list of statements."""

    def __init__(self, source: str, env: Environment, variables: Mapping[str, Known]) -> None:
        self.source = source
        self.at = 0
        self.env = env
        self.variables = variables

    def take(self, pattern: str) -> str | None:
        """Return what matches `pattern` after blanks and comments, and go past it.

        A comment must end with its line: ERB lets one at the end of a tag swallow what follows.
        """
        match = re.compile(r"(?:\s|#[^\n]*\n)*(" + pattern + ")").match(self.source, self.at)
        if match is None:
            return None
        self.at = match.end()
        return match[1]

    def expect(self, pattern: str) -> None:
        if self.take(pattern) is None:
            raise UnknownValueError(_ONLY_BY_RUNNING)

    def at_end(self) -> bool:
        self.take("")
        return self.at == len(self.source)

    def end(self) -> None:
        self.expect(r"\Z")

    def end_of_statement(self) -> None:
        match = re.compile(r"[ \t]*(?:(?:#[^\n]*)?\n|;|\Z)").match(self.source, self.at)
        if match is None:
            raise UnknownValueError("what it does is known only by running it")
        self.at = match.end()

    def expression(self) -> Known:
        value = self._sum()
        while self.take(r"\|\|(?!=)"):
            other = self._sum()
            if value.text is None:
                value = _instead_of(value.unset, other)
        return value

    def _sum(self) -> Known:
        value = self._postfix()
        # Ruby reads a line that starts with + as a new statement.
        while sign := self.take_on_this_line(r"[+/]"):
            other = self._postfix()
            if value.is_path:
                value = _joined_path([value, other])
            elif sign == "+" and not other.is_path:
                value = _concatenated([value, other])
            else:
                raise UnknownValueError(_ONLY_BY_RUNNING)
        return value

    def take_on_this_line(self, pattern: str) -> str | None:
        match = re.compile(r"[ \t]*(" + pattern + ")").match(self.source, self.at)
        if match is None:
            return None
        self.at = match.end()
        return match[1]

    def _postfix(self) -> Known:
        value = self._primary()
        while self.take(r"&?\."):
            name = self.take(r"(?:to_s|to_path|presence|freeze|join)\b(?![?!])")
            if name is None:
                raise UnknownValueError(_ONLY_BY_RUNNING)
            if name == "join":
                if not value.is_path:
                    raise UnknownValueError(_ONLY_BY_RUNNING)
                value = _joined_path([value, *self.arguments()])
            elif name == "presence":
                value = replace(value, text=value.text or None)
            elif name != "freeze":
                value = replace(value, text=value.string(), is_path=False)
        return value

    def _primary(self) -> Known:
        if self.take(r"\("):
            value = self.expression()
            self.expect(r"\)")
            return value
        if self.take(r"'"):
            return self._single_quoted()
        if self.take(r'"'):
            return self._double_quoted()
        if self.take(r"nil\b"):
            return Known(None)
        if self.take(r"(?:::)?ENV\["):
            name = self.expression().string()
            self.expect(r"\]")
            return self._variable(name, lambda: Known(None))
        if self.take(r"(?:::)?ENV\.fetch\b"):
            return self._fetch()
        if self.take(r"(?:::)?Rails\.env\b(?![?!])"):
            return Known(self.env.get("RAILS_ENV") or "production")
        if self.take(r"(?:::)?Rails\.root\b(?![?!])"):
            return Known(self.env.get(ROOT) or RAILS_ROOT, is_path=True)
        if self.take(r"(?:::)?File\.join\b"):
            return _joined_strings(self.arguments())
        if self.take(r"(?:::)?URI(?:\.parse)?\("):
            return self._uri()
        local = self.take(r"[a-z_]\w*(?![\w?!(])")
        if local and local in self.variables:
            return self.variables[local]
        raise UnknownValueError(_ONLY_BY_RUNNING)

    def _uri(self) -> Known:
        """Read `URI.parse(…)`, with `.tap { |url| url.path += … }` after it."""
        url = self.expression()
        self.expect(r"\)")
        name = self.take(r"\.tap\s*\{\s*\|\s*\w+\s*\|")
        if name is None:
            return replace(url, text=url.string())
        self.expect(re.escape(name.split("|")[1].strip()) + r"\.path\s*\+=")
        more = self.expression()
        self.expect(r"\}")
        at = re.search(r"[?#]|\Z", url.string())
        assert at is not None
        parts = (url.string()[: at.start()], more.string(), url.string()[at.start() :])
        return Known("".join(parts), _assumed([url, more]))

    def arguments(self) -> list[Known]:
        """Read call arguments, with or without parentheses."""
        parenthesised = self.take(r"\(")
        values = [self.expression()]
        while self.take(","):
            values.append(self.expression())
        if parenthesised:
            self.expect(r"\)")
        return values

    def _fetch(self) -> Known:
        parenthesised = self.source.startswith("(", self.at)
        name, *defaults = self.arguments()
        block = re.compile(r"[ \t]*(?:(\{)|do\b)").match(self.source, self.at)
        if parenthesised and block and not defaults:
            self.at = block.end()
            defaults = [self.expression()]
            self.expect(r"\}" if block[1] else r"end\b")
        if len(defaults) > 1:
            raise UnknownValueError(_ONLY_BY_RUNNING)

        def default() -> Known:
            if not defaults:
                raise UnknownValueError(f'ENV["{name.string()}"] has no default here')
            return defaults[0]

        return self._variable(name.string(), default)

    def _variable(self, name: str, default: Callable[[], Known]) -> Known:
        if name not in self.env:
            return _instead_of((name,), default())
        value = self.env[name]
        if value is None:
            raise UnknownValueError(f'ENV["{name}"] is set to a value that is not read')
        return Known(value)

    def _single_quoted(self) -> Known:
        match = re.compile(r"((?:[^'\\]|\\.)*)'").match(self.source, self.at)
        if match is None:
            raise UnknownValueError("its string does not end")
        self.at = match.end()
        return Known(re.sub(r"\\([\\'])", r"\1", match[1]))

    def _double_quoted(self) -> Known:
        parts: list[Known] = []
        while True:
            plain = re.compile(r'(?:[^"\\#]|#(?![{@$])|\\["\\#])*').match(self.source, self.at)
            assert plain is not None
            parts.append(Known(re.sub(r"\\(.)", r"\1", plain[0])))
            self.at = plain.end()
            if self.source.startswith('"', self.at):
                self.at += 1
                return _concatenated(parts)
            if not self.source.startswith("#{", self.at):
                raise UnknownValueError("its string is known only by running it")
            self.at += 2
            parts.append(self.expression())
            self.expect(r"\}")


def _instead_of(unset: tuple[str, ...], value: Known) -> Known:
    if value.text is None:
        return replace(value, unset=unset + value.unset)
    default = value.text
    return replace(value, assumed=tuple((name, default) for name in unset) + value.assumed)


def _assumed(values: list[Known]) -> tuple[tuple[str, str], ...]:
    return tuple(assumption for value in values for assumption in value.assumed)


def _concatenated(values: list[Known]) -> Known:
    return Known("".join(value.string() for value in values), _assumed(values))


def _joined_path(values: list[Known]) -> Known:
    # Pathname#join, like Python's: an absolute part drops what stands before it.
    path = posixpath.join(*(value.string() for value in values))
    return Known(path, _assumed(values), is_path=True)


def _joined_strings(values: list[Known]) -> Known:
    # File.join: one slash between the parts, also where a part is absolute.
    joined = re.sub(r"/*\0/*", "/", "\0".join(value.string() for value in values))
    return Known(joined, _assumed(values))
