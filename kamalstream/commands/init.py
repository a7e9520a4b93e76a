"""`kamalstream init`: from an app that nobody here has seen to one that can be deployed."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import questionary
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from kamalstream.ask import given
from kamalstream.ask.address import answers_of
from kamalstream.ask.adoption import (
    known_answers,
    owned_otherwise,
    uncertain_databases,
    what_was_read,
)
from kamalstream.ask.answers import Known, changed, earlier, settle, unknown
from kamalstream.ask.bill import in_words
from kamalstream.ask.questions import Asking, questions
from kamalstream.ask.review import review
from kamalstream.ask.validators import RefusedAnswers
from kamalstream.check import check_files
from kamalstream.check.committed import check_committed
from kamalstream.check.credentials import check_credentials
from kamalstream.check.finding import Finding, ok, summary
from kamalstream.check.next_steps import Step, next_steps
from kamalstream.check.real_programs import check_with_programs
from kamalstream.commands.findings import linked
from kamalstream.edit.adoption import Adoption
from kamalstream.edit.credentials import NAMES, NoKeyError, presence, refuse_without_key
from kamalstream.errors import BadInput, leaving_says
from kamalstream.facts import GUIDE, NEW_ANSWERS
from kamalstream.inspect.adopted import App
from kamalstream.inspect.app import AppFacts, inspect_app
from kamalstream.inspect.refusal import refusal
from kamalstream.render.apply import apply, refuse_unwritable, undo
from kamalstream.render.journal import take_back
from kamalstream.render.plan import Plan, plan
from kamalstream.render.show import by_hand, differences, left_alone, overview
from kamalstream.render.source import template_source
from kamalstream.render.with_copier import Template, at_hand, render
from kamalstream.terminal import asked, diff_line, fold, forget_keys, page

_NO_TERMINAL = (
    "there is no terminal to ask on. Give the answers in a file, and say that nothing is asked:\n"
    "kamalstream init --defaults --data-file answers.yml (add --dry-run to see what would change)"
)


@dataclass(frozen=True)
class Options:
    """What the command was called with; see `kamalstream init --help`."""

    data: tuple[str, ...] = ()
    data_file: Path | None = None
    defaults: bool = False
    yes: bool = False
    dry_run: bool = False
    programs: bool = True


def run(folder: Path, options: Options, console: Console) -> int:
    """Adopt the app in `folder`; return the exit code. Raises BadInput, with nothing written."""
    talks = sys.stdin.isatty() and sys.stdout.isatty()
    if not talks and not (options.defaults or options.yes):
        raise BadInput(_NO_TERMINAL)
    problem = refusal(folder)
    if problem:
        raise BadInput(problem)
    if not options.dry_run:
        refuse_unwritable(folder)
        # What a `copier copy` that was killed has left behind.
        (folder / NEW_ANSWERS).unlink(missing_ok=True)
        if take_back(folder):
            console.print("An earlier run was ended half way: what it had written is taken back.")
    told = given.answers(options.data_file, options.data, questions())
    quietly = options.defaults or not talks
    with (
        tempfile.TemporaryDirectory(prefix="kamalstream-") as scratch,
        at_hand(template_source()) as template,
    ):
        planned = _plan(template, folder, Path(scratch), told, quietly, console)
    _show(planned, console)
    if options.dry_run or not planned.changes:
        return 1 if planned.by_hand else 0
    if talks and not options.yes and not _confirmed(planned):
        console.print("Nothing was changed.")
        return 0
    kept = apply(planned, datetime.now())
    console.print(f"[green]Written:[/] {len(planned.changes)} files.")
    if kept:
        console.print(f"What they replaced is kept in {kept.relative_to(folder)}.", soft_wrap=True)
    console.print("To have the app as it was, in its folder:")
    console.print(f"  {undo(planned, kept)}", soft_wrap=True, markup=False)
    console.print()
    with leaving_says("The files are written, and not checked: kamalstream check"):
        fine = _check(folder, options.programs, console)
    guided = GUIDE not in planned.passed_over
    said = next_steps(App(folder), _keys(folder), guided)
    console.print(escape(fold(said, console)), soft_wrap=True)
    console.print()
    _say(by_hand(planned), console)
    return 0 if fine and not planned.by_hand else 1


def _plan(
    template: Template,
    app: Path,
    scratch: Path,
    told: dict[str, Any],
    quietly: bool,
    console: Console,
) -> Plan:
    """Find the answers, asking unless `quietly`, and render beside the app with them."""
    with console.status("reading the app"):
        facts, before = inspect_app(app), earlier(app)
        known = known_answers(facts, told, before)
        uncertain = uncertain_databases(facts, known, quietly)
        settle(known, quietly, app.name)
    _say_what_was_read(facts, known, console)
    if not quietly and "storage_provider" not in {*known.given, *known.offered}:
        known.offered.update(_pasted())
        settle(known, quietly, app.name)
    asking = unknown(known, uncertain)
    if quietly:
        asking = Asking(known.given, known.offered)
    else:
        forget_keys()
    rendered = scratch / "asked" / app.name
    answers = render(template, rendered, asking)
    for turn in range(1000):
        console.print(escape(fold(in_words(answers), console)), soft_wrap=True)
        name = None if quietly else review(answers, console.width)
        if name is None:
            break
        again = scratch / f"again{turn}" / app.name
        try:
            new = render(template, again, changed(answers, name))
            if new.get("own_files") != answers.get("own_files"):
                again = scratch / f"owned{turn}" / app.name
                new = render(template, again, owned_otherwise(facts, new))
            answers, rendered = new, again
        except RefusedAnswers as refused:
            console.print(f"[yellow]{escape(fold(str(refused), console))}[/]", soft_wrap=True)
    last = scratch / "last" / app.name if before else None
    if last:
        render(template, last, Asking(before))
    return plan(Adoption(app, answers, rendered, last, facts.kamal))


def _pasted() -> dict[str, str]:
    """Return what the address of the bucket says, nothing where there is none yet."""

    def is_one(text: str) -> bool | str:
        return not text.strip() or bool(answers_of(text)) or "That is no address."

    question = "Does the bucket exist? Paste its address, or that of its page; else Enter:"
    return answers_of(asked(questionary.text(question, validate=is_one)))


def _say_what_was_read(facts: AppFacts, known: Known, console: Console) -> None:
    shown = Text(fold("\n".join(what_was_read(facts, known)), console), no_wrap=True)
    shown.highlight_regex(r"(?m)^  not (certain|taken) ", "yellow")
    shown.stylize("bold", 0, len(facts.path.name))
    console.print(shown, soft_wrap=True)
    console.print()


def _show(planned: Plan, console: Console) -> None:
    """Print the diff, then what matters most: the files, and what is left to be done by hand."""
    page(Text("\n").join(map(diff_line, differences(planned))), console)
    for line in overview(planned):
        style = "" if line.startswith(" ") else "bold"
        console.print(Text(fold(line, console), style), soft_wrap=True)
    console.print()
    _say([*left_alone(planned), *by_hand(planned)], console)


def _say(lines: Iterable[str], console: Console) -> None:
    for line in lines:
        style = "" if line.startswith(" ") else "bold yellow"
        console.print(Text(fold(line, console), style), soft_wrap=True)


def _confirmed(planned: Plan) -> bool:
    """Ask; where something is left to be done by hand, Enter alone means no."""
    question = questionary.confirm("Write these changes?", default=not planned.by_hand)
    return bool(asked(question))


def _check(folder: Path, programs: bool, console: Console) -> bool:
    checked = App(folder)
    findings = [*check_files(checked), *check_credentials(checked), *check_committed(checked)]
    if programs:
        with console.status("checking") as status:
            findings += check_with_programs(checked, lambda name: status.update(f"asking {name}"))
    to_mend = [finding for finding in findings if finding.level != "note" and not _is_next(finding)]
    if to_mend:
        console.print("[bold]To mend[/]")
        console.print(linked(to_mend, console), soft_wrap=True)
    console.print(f"Checked: {summary(to_mend) if to_mend else 'nothing to mend'}.\n")
    return ok(to_mend)


def _is_next(finding: Finding) -> bool:
    """Whether the finding is what the next steps are for."""
    return finding.id in ("secrets.empty", "secrets.no-key")


def _keys(folder: Path) -> list[Step]:
    if presence(folder).found == frozenset(NAMES):
        return [("kamalstream drill", "proves that the backups restore")]
    keys = [("kamalstream credentials", "the two keys of your bucket")]
    try:
        refuse_without_key(folder)
    except NoKeyError as missing:
        if missing.has_file:
            return [("config/master.key", "from whoever made the app"), *keys]
        return [("bin/rails credentials:edit", "makes the credentials and their key"), *keys]
    except BadInput:
        # The checks have said why the credentials cannot be read.
        pass
    return keys
