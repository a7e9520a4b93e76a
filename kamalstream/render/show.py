"""Shows a plan: changed files as a diff, then the files in a line each, then what is left to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from kamalstream.edit.edited import BY_HAND
from kamalstream.facts import (
    ANSWERS,
    BOOT_RESTORE,
    COPY_UPLOADS,
    DATABASE_YML,
    DEPLOY,
    DOCKERFILE,
    DOCKERIGNORE,
    ENTRYPOINT,
    GUIDE,
    LITESTREAM,
    ONE_WRITER,
    PRODUCTION_RB,
    RCLONE,
    READ_SECRETS,
    RESTORE,
    SECRETS,
    UPLOADED_FILES,
    VERIFY_WORKFLOW,
)
from kamalstream.render.plan import Change, Plan

_WHAT = {
    DOCKERFILE: "the image, with Litestream in it",
    ENTRYPOINT: "bin/boot-restore, then db:prepare",
    BOOT_RESTORE: "restores on an empty server",
    ONE_WRITER: "one server at a time writes",
    RESTORE: "restores by hand, to any moment",
    DEPLOY: "Kamal: server, proxy, accessories",
    COPY_UPLOADS: "copies uploads, brings them back",
    UPLOADED_FILES: "are the files there that rows name",
    RCLONE: "which bucket they are copied to",
    LITESTREAM: "what is replicated, and where to",
    SECRETS: "where Kamal gets the secrets",
    READ_SECRETS: "reads them from Rails credentials",
    DOCKERIGNORE: "what stays out of the image",
    GUIDE: "first deploy, every day, restore",
    DATABASE_YML: "files of databases, left open there",
    PRODUCTION_RB: "what the deployment relies on",
    VERIFY_WORKFLOW: "proves the real backups, by schedule",
    ANSWERS: "your answers, for later updates",
}
_GROUPS = {
    "new": "New",
    "edited": "Yours, with a few lines more",
    "whole": "As Rails or Kamal wrote them until now; replaced",
    "ours": "Replaced; what was there is kept below tmp/",
    "without": "Stay, without the lines that are for the backups",
    "gone": "Removed",
}


def differences(plan: Plan) -> Iterator[str]:
    """Yield the lines of a unified diff of every file that is there already, and stays."""
    for change in plan.changes:
        if change.before is not None and change.after is not None:
            yield from _diff(change)
            yield ""


def _diff(change: Change) -> Iterator[str]:
    before, after = (
        content.decode("utf-8", "replace").splitlines()
        for content in (change.before or b"", change.after or b"")
    )
    names = (f"a/{change.file}", f"b/{change.file}")
    lines = list(difflib.unified_diff(before, after, *names, lineterm=""))
    yield from lines or [f"{change.file}: becomes executable"]


def overview(plan: Plan) -> Iterator[str]:
    """Yield a line for each file that changes, with the number of its lines, by what happens to it.

    The first character of a heading is no blank.
    """
    if not plan.changes:
        yield "Nothing would change: the app is as the template renders it."
    for kind, heading in _GROUPS.items():
        here = [change for change in plan.changes if change.kind == kind]
        if here:
            yield heading
        for change in here:
            come, go = change.counts
            size = " ".join([*([f"+{come}"] * bool(come or not go)), *([f"-{go}"] * bool(go))])
            what = _WHAT.get(change.file, "") if kind != "without" else ""
            yield f"  {change.file:<33} {size:>8}  {what}".rstrip()


def left_alone(plan: Plan) -> Iterator[str]:
    """Yield what stays as its owner chose it, though the template would have it otherwise."""
    if plan.passed_over:
        yield "Yours, though the template has one of that name: it stays, and ours is not written"
        yield from (f"  {file}" for file in plan.passed_over)
        yield ""
    if plan.left:
        yield f"Left as you wrote it in {PRODUCTION_RB}"
        for left in plan.left:
            yield f"  line {left.line}: {left.stands} ({left.why})"
            if left.write:
                yield f"    recommended: {left.write}"
        yield ""


def by_hand(plan: Plan) -> Iterator[str]:
    """Yield what the owner has to put in by hand."""
    if plan.by_hand:
        yield BY_HAND
        for one in plan.by_hand:
            yield from (f"  {line}" for line in str(one).splitlines())
        yield ""
