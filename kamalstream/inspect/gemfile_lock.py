"""What Gemfile.lock says: gems with their versions, Ruby and Bundler."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from kamalstream.inspect.unreadable import Unreadable
from kamalstream.regular_file import read_text

FILE = "Gemfile.lock"

# Four blanks: a gem that is locked. Six: what it depends on.
_GEM = re.compile(r"^ {4}([\w.-]+) \(([^-)]+)(?:-[^)]*)?\)$", re.MULTILINE)
_SECTION = re.compile(r"^([A-Z][A-Z ]+)\n((?:[ \t]+.*\n|\n(?=[ \t]))*)", re.MULTILINE)


@dataclass(frozen=True)
class GemfileLock:
    """The locked gems of an app.

    `gems` maps names to versions without the platform, `ruby` is what stands under RUBY VERSION
    ("ruby 3.4.1p0"), `bundler` the version under BUNDLED WITH.
    """

    gems: dict[str, str] = field(default_factory=dict)
    ruby: str | None = None
    bundler: str | None = None
    unreadable: tuple[Unreadable, ...] = ()


def gemfile_lock(app: Path) -> GemfileLock:
    """Read Gemfile.lock in the folder `app`; never raises for what it says."""
    try:
        source = read_text(app / FILE)
    except FileNotFoundError:
        why = "there is no such file: run `bundle lock`"
        return GemfileLock(unreadable=(Unreadable(FILE, 0, "", why),))
    except (OSError, UnicodeDecodeError):
        return GemfileLock(unreadable=(Unreadable(FILE, 0, "", "this cannot be read as text"),))
    conflict = re.search(r"^(<{7}|>{7})", source, re.MULTILINE)
    if conflict:
        line = source.count("\n", 0, conflict.start()) + 1
        why = "this is an unfinished merge"
        return GemfileLock(unreadable=(Unreadable(FILE, line, conflict[0], why),))
    sections = {name: body.split("\n") for name, body in _SECTION.findall(source + "\n")}
    ruby = _lines(sections, "RUBY VERSION")
    bundler = _lines(sections, "BUNDLED WITH")
    return GemfileLock(
        gems=dict(_GEM.findall(source)),
        ruby=ruby[0] if ruby else None,
        bundler=bundler[0] if bundler else None,
    )


def _lines(sections: dict[str, list[str]], name: str) -> list[str]:
    return [line.strip() for line in sections.get(name, []) if line.strip()]
