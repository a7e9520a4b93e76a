"""`kamalstream destination NAME`: a deployment beside the others, with backups of its own."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import questionary
from rich.console import Console
from rich.text import Text

from kamalstream import facts
from kamalstream.ask import given
from kamalstream.ask.adoption import known_answers, uncertain_databases
from kamalstream.ask.answers import earlier, settle
from kamalstream.ask.questions import Asking
from kamalstream.ask.validators import form
from kamalstream.check import check_files
from kamalstream.check.finding import ok
from kamalstream.commands.findings import linked
from kamalstream.edit.adoption import Adoption, read_text
from kamalstream.edit.new_destination import deploy_file, secrets_file
from kamalstream.errors import BadInput, leaving_says
from kamalstream.inspect.adopted import App
from kamalstream.inspect.app import inspect_app
from kamalstream.inspect.kamal.deployment import PRODUCTION, Deployment
from kamalstream.inspect.kamal.files import destination_file
from kamalstream.printable import shown
from kamalstream.render.apply import apply, refuse_unwritable, undo
from kamalstream.render.journal import take_back
from kamalstream.render.plan import Change, Plan, plan
from kamalstream.render.show import by_hand, differences, overview
from kamalstream.render.source import template_source
from kamalstream.render.with_copier import keep_source, release_of, render
from kamalstream.terminal import asked, diff_line, fold, page

_NAME = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*")
_ASKED = {"server_ip": "Address of its server", "domain": "Its public host name"}
# What nothing is read from.
_LARGE = (".git", "node_modules")
_DATA = ("storage", "log", "tmp")
# Nor these, of which no copy is to be left in a temporary folder where this is killed.
_KEYS = ("*.key", "*.pem", ".env*")


@dataclass(frozen=True)
class Options:
    """What the command was called with; see `kamalstream destination --help`."""

    data: tuple[str, ...] = ()
    yes: bool = False
    dry_run: bool = False


def run(folder: Path, name: str, options: Options, console: Console) -> int:
    """Add the destination `name` to the app in `folder`; return the exit code.

    Raises BadInput, with nothing written.
    """
    talks = sys.stdin.isatty() and sys.stdout.isatty()
    if not options.dry_run:
        refuse_unwritable(folder)
        take_back(folder)
    app = App(folder)
    main = _main(app, name)
    told = _answers(main, name, given.answers(None, options.data, _ASKED), talks)
    if not talks and not (options.yes or options.dry_run):
        raise BadInput("there is no terminal to ask on. Say --yes, or --dry-run to only look.")
    with console.status("reading the app"):
        planned, missing = _plan(app, main, name, told)
    page(Text("\n").join(map(diff_line, differences(planned))), console)
    new = next(one for one in planned.changes if one.file == destination_file(name))
    console.print(f"{new.file}\n{(new.after or b'').decode()}", soft_wrap=True, markup=False)
    for line in (*overview(planned), "", *by_hand(planned), *_shared(main, name, missing)):
        style = "" if line.startswith(" ") else "bold"
        console.print(Text(fold(line, console), style), soft_wrap=True)
    if options.dry_run:
        return 0
    if not options.yes and not asked(questionary.confirm("Write these changes?")):
        console.print("Nothing was changed.")
        return 0
    kept = apply(planned, datetime.now())
    console.print(f"[green]Written:[/] {len(planned.changes)} files.")
    console.print("To have the app as it was, in its folder:")
    console.print(f"  {undo(planned, kept)}\n", soft_wrap=True, markup=False)
    with leaving_says("The files are written, and not checked: kamalstream check"):
        findings = [one for one in check_files(App(folder)) if one.level != "note"]
    if findings:
        console.print(linked(findings, console), soft_wrap=True)
    console.print(_next(name, told), soft_wrap=True, markup=False)
    return 0 if ok(findings) and not planned.by_hand else 1


def _main(app: App, name: str) -> Deployment:
    """Return the deployment that the new one is like; raise BadInput where there can be none."""
    if not _NAME.fullmatch(name):
        raise BadInput(f"{shown(name)} is no name of a destination: staging, for example.")
    if name == PRODUCTION:
        raise BadInput("production is what the main deployment is called: take another name.")
    file = destination_file(name)
    if (app.root / file).exists():
        known = name in app.destinations
        what = f"kamal setup -d {name} deploys it" if known else "kamalstream init takes it in"
        raise BadInput(f"{file} is there already: {what}.")
    main = app.kamal.main if app.kamal else None
    if main is None or not main.readable:
        raise BadInput(f"{facts.DEPLOY} has no main deployment to be like: kamalstream check")
    return main


def _answers(main: Deployment, name: str, data: Mapping[str, Any], talks: bool) -> dict[str, str]:
    """Return server and domain of the destination, asked for where `data` has them not."""
    domain = next(iter(main.proxy.hosts), "")
    offered = {"server_ip": main.server or "", "domain": f"{name}.{domain}" if domain else ""}
    wanted = [key for key in _ASKED if key != "domain" or domain]
    told = {key: str(value) for key, value in data.items()}
    for key in wanted:
        if key in told:
            continue
        if not talks:
            raise BadInput(f"--data {key}=… is missing, and there is no terminal to ask on.")

        def right(text: str, key: str = key) -> bool | str:
            return _problem(main, key, text) or True

        question = f"{_ASKED[key]}:"
        told[key] = asked(questionary.text(question, offered[key], validate=right))
    for key, value in told.items():
        if problem := _problem(main, key, value):
            raise BadInput(f"--data {key}: {problem}")
    return told


def _problem(main: Deployment, key: str, value: str) -> str:
    if key == "domain" and value in main.proxy.hosts:
        return f"{value} is what {main.label} answers to: kamal-proxy takes it for one alone."
    refused, _ = form().refusals({}, {key: value})
    return f"{shown(value)} {refused[key]}" if key in refused else ""


def _plan(
    app: App, main: Deployment, name: str, told: Mapping[str, str]
) -> tuple[Plan, tuple[str, ...]]:
    """Work out what adoption makes of an app with the destination in it, on a copy.

    Returns that, and the names of secrets that the destination has to get.
    """
    text = deploy_file(main, name, told["server_ip"], told.get("domain", ""))
    new = {destination_file(name): text}
    missing: tuple[str, ...] = ()
    fetched = read_text(app.root, main.secrets_files[-1])
    file = f"{main.secrets_files[0].removesuffix('-common')}.{name}"
    if fetched is not None and not (app.root / file).exists():
        new[file], missing = secrets_file(fetched)
    with (
        tempfile.TemporaryDirectory(prefix="kamalstream-") as scratch,
        release_of(template_source(), app.answers) as template,
    ):
        copy = Path(scratch, "app", app.root.name)
        shutil.copytree(app.root, copy, symlinks=True, ignore=_ignored(app.root))
        for one, content in new.items():
            (copy / one).parent.mkdir(exist_ok=True)
            (copy / one).write_text(content, "utf-8")
        read, before = inspect_app(copy), earlier(copy)
        known = known_answers(read, {}, before)
        uncertain_databases(read, known, quietly=True)
        settle(known, True, app.root.name)
        rendered, last = Path(scratch, "now", copy.name), Path(scratch, "last", copy.name)
        answers = render(template, rendered, Asking(known.given, known.offered))
        keep_source(rendered / facts.ANSWERS, app.text(facts.ANSWERS) or "")
        render(template, last, Asking(before))
        planned = plan(Adoption(copy, answers, rendered, last, read.kamal))
    changes = {one.file: one for one in planned.changes}
    for one, content in new.items():
        change = changes.get(one) or Change(one, None, content.encode(), 0o644, "new")
        changes[one] = replace(change, before=None, kind="new")
    return replace(planned, app=app.root, changes=tuple(changes.values())), missing


def _ignored(root: Path) -> Callable[[str, list[str]], list[str]]:
    def ignored(folder: str, names: list[str]) -> list[str]:
        above = Path(folder) == root
        inside = Path(folder).parent == root and Path(folder).name in _DATA
        return [
            name
            for name in names
            if (above and name in _LARGE)
            or (inside and not name.startswith("."))
            or any(fnmatch(name, one) for one in _KEYS)
        ]

    return ignored


def _shared(main: Deployment, name: str, missing: tuple[str, ...]) -> Iterator[str]:
    """Yield what the destination does not have of its own."""
    others = [one for one in main.accessories if one != "litestream"]
    if others:
        yield f"The accessories {', '.join(others)} are not its own: {destination_file(name)} may"
        yield "  have others, with `host:` and `service:`."
        yield ""
    if missing:
        yield f"Not copied, as they stand in the file themselves: {', '.join(missing)}. Put those"
        yield f"  of {name} into its secrets file."
        yield ""


def _next(name: str, told: Mapping[str, str]) -> str:
    steps = [
        *([f"the DNS record of {told['domain']}, to its server"] if told.get("domain") else []),
        "git add --all && git commit",
        f"kamal setup -d {name}",
    ]
    numbered = (f"  {n}. {one}" for n, one in enumerate(steps, 1))
    copy = f"{facts.RESTORE} --from {PRODUCTION} --destination {name}"
    also = f"To have a copy of {PRODUCTION}'s data there, then:"
    return "\n".join(["What comes next:", *numbered, also, f"  {copy}"])
