"""Shows a plan: new files in a line each, changed ones as a diff, and what would be gone."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from kamalstream.facts import ANSWERS, PRODUCTION_RB
from kamalstream.render.plan import Change, Plan
from kamalstream.terminal import diff_line, fold, page

_WHAT = {
    "Dockerfile": "the image, with Litestream in it",
    "bin/docker-entrypoint": "brings the databases back on an empty server",
    "bin/restore": "restores by hand, to any moment",
    "config/deploy.yml": "Kamal: server, proxy, volume, the litestream accessory",
    "config/litestream.yml": "what is replicated, and where to",
    ".kamal/secrets": "where Kamal gets the secrets; none stands in it",
    ".kamal/read_secrets.rb": "reads them from Rails credentials",
    ".dockerignore": "what stays out of the image",
    "docs/DEPLOYMENT.md": "first deploy, every day, restore",
    PRODUCTION_RB: "what the deployment relies on",
    ANSWERS: "your answers, for later updates",
}


def show(plan: Plan, console: Console) -> None:
    """Print the plan."""
    page(Text("\n").join([*_changes(plan), *_gone(plan, console)]), console)


def _changes(plan: Plan) -> Iterator[Text]:
    if not plan.changes:
        yield Text("Nothing would change: the app is as the template renders it.")
    for change in plan.changes:
        if change.before is not None:
            yield from _diff(change)
    new = [change for change in plan.changes if change.before is None]
    if new:
        yield Text("New files", "bold")
        for change in new:
            count = change.after.count(b"\n")
            size = f"{count} lines" if count != 1 else "1 line"
            yield Text(f"  {change.file:<30} {size:>10}  {_WHAT.get(change.file, '')}".rstrip())
        yield Text()


def _diff(change: Change) -> Iterator[Text]:
    before, after = (
        content.decode("utf-8", "replace").splitlines()
        for content in (change.before or b"", change.after)
    )
    names = (f"a/{change.file}", f"b/{change.file}")
    lines = list(difflib.unified_diff(before, after, *names, lineterm=""))
    if not lines:
        yield Text(f"{change.file}: becomes executable")
    yield from map(diff_line, lines)
    yield Text()


def _gone(plan: Plan, console: Console) -> Iterator[Text]:
    for text in _said(plan):
        yield Text(fold(text.plain, console), text.style)


def _said(plan: Plan) -> Iterator[Text]:
    if plan.lost:
        yield Text("Yours, and not in the new files", "bold yellow")
        for lost in plan.lost:
            yield Text(f"  {lost}")
        yield Text("  The files as they are now are kept below tmp/.")
        if (plan.app / ANSWERS).is_file():
            yield Text(
                "  To merge instead: kamalstream update, with --data NAME=VALUE for an answer."
            )
        yield Text()
    if plan.left:
        yield Text(f"Left as you wrote it in {PRODUCTION_RB}", "bold")
        for left in plan.left:
            yield Text(f"  line {left.line}: {left.stands} ({left.why})")
            if left.write:
                yield Text(f"    recommended: {left.write}")
        yield Text()
    if plan.refused:
        yield Text(f"{PRODUCTION_RB} is left alone: {plan.refused}", "bold yellow")
        yield Text("Put these lines into its configure block:")
        yield Text(plan.paste.rstrip())
        yield Text()
