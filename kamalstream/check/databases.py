"""Does the app open the databases that the answers name, and no others."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator

from kamalstream.check.deployed import Deployed, deployments
from kamalstream.check.finding import Finding
from kamalstream.facts import ANSWERS
from kamalstream.facts import DATABASE_YML as FILE
from kamalstream.inspect.adopted import App
from kamalstream.inspect.app import below_storage, holds_code
from kamalstream.inspect.database_yml import Databases


def check(app: App) -> Iterator[Finding]:
    """Compare the answers with what config/database.yml opens in each deployment."""
    found = deployments(app)
    if not found:
        yield from _compared(app, "production", app.databases, app.opened, None)
    for one in found:
        where = "production" if one.is_main else one.name
        yield from _compared(app, where, dict(one.databases), one.opened, one)


def _compared(
    app: App, where: str, answered: dict[str, str], opened: Databases, one: Deployed | None
) -> Iterator[Finding]:
    for place in opened.unreadable:
        yield Finding(
            "databases.unreadable",
            # Those of the main deployment were named by its owner.
            "warning" if one is None or one.is_main else "error",
            place.file,
            place.line,
            f"cannot be read without running the app: {place.why}"
            + (f" ({place.text})" if place.text else ""),
            f"Make sure yourself that `databases` in {ANSWERS} lists every SQLite file that "
            f"{where} opens. Now it lists: {', '.join(answered.values())}",
        )
    for name, line in opened.unwritten.items():
        path = answered.get(name) or opened.suggested.get(name, "…")
        yield Finding(
            "databases.no-file",
            "error",
            FILE,
            line,
            f"{where} has no file for {name}: Rails does not start (No database file specified)",
            f"Write there: database: {path}",
        )
    for assumed in opened.assumed:
        yield Finding(
            "databases.assumed",
            "warning",
            FILE,
            assumed.line,
            f"depends on {assumed.variable}; read as if it were unset ({assumed.default!r})",
            f"If {assumed.variable} is set on the server, say so under env: clear: in "
            f"{one.deployment.file if one else 'config/deploy.yml'}, and correct `databases`.",
        )
    fix = _fix(app, opened, one)
    for name, path in opened.sqlite.items():
        if path not in answered.values():
            line = app.line_of(FILE, path.rsplit("/", 1)[-1].replace(".", r"\."))
            message = f"{where} opens {path} ({name}), which is not backed up: the answers do not "
            yield Finding("databases.unknown", "error", FILE, line, f"{message}name it", fix)
    if not opened.unreadable:
        for name, path in answered.items():
            if path not in opened.sqlite.values():
                message = f"{where} does not open {path} ({name}): Litestream would wait for it for"
                yield Finding("databases.not-opened", "error", ANSWERS, 0, f"{message} ever", fix)
    if opened.other:
        others = ", ".join(f"{name} ({adapter})" for name, adapter in opened.other.items())
        yield Finding(
            "databases.other",
            "error" if not opened.sqlite and not opened.unreadable else "warning",
            FILE,
            0,
            f"not SQLite, so Litestream does not back it up: {others}",
            "Back it up with the tools of that database.",
        )


def _fix(app: App, opened: Databases, one: Deployed | None) -> str:
    """Say what has to be done so that every database that is opened can be kept."""
    lines = []
    kept = {}
    for name, path in opened.sqlite.items():
        inside = one.app.in_container(path) if one else path
        if path.startswith("storage/") or (one and one.deployment.mount_of(inside)):
            kept[name] = path
        else:
            file, written = below_storage(
                app.inspected, one.deployment if one else None, name, path
            )
            lines.append(f"In {file}: {written}")
            if not holds_code(app.root / posixpath.dirname(path)):
                lines.append(f"Or mount a volume where {path} is: no other place is kept.")
    if one and not one.is_main:
        lines.append("kamalstream init reads the destinations again.")
    elif kept:
        mapping = json.dumps(kept).replace('"', "")
        lines.append(f"kamalstream update --data databases='{mapping}'")
        lines.append("(right after the first time: kamalstream init --data …)")
    return "\n".join(lines) or "Correct `databases`: kamalstream update --data databases=…"
