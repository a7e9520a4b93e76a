"""`kamalstream update`: a newer template, merged with what the owner of the app has made of it."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import questionary
from plumbum import local
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from kamalstream.ask import given
from kamalstream.ask.answers import refuse_wrong
from kamalstream.check import check_files
from kamalstream.check.finding import Finding, ok, summary
from kamalstream.commands.findings import linked
from kamalstream.edit.edited import BY_HAND
from kamalstream.errors import BadInput, Interrupted
from kamalstream.facts import ANSWERS, NEW_ANSWERS
from kamalstream.git import ELSEWHERE
from kamalstream.inspect.adopted import App
from kamalstream.printable import printable, shown
from kamalstream.render.source import is_trusted
from kamalstream.terminal import asked, diff_line, page
from kamalstream.update.outcome import UNDO, undo, what_next
from kamalstream.update.preview import Preview, preview, refuse_unready, take_over
from kamalstream.update.releases import Releases, releases

_NO_TERMINAL = (
    "there is no terminal to ask on. Say --yes to update without a question, or --dry-run to only "
    "see what would change."
)
_AS_IT_WAS = f"To have the app as it was, in its folder:\n  {UNDO}"


class Conflicts(str, Enum):
    """Where both sides of a conflict go, as Copier's --conflict."""

    inline = "inline"
    rej = "rej"


@dataclass(frozen=True)
class Given:
    """New answers, and how conflicts are left; see `kamalstream update --help`."""

    data: tuple[str, ...] = ()
    data_file: Path | None = None
    conflict: Conflicts = Conflicts.inline


@dataclass(frozen=True)
class Options:
    """Whether to ask, whether to write, and whether code of any source may be run."""

    yes: bool = False
    dry_run: bool = False
    trust: bool = False


def check(folder: Path, as_json: bool) -> int:
    """Say whether there is a newer release; return 1 where there is, else 0."""
    _leave_git_hook()
    App(folder)
    found = releases(folder)
    if as_json:
        answer = {
            "app": str(folder),
            "current": found.current,
            "newest": found.newest,
            "update_available": found.available,
            "news": found.news,
        }
        print(json.dumps(answer, indent=2))
    else:
        print(_versions(found))
        if found.available and found.news:
            print(f"\n{printable(found.news)}")
    return 1 if found.available else 0


def run(folder: Path, told: Given, options: Options, console: Console) -> int:
    """Update the app in `folder`; return the exit code. Raises BadInput, with nothing written."""
    talks = sys.stdin.isatty() and sys.stdout.isatty()
    if not talks and not (options.yes or options.dry_run):
        raise BadInput(_NO_TERMINAL)
    _leave_git_hook()
    app = App(folder)
    if not options.dry_run:
        # What a `copier copy` that was killed has left behind.
        (folder / NEW_ANSWERS).unlink(missing_ok=True)
    refuse_unready(folder)
    if not options.trust and not _may_run(app, talks, console):
        console.print("Nothing was changed.")
        return 0
    with console.status("looking for the newest release"):
        found = releases(folder)
    answers = given.answers(told.data_file, told.data, found.questions)
    refuse_wrong(found.form, app.answers, answers)
    console.print(_versions(found))
    if not found.available and not answers:
        return 0
    if found.available and found.news:
        console.print(f"\n{escape(found.news)}", soft_wrap=True)
    console.print("\nThe update is tried on a copy of the app.")
    with ExitStack() as stack:
        with console.status("a few seconds"):
            done = stack.enter_context(preview(folder, answers, told.conflict.value))
        if not done.changes:
            console.print("Nothing changes.")
            return 0
        page(Text("\n").join([Text(), *map(diff_line, done.diff.splitlines())]), console)
        console.print("\n".join(_summary(done)), soft_wrap=True, markup=False)
        if options.dry_run or (talks and not options.yes and not _confirmed()):
            console.print("Nothing was changed.")
            return 0
        try:
            take_over(done)
        except KeyboardInterrupt:
            raise Interrupted(_AS_IT_WAS) from None
        except BadInput:
            raise
        except BaseException:
            print(f"\n{_AS_IT_WAS}", file=sys.stderr)
            raise
        written = [*done.new, *(one.file for one in done.conflicts)]
        next_steps = f"\n{what_next(done.copy, undo(folder, written))}"
    findings = [finding for finding in check_files(App(folder)) if finding.level != "note"]
    _say_what_is_left(done, findings, console)
    console.print(next_steps, soft_wrap=True, markup=False)
    return 0 if ok(findings) and not done.conflicts and not done.by_hand else 1


def _may_run(app: App, talks: bool, console: Console) -> bool:
    """Ask where the code to be run is not of the source that this command was installed from."""
    source = str(app.answers.get("_src_path", ""))
    if is_trusted(source, app.root):
        return True
    said = (
        f"The update runs the code of {shown(source, 200)}, which {ANSWERS} names: this command "
        "was not installed from there."
    )
    if not talks:
        raise BadInput(f"{said}\nWhere you trust it, say --trust.")
    console.print(said, markup=False, soft_wrap=True)
    return bool(asked(questionary.confirm("Do you trust it?", default=False)))


def _leave_git_hook() -> None:
    """Forget the repository that git names to its hooks: Copier's clones are no part of it."""
    for name in ELSEWHERE:
        os.environ.pop(name, None)
        # Copier runs git through plumbum, whose environment is a copy of its own.
        if name in local.env:
            del local.env[name]


def _versions(found: Releases) -> str:
    current, newest = _named(found.current), _named(found.newest)
    if found.available:
        return f"There is a newer release of the template: {current} → {newest}"
    return f"The app is on the newest release of the template, {current}."


def _named(version: str) -> str:
    """Return what a version is called; where no tag stands there, the commit it is of."""
    untagged = re.fullmatch(r".*\.dev[0-9]+\+(?:g)?([0-9a-f]{7,}).*", version)
    return f"commit {untagged[1]}" if untagged else version


def _summary(done: Preview) -> Iterator[str]:
    groups = (
        ("new", done.new),
        ("updated", done.updated),
        ("merged with yours", done.merged),
        ("yours, with our lines in it brought up to date", done.edited),
        ("removed: the template has it no more, and it was not changed", done.dropped),
        ("untouched", done.untouched),
        ("left as it is, because git ignores it and cannot merge it", done.ignored),
        ("stays away, as you removed it", done.absent),
    )
    for name, files in groups:
        if files:
            yield f"{name}\n" + "\n".join(f"  {file}" for file in files)
    if done.conflicts:
        yield "conflict, to be resolved by you\n" + "\n".join(f"  {one}" for one in done.conflicts)
    if done.by_hand:
        yield f"{BY_HAND}\n{done.by_hand}"


def _confirmed() -> bool:
    return bool(asked(questionary.confirm("Update the app so?", default=True)))


def _say_what_is_left(done: Preview, findings: list[Finding], console: Console) -> None:
    console.print("\n[green]Updated.[/] Nothing is committed yet.")
    if done.conflicts:
        files = ", ".join(one.file for one in done.conflicts)
        console.print(f"Resolve first: {files}", style="yellow", soft_wrap=True, markup=False)
    if done.by_hand:
        console.print(f"{BY_HAND}\n{done.by_hand}", soft_wrap=True, markup=False)
    if findings and not done.conflicts:
        console.print(linked(findings, console), soft_wrap=True)
        console.print(f"Checked: {summary(findings)}.")
