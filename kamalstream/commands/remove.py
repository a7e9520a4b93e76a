"""`kamalstream remove`: an app without what kamalstream brought, and with all else."""

from __future__ import annotations

import posixpath
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import questionary
from rich.console import Console
from rich.text import Text

from kamalstream import facts
from kamalstream.ask.answers import earlier
from kamalstream.ask.questions import Asking
from kamalstream.check.deployed import Deployed, deployments
from kamalstream.edit.adoption import read_bytes
from kamalstream.edit.edited import ByHand
from kamalstream.edit.removal import Removal, edits, gone
from kamalstream.errors import BadInput, leaving_says
from kamalstream.inspect.adopted import App
from kamalstream.render.apply import apply, refuse_unwritable, undo
from kamalstream.render.journal import take_back
from kamalstream.render.plan import Change, Plan
from kamalstream.render.show import differences, overview
from kamalstream.render.source import template_source
from kamalstream.render.with_copier import release_of, render
from kamalstream.terminal import asked, diff_line, fold, page

_NO_TERMINAL = (
    "there is no terminal to ask on. Say --yes to remove without a question, or --dry-run to only "
    "see what would change."
)
_STAYS = """\
What stays, as the app is deployed with it
  the volume with the databases, and where config/database.yml has them
  config/environments/production.rb, and what .dockerignore keeps out of images"""


@dataclass(frozen=True)
class Options:
    """What the command was called with; see `kamalstream remove --help`."""

    yes: bool = False
    dry_run: bool = False


def run(folder: Path, options: Options, console: Console) -> int:
    """Take kamalstream out of the app in `folder`; return the exit code.

    Raises BadInput, with nothing written.
    """
    talks = sys.stdin.isatty() and sys.stdout.isatty()
    if not talks and not (options.yes or options.dry_run):
        raise BadInput(_NO_TERMINAL)
    if not options.dry_run:
        refuse_unwritable(folder)
        take_back(folder)
    if not (folder / facts.ANSWERS).exists():
        raise BadInput(f"nothing to remove: {folder} has no {facts.ANSWERS}.")
    app = App(folder)
    with tempfile.TemporaryDirectory(prefix="kamalstream-") as scratch:
        rendered = Path(scratch, folder.name)
        with (
            console.status("reading the app"),
            release_of(template_source(), app.answers) as template,
        ):
            render(template, rendered, Asking(earlier(folder)))
        planned, stay = _plan(Removal(folder, rendered, app.kamal))
    page(Text("\n").join(map(diff_line, differences(planned))), console)
    _say([*overview(planned), "", *_left(planned.by_hand, stay)], console)
    if options.dry_run:
        return 0
    question = "Remove kamalstream from the app so?"
    if not options.yes and not asked(questionary.confirm(question, default=False)):
        console.print("Nothing was changed.")
        return 0
    last = "\n".join(_elsewhere(app))
    kept = apply(planned, datetime.now())
    with leaving_says("kamalstream is taken out, and nothing is committed yet."):
        console.print("[green]Removed.[/] Nothing is committed yet.")
        console.print("To have the app as it was, in its folder:")
        console.print(f"  {undo(planned, kept)}\n", soft_wrap=True, markup=False)
        console.print(last, soft_wrap=True, markup=False)
    return 1 if planned.by_hand else 0


def _plan(removal: Removal) -> tuple[Plan, dict[str, str]]:
    """Return what would change, and which files of ours stay, with the reason."""
    found = tuple(edits(removal))
    go, stay = gone(removal, found)
    changes = [
        Change(one.file, (one.before or "").encode(), one.edited.text.encode(), mode, "without")
        for one in found
        if one.edited.text != one.before
        for mode in [_mode(removal.app / one.file)]
    ]
    changes += [
        Change(file, read_bytes(removal.app, file), None, _mode(removal.app / file), "gone")
        for file in go
    ]
    by_hand = tuple(said for one in found for said in one.edited.by_hand)
    return Plan(removal.app, tuple(changes), by_hand), stay


def _mode(file: Path) -> int:
    return file.stat().st_mode & 0o7777


def _left(by_hand: tuple[ByHand, ...], stay: Mapping[str, str]) -> Iterator[str]:
    if stay:
        yield "Ours, and left"
        yield from (f"  {file}: {why}" for file, why in stay.items())
        yield ""
    yield from _STAYS.splitlines()
    yield ""
    if by_hand:
        yield "To take out by hand, because it cannot be done with certainty here"
        yield from (f"  {line}" for one in by_hand for line in str(one).splitlines())
        yield ""


def _say(lines: list[str], console: Console) -> None:
    for line in lines:
        style = "" if line.startswith(" ") else "bold"
        console.print(Text(fold(line, console), style), soft_wrap=True)


def _elsewhere(app: App) -> Iterator[str]:
    """Yield what is left on servers and in the bucket, with the commands that remove it."""
    found = deployments(app)
    yield "Commit, and deploy. Until the accessory is removed, it goes on backing up:"
    for one in found:
        yield f"  {one.kamal('deploy')}"
        if one.sidecar:
            name = one.sidecar.service_name
            deployed = "-".join(filter(None, [one.deployment.service, one.deployment.name]))
            keys = f".kamal/apps/{deployed}/env/accessories/litestream.env"
            there = f"docker stop {name}; docker rm {name}; rm -rf {name} {keys}"
            command = f'server exec "{there}"'
            yield f"  {one.kamal(command)}"
    yield "What Litestream keeps beside the databases goes with:"
    for one in found:
        command = f'app exec --primary "rm -rf {" ".join(_traces(one))}"'
        yield f"  {one.kamal(command)}"
    yield "The backups stay in the bucket, and cost what they cost. Once you want them no more:"
    # What is below the path of the main one are the paths of the others.
    for one in [one for one in found if one.is_main] or found:
        yield f"  {_bucket(app.answers, one)}"
    yield "Then take the keys back where the bucket is, and out of where they are kept:"
    yield "  bin/rails credentials:edit       # litestream:, if they are there"


def _traces(one: Deployed) -> Iterator[str]:
    for path in map(one.app.in_container, one.backed_up.values()):
        folder, name = posixpath.split(path)
        yield f"{folder}/.{name}-litestream"
        yield f"{folder}/.{name}-backup"


def _bucket(answers: Mapping[str, Any], one: Deployed) -> str:
    path = f"{answers.get('app_name')}/" + ("" if one.is_main else f"{one.name}/")
    endpoint = str(answers.get("endpoint") or "")
    endpoint = f"--endpoint-url {endpoint} " if endpoint else ""
    return f"aws s3 rm --recursive {endpoint}s3://{answers.get('bucket')}/{path}"
