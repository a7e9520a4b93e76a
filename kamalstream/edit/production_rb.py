"""Edits an app's `config/environments/production.rb`: five settings, and nothing else.

What happens to each setting:

- a live assignment of the right value: nothing;
- a live assignment of a value that Rails' own generator writes there: the value is replaced;
- any other live assignment is the user's: it is left and reported with its line. So is a right
  value that is only set under a condition, or inside another block. `:solid_cache_store` with
  options is a right value;
- several live assignments: the last one counts, as it does for Ruby;
- no live one, but the generator's commented one: it is uncommented in place (the last, if several);
- otherwise the setting is added in a paragraph of its own, below the paragraph it is related to.

A file that cannot be read with certainty is refused: nothing changes, and the lines to paste are
handed back. Standard library and Pygments only: Copier's hooks run this.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kamalstream import atomic
from kamalstream.edit.configure_block import Assignment, ConfigureBlock
from kamalstream.edit.ruby_source import Source, UnsureError
from kamalstream.errors import BadInput
from kamalstream.regular_file import read_bytes


@dataclass(frozen=True)
class Setting:
    """One setting of the configure block.

    `name` is what follows `config.`, `value` its Ruby source, `comment` the line above it where it
    is added. `stock` are values the generator writes, replaced live or commented; `examples` those
    it writes as comments, which live are somebody's choice. `near` are names (or the beginnings of
    names) of related settings, the nearest first. With `options` the value may be followed by more.
    `since` is the release that brought the setting or its present value, "0" for the first: updates
    offer it to older apps only, so that a line which its owner removed stays removed. Where
    `advised` is false, no value of the owner's is worse.
    """

    name: str
    value: str
    comment: str
    near: tuple[str, ...]
    stock: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    options: bool = False
    since: str = "0"
    advised: bool = True

    @property
    def line(self) -> str:
        """The line to write, without indentation."""
        return f"config.{self.name} = {self.value}"


# Comments and stock values: railties' production.rb.tt of Rails 7.0 to 8.2 (main, August 2026).
ASSUME_SSL = Setting(
    "assume_ssl",
    "true",
    "# Assume all access to the app is happening through a SSL-terminating reverse proxy.",
    near=("force_ssl", "ssl_options"),
)
FORCE_SSL = Setting(
    "force_ssl",
    "true",
    "# Force all access to the app over SSL, use Strict-Transport-Security, and use secure "
    "cookies.",
    near=("assume_ssl", "ssl_options"),
)
ACTIVE_STORAGE = Setting(
    "active_storage.service",
    ":local",
    "# Store uploaded files on the local file system (see config/storage.yml for options).",
    near=("active_storage", "asset_host", "public_file_server"),
    advised=False,
)
CACHE_STORE = Setting(
    "cache_store",
    ":solid_cache_store",
    "# Replace the default in-process memory cache store with a durable alternative.",
    near=("solid_cache", "active_job", "action_controller.perform_caching"),
    stock=(":mem_cache_store",),
    examples=(':redis_cache_store, { url: ENV["REDIS_CACHE_URL"] }',),
    options=True,
)
QUEUE_ADAPTER = Setting(
    "active_job.queue_adapter",
    ":solid_queue",
    "# Replace the default in-process and non-durable queuing backend for Active Job.",
    near=("active_job", "solid_queue", "cache_store"),
    stock=(":resque",),
)
DEFAULT = (ASSUME_SSL, FORCE_SSL, ACTIVE_STORAGE, CACHE_STORE, QUEUE_ADAPTER)


@dataclass(frozen=True)
class Change:
    """A setting that was written: the line (from 1) it has in the result, what stood there."""

    setting: Setting
    line: int
    before: str
    after: str
    kind: Literal["added", "uncommented", "replaced"]


@dataclass(frozen=True)
class Left:
    """A setting that the user wrote in a way of their own: its line (from 1) in the result."""

    setting: Setting
    line: int
    stands: str
    why: str

    @property
    def write(self) -> str:
        """The line to write instead; "" where theirs is as good."""
        return self.setting.line if self.setting.advised else ""


@dataclass(frozen=True)
class Outcome:
    """What became of the file.

    `text` is the whole file. Where `refused` says why nothing could be done, `text` is the source
    as it came and `paste` holds the lines to put into the configure block by hand.
    """

    text: bytes
    changed: tuple[Change, ...] = ()
    left: tuple[Left, ...] = ()
    refused: str | None = None
    paste: str = ""


@dataclass(frozen=True)
class _Edit:
    """Put `text` in place of the characters from `start` to `end`."""

    start: int
    end: int
    text: str
    setting: Setting
    kind: Literal["added", "uncommented", "replaced"]


def edit(source: bytes, wanted: Sequence[Setting] = DEFAULT) -> Outcome:
    """Return `source` with the `wanted` settings, and what was done and what was not.

    Editing the result again changes nothing. Never raises, whatever the file holds.
    """
    try:
        text = _decode(source)
        edits, left = _plan(_plain(text), wanted)
        result = _apply(text, edits)
        if edits and _plan(_plain(result), wanted)[0]:
            raise UnsureError("the result would not be read back as it was meant")
    except UnsureError as reason:
        paste = "\n".join(f"  {setting.comment}\n  {setting.line}\n" for setting in wanted)
        return Outcome(source, refused=str(reason), paste=paste)
    return Outcome(
        result.encode(), tuple(_changes(_plain(text), _plain(result), edits)), tuple(left)
    )


def edit_file(app: Path, file: str, wanted: Sequence[Setting] = DEFAULT) -> Outcome:
    """Edit `file`, below `app`, and return the outcome; write it only if something changed.

    The write is atomic and keeps the mode; a symbolic link stays one, and its target is written
    where that is in the app. Raises BadInput where the file cannot be read or written.
    """
    target = atomic.place(app, file)
    try:
        outcome = edit(read_bytes(target), wanted)
        if outcome.changed:
            atomic.replace(target, outcome.text)
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}. Nothing was written there.") from error
    return outcome


def _decode(source: bytes) -> str:
    """Return the text, line ends and byte order mark as they are; refuse what Ruby may not run."""
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise UnsureError(f"line {line} is not UTF-8") from error
    odd = re.search(r"\r(?!\n)|[\0-\x08\x0b\x0e-\x1f\x7f]", text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        raise UnsureError(f"line {line} holds the control character {odd.group()!r}")
    conflict = re.search(r"^(<{7}|>{7})( |\r?$)", text, re.MULTILINE)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        raise UnsureError(f"line {line} is the mark of an unsolved conflict")
    for comment in text.split("\n", 2)[:2]:
        encoding = re.match(r"\ufeff?\s*#.*?coding[:=]\s*([\w.-]+)", comment)
        if encoding and encoding.group(1).lower() not in {"utf-8", "us-ascii", "ascii"}:
            raise UnsureError(f"the file says that its encoding is {encoding.group(1)}")
    return text


def _plain(text: str) -> str:
    """Return the text as the lexer wants it: byte order mark blanked out, no carriage returns."""
    return re.sub("^\ufeff", " ", text).replace("\r\n", "\n")


def _plan(text: str, wanted: Sequence[Setting]) -> tuple[list[_Edit], list[Left]]:
    """Return the edits in the order of the text, and what is left, with lines of the result."""
    block = ConfigureBlock(Source(text), [setting.name for setting in wanted])
    edits: list[_Edit] = []
    left: list[tuple[Setting, Assignment]] = []
    for setting in wanted:
        standing = _standing(setting, block)
        if not standing:
            edits.append(_uncomment(setting, block) or _add(setting, block, edits))
        elif len(standing) == 1 and not standing[0].why and standing[0].value in _stock(setting):
            start, end = standing[0].tokens[0].start, standing[0].tokens[-1].end
            edits.append(_Edit(start, end, setting.value, setting, "replaced"))
        elif standing[0].why or not all(_is_right(setting, one) for one in standing):
            wrong = [one for one in standing if one.why or not _is_right(setting, one)]
            left += [(setting, one) for one in wrong]
    edits.sort(key=lambda one: one.start)
    return edits, [_left(setting, one, block.source, edits) for setting, one in left]


def _standing(setting: Setting, block: ConfigureBlock) -> list[Assignment]:
    """Return the assignments that count: the last that always happens, and those after it."""
    live = [one for one in block.assignments if one.name == setting.name]
    always = [index for index, one in enumerate(live) if not one.why]
    return live[always[-1] :] if always else live


def _is_right(setting: Setting, assignment: Assignment) -> bool:
    if setting.options and assignment.value.startswith(f"{setting.value},"):
        return True
    return assignment.value == setting.value


def _stock(setting: Setting) -> list[str]:
    return ["".join(value.split()) for value in setting.stock]


def _uncomment(setting: Setting, block: ConfigureBlock) -> _Edit | None:
    known = {setting.value, *_stock(setting), *("".join(one.split()) for one in setting.examples)}
    for comment in reversed(block.commented):
        if comment.name == setting.name and comment.value in known:
            start = block.source.starts[comment.line]
            indent = block.source.text[start : comment.token.start] or block.indent
            code = indent + comment.before + setting.value + comment.after
            return _Edit(start, comment.token.end, code, setting, "uncommented")
    return None


def _add(setting: Setting, block: ConfigureBlock, edits: Sequence[_Edit]) -> _Edit:
    line = block.place([setting.name, *setting.near])
    start = block.source.starts[line]
    above = block.source.line_text(line - 1)
    opens = line - 1 == block.first_line
    follows = any(one.start == start and one.kind == "added" for one in edits)
    gap = "\n" if follows or (above.strip() and not opens) else ""
    text = f"{gap}{block.indent}{setting.comment}\n{block.indent}{setting.line}\n"
    return _Edit(start, start, text, setting, "added")


def _apply(text: str, edits: Sequence[_Edit]) -> str:
    """Return `text` with the edits, whose offsets are those of `_plain(text)`."""
    removed = [match.start() - i for i, match in enumerate(re.finditer("\r\n", text))]
    pieces: list[str] = []
    done = 0
    for one in edits:
        start, end = (offset + bisect_left(removed, offset) for offset in (one.start, one.end))
        ending = "\r\n" if text[:start].endswith("\r\n") else "\n"
        pieces += [text[done:start], one.text.replace("\n", ending)]
        done = end
    return "".join([*pieces, text[done:]])


def _line(text: str, offset: int, edits: Sequence[_Edit]) -> int:
    """Return the line, from 1, that `offset` of `text` has once the `edits` are made."""
    above = sum(one.text.count("\n") for one in edits if one.start <= offset)
    return text.count("\n", 0, offset) + above + 1


def _changes(before: str, after: str, edits: Sequence[_Edit]) -> Iterator[Change]:
    lines = after.split("\n")
    for index, one in enumerate(edits):
        # What is added ends in a line end: its setting is the line before.
        line = _line(before, one.start, edits[: index + 1]) - (one.kind == "added")
        stood = "" if one.kind == "added" else before[before.rfind("\n", 0, one.start) + 1 :]
        yield Change(
            one.setting, line, stood.split("\n")[0].strip(), lines[line - 1].strip(), one.kind
        )


def _left(setting: Setting, one: Assignment, source: Source, edits: Sequence[_Edit]) -> Left:
    stands = source.line_text(one.line).strip()
    if one.tokens and source.line(one.tokens[-1].start) > one.line:
        stands += " …"
    line = _line(source.text, source.starts[one.line], edits)
    return Left(setting, line, stands, one.why or "a value of your own")
