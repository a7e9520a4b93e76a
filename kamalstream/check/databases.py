"""Does the app open the databases that the answers name, and no others."""

from __future__ import annotations

import json
from collections.abc import Iterator

from kamalstream.check.finding import Finding
from kamalstream.facts import ANSWERS
from kamalstream.inspect.adopted import App

FILE = "config/database.yml"


def check(app: App) -> Iterator[Finding]:
    """Compare the answers with what config/database.yml opens in production."""
    opened = app.opened
    for place in opened.unreadable:
        yield Finding(
            "databases.unreadable",
            "warning",
            place.file,
            place.line,
            f"cannot be read without running the app: {place.why}"
            + (f" ({place.text})" if place.text else ""),
            f"Make sure yourself that `databases` in {ANSWERS} lists every SQLite file that "
            f"production opens. Now it lists: {', '.join(app.databases.values())}",
        )
    for assumed in opened.assumed:
        yield Finding(
            "databases.assumed",
            "warning",
            FILE,
            assumed.line,
            f"depends on {assumed.variable}; read as if it were unset ({assumed.default!r})",
            f"If {assumed.variable} is set on the server, say so under env: clear: in "
            "config/deploy.yml, and correct `databases`.",
        )
    answered = set(app.databases.values())
    fix = _fix(app)
    for name, path in opened.sqlite.items():
        if path not in answered:
            yield Finding(
                "databases.unknown",
                "error",
                FILE,
                app.line_of(FILE, path.rsplit("/", 1)[-1].replace(".", r"\.")),
                f"production opens {path} ({name}), which is not backed up: "
                "the answers do not name it",
                fix,
            )
    if not opened.unreadable:
        for name, path in app.databases.items():
            if path not in opened.sqlite.values():
                yield Finding(
                    "databases.not-opened",
                    "error",
                    ANSWERS,
                    0,
                    f"production does not open {path} ({name}): Litestream would wait for it "
                    "for ever",
                    fix,
                )
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


def _fix(app: App) -> str:
    below = {n: p for n, p in app.opened.sqlite.items() if p.startswith("storage/")}
    outside = [p for p in app.opened.sqlite.values() if not p.startswith("storage/")]
    lines = [f"Move {path} below storage/: only that is kept over a deploy." for path in outside]
    if below:
        mapping = json.dumps(below).replace('"', "")
        lines.append(f"copier update --trust --data databases='{mapping}'")
        lines.append("(right after the first copy: copier recopy --trust --overwrite --data …)")
    return "\n".join(lines) or "Correct `databases`: copier update --trust --data databases=…"
