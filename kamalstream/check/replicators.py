"""Does one program replicate the databases, and no second one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kamalstream.check.finding import Finding
from kamalstream.inspect.adopted import App
from kamalstream.inspect.code_lines import code_lines

_GEM = "litestream"
_PLUGIN = re.compile(r"^\s*plugin[\s(]+:litestream\b")
_COMMAND = re.compile(r"^[^#]*\blitestream(?::replicate\b|\s+replicate\b)")


def check(app: App) -> Iterator[Finding]:
    """Yield what replicates beside the accessory: two replicators break each other's backups."""
    for file, line in _places(app):
        yield Finding(
            "replicators.two",
            "error",
            file,
            line,
            "replicates the databases beside the litestream accessory: two replicators of one "
            "database break each other's backups",
            "Take that line out; the accessory does it now.",
        )
    if _GEM in app.lockfile.gems and not list(_places(app)):
        yield Finding(
            "replicators.gem",
            "note",
            "Gemfile.lock",
            app.line_of("Gemfile.lock", r"^    litestream \("),
            "the gem litestream is there and replicates nothing: the accessory does",
        )


def _places(app: App) -> Iterator[tuple[str, int]]:
    for number, code in code_lines(app.root / "config/puma.rb"):
        if _PLUGIN.search(code):
            yield "config/puma.rb", number
    scripts = [*app.root.glob("Procfile*"), app.root / "bin/docker-entrypoint"]
    for path in sorted(path for path in scripts if path.is_file() and not _is_local(path)):
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            if _COMMAND.search(line):
                yield path.relative_to(app.root).as_posix(), number


def _is_local(path: Path) -> bool:
    return path.name.endswith((".dev", ".test"))
