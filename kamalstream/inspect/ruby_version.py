"""The Ruby an app runs on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kamalstream.inspect.code_lines import code_lines
from kamalstream.inspect.gemfile_lock import FILE as LOCK
from kamalstream.inspect.gemfile_lock import GemfileLock
from kamalstream.inspect.unreadable import Unreadable
from kamalstream.inspect.version_files import MISE, Stated, lines_of, managers, own_file

_VERSION = re.compile(r"(?:ruby[- ])?(\d+(?:\.\d+){0,2}(?:-?(?:preview|rc)\d+)?)(?:p\d+)?(?:@\S+)?")
_OF_BUNDLER = re.compile(
    r"ruby[\s-]*(?:=\s*)?(?:\{[^}]*?\bversion\s*=\s*)?(?:\"([^\"]+)\"|'([^']+)'|([^\s#\"']+))"
)
_OTHER = re.compile(r"jruby|truffleruby|mruby|rbx|rubinius")


@dataclass(frozen=True)
class RubyVersion:
    """A version of MRI such as "3.4.5", and the file that states it; None where none does."""

    version: str | None = None
    file: str | None = None
    unreadable: tuple[Unreadable, ...] = ()


def ruby_version(app: Path, lock: GemfileLock) -> RubyVersion:
    """Find the Ruby of the Rails app in the folder `app`.

    The files are asked in the order .ruby-version, .tool-versions, mise.toml, Gemfile,
    Gemfile.lock, as Rails, mise and Bundler do; a later file that contradicts is `unreadable`.
    """
    found: Stated | None = None
    said: list[Unreadable] = []
    for stated in _stated(app, lock):
        match = _VERSION.fullmatch(stated.text)
        if match is None or _OTHER.search(stated.text):
            why = "this is not a version of Ruby (MRI) that is known here"
            said.append(Unreadable(stated.file, stated.line, stated.text, why))
            continue
        version = match[1]
        if found is None:
            found = Stated(version, stated.file, stated.line)
        elif not _agree(found.text, version):
            why = f"this contradicts {found.file}, which says {found.text}"
            said.append(Unreadable(stated.file, stated.line, stated.text, why))
    if found is None:
        if not said:
            why = "no file says which Ruby the app runs on"
            said.append(Unreadable(".ruby-version", 0, "", why))
        return RubyVersion(unreadable=tuple(said))
    return RubyVersion(found.text, found.file, tuple(said))


def _stated(app: Path, lock: GemfileLock) -> Iterator[Stated]:
    yield from own_file(app, ".ruby-version")
    yield from managers(app, ("ruby",))
    yield from _gemfile(app)
    if lock.ruby:
        yield Stated(re.sub(r"^ruby [\d.p]+ \((.+)\)$", r"\1", lock.ruby), LOCK, 0)


def _gemfile(app: Path) -> Iterator[Stated]:
    """Yield the version of a `ruby "3.4.1"` line; a requirement such as "~> 3.4" is no version."""
    for number, line in code_lines(app / "Gemfile"):
        exact = re.match(r"\s*ruby[\s(]+[\"'](?:= *)?(\d[^\"']*)[\"']([^#]*)", line)
        if exact:
            engine = re.search(r"engine:?\s*(?:=>)?\s*[\"'](\w+)[\"']", exact[2])
            yield Stated(
                engine[1] if engine and engine[1] != "ruby" else exact[1], "Gemfile", number
            )
        # Files of version managers were asked already.
        file = re.match(r"\s*ruby[\s(]+file:\s*[\"']([^\"']+)[\"']", line)
        if file and file[1] not in (".ruby-version", ".tool-versions", *MISE):
            yield from _as_bundler_reads(app, file[1])


def _as_bundler_reads(app: Path, file: str) -> Iterator[Stated]:
    """Yield the version in a file that the Gemfile names (Bundler::RubyDsl#normalize_ruby_file)."""
    for number, line in lines_of(app, file):
        if match := _OF_BUNDLER.match(line):
            yield Stated(match[1] or match[2] or match[3], file, number)
            return
    yield from own_file(app, file)


def _agree(one: str, other: str) -> bool:
    """Tell whether two versions can be the same: 3.4 and 3.4.5 can."""
    parts, others = one.split("."), other.split(".")
    shared = min(len(parts), len(others))
    return parts[:shared] == others[:shared]
