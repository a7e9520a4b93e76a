"""Does one program replicate the databases, and no second one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kamalstream.check.deployed import SIDECAR, Deployed, built
from kamalstream.check.finding import Finding
from kamalstream.inspect.adopted import App
from kamalstream.inspect.code_lines import code_lines

_GEM = "litestream"
_PLUGIN = re.compile(r"^\s*plugin[\s(]+:litestream\b")
# As a command, in the exec form of a Dockerfile, and as the gem's task.
_COMMAND = re.compile(
    r"^[^#]*\blitestream(?::replicate\b|[\"',\s]+(?:-[^\s\"',]+[\"',\s=]+)*replicate\b)"
)
_OLD = (
    "What it wrote so far stays in the bucket, at its own path: retention is kept only by a "
    "Litestream that runs there. To restore from it, run Litestream by hand with the configuration "
    "it had; 0.5.7 and later read what 0.3 wrote."
)


def check(app: App) -> Iterator[Finding]:
    """Yield what replicates beside the accessory: two replicators break each other's backups."""
    places = dict.fromkeys((*_of_app(app), *_of_deployments(app)))
    for file, line, remedy in places:
        yield Finding(
            "replicators.two",
            "error",
            file,
            line,
            "replicates the databases beside the litestream accessory: two replicators of one "
            "database break each other's backups",
            f"{remedy}\n{_OLD}",
        )
    if _GEM in app.lockfile.gems and not places:
        yield Finding(
            "replicators.gem",
            "note",
            "Gemfile.lock",
            app.line_of("Gemfile.lock", r"^    litestream \("),
            "the gem litestream is there and replicates nothing: the accessory does",
        )


_Place = tuple[str, int, str]
_TAKE_OUT = "Take that line out; the accessory does it now."
_START = "Start the app itself there, without Litestream around it; the accessory does it now."


def _of_app(app: App) -> Iterator[_Place]:
    for number, code in code_lines(app.root / "config/puma.rb"):
        if _PLUGIN.search(code):
            yield "config/puma.rb", number, _TAKE_OUT
    names = {path.name for path in app.root.glob("Procfile*") if not _is_local(path)}
    scripts = {script for one in built(app) for script in one.scripts}
    for file in sorted(names | scripts):
        for number, line in enumerate((app.text(file) or "").splitlines(), 1):
            if _COMMAND.search(line):
                yield file, number, _START if "-exec" in line else _TAKE_OUT


def _is_local(path: Path) -> bool:
    return path.name.endswith((".dev", ".test"))


def _of_deployments(app: App) -> Iterator[_Place]:
    for one in built(app):
        starts = (one.image.entrypoint, one.image.cmd) if one.image else ()
        for start in starts:
            if start and _COMMAND.search(start.shell or " ".join(start.words or ())):
                yield one.dockerfile, start.line, _START
        for role in one.deployment.roles.values():
            if role.cmd and _COMMAND.search(role.cmd):
                yield *one.deployment.line("servers", role.name, "cmd"), _START
        if one.sidecar:
            yield from _accessories(one)


def _accessories(one: Deployed) -> Iterator[_Place]:
    """Find other accessories with Litestream that see the databases; by image, not by name."""
    paths = [one.app.in_container(path) for path in one.databases.values()]
    mounts = (one.deployment.mount_of(path) for path in paths)
    sources = {mount.source for mount in mounts if mount}
    for other in one.deployment.litestreams:
        seen = {mount.source for mount in other.mounts}
        if other.name != SIDECAR and seen & sources:
            file, line = one.deployment.line("accessories", other.name)
            remove = one.kamal(f"accessory remove {other.name}")
            yield (
                file,
                line,
                f"{remove}\nThen take `{other.name}:` out of {file}; the volume stays as it is.",
            )
