"""The command `kamalstream`. Exit codes: 0 fine, 1 findings of level error, 2 bad input."""

from __future__ import annotations

# ruff: noqa: E402
import os
import signal
import sys

_STARTED = __name__ == "__main__" or os.path.basename(sys.argv[0]) == "kamalstream"  # noqa: PTH119
if _STARTED and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C while the rest is loaded, which takes a second, ends it without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import io
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from kamalstream import facts, git
from kamalstream.ask.bill import in_words
from kamalstream.check import check_files
from kamalstream.check.committed import check_committed
from kamalstream.check.credentials import check_credentials
from kamalstream.check.finding import as_github, as_json, ok, summary
from kamalstream.check.live import check_live
from kamalstream.check.real_programs import check_with_programs
from kamalstream.commands import credentials as credentials_command
from kamalstream.commands import destination as destination_command
from kamalstream.commands import drill as drill_command
from kamalstream.commands import init as init_command
from kamalstream.commands import move as move_command
from kamalstream.commands import remove as remove_command
from kamalstream.commands import status as status_command
from kamalstream.commands import update as update_command
from kamalstream.commands import verify as verify_command
from kamalstream.commands.findings import linked
from kamalstream.errors import INTERRUPTED, BadInput, Interrupted
from kamalstream.facts import APPLICATION_RB
from kamalstream.inspect.adopted import App
from kamalstream.inspect.literal_secrets import literal_secrets, masked
from kamalstream.printable import printable
from kamalstream.terminal import Terminal, fold


class _Commands(typer.core.TyperGroup):
    """Commands that Ctrl-C and Ctrl-D leave in the same way."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named; what it had changed by then is for it to say."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, EOFError):
            raise Interrupted("Nothing was changed.") from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Rails 8 on SQLite to a Kamal 2 deployment whose data survives the loss of its server.",
)

_WITHOUT = "run no program of the app's or on its files"
_HERE = Path()
_DATA = "an answer; for more of them, more than once"
AppFolder = Annotated[Path, typer.Argument(metavar="APP", help="The Rails app.")]


class Format(str, Enum):
    """How findings are printed."""

    text = "text"
    json = "json"


class CheckFormat(str, Enum):
    """The same for `check`."""

    text = "text"
    json = "json"
    github = "github"


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"kamalstream {metadata.version('kamalstream')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="say it and exit"),
    ] = False,
) -> None:
    """Take the options before the name of a command."""


@app.command()
def init(
    folder: AppFolder = _HERE,
    data: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help=_DATA)] = None,
    data_file: Annotated[Path | None, typer.Option(metavar="FILE", help="answers, as YAML")] = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="ask no questions")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="write without asking first")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show the changes")] = False,
    no_programs: Annotated[bool, typer.Option("--no-programs", help=_WITHOUT)] = False,
) -> None:
    """Make an app ready to be deployed.

    It reads the app, asks what that does not say, shows the changes, writes, and checks.
    """
    options = init_command.Options(
        tuple(data or ()), data_file, defaults, yes, dry_run, not no_programs
    )
    here = _folder(folder)
    raise typer.Exit(init_command.run(here, options, _terminal(here)))


@app.command()
def update(
    folder: AppFolder = _HERE,
    check: Annotated[bool, typer.Option("--check", help="only say whether there is one")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="write without asking first")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show the changes")] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="run the template's code, wherever it comes from")
    ] = False,
    data: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help=_DATA)] = None,
    data_file: Annotated[Path | None, typer.Option(metavar="FILE", help="answers, as YAML")] = None,
    conflict: Annotated[
        update_command.Conflicts, typer.Option(help="mark conflicts in the file, or beside it")
    ] = update_command.Conflicts.inline,
    format: Annotated[Format, typer.Option(help="of --check: text or json")] = Format.text,
) -> None:
    """Take over a newer template, or another answer.

    It shows what would change, merges it with your edits, and says what to run.
    """
    here = _folder(folder)
    if check:
        raise typer.Exit(update_command.check(here, format is Format.json))
    given = update_command.Given(tuple(data or ()), data_file, conflict)
    options = update_command.Options(yes, dry_run, trust)
    raise typer.Exit(update_command.run(here, given, options, _terminal(here)))


@app.command()
def check(
    folder: AppFolder = _HERE,
    live: Annotated[
        bool, typer.Option("--live", help="the domain, the server and the bucket too")
    ] = False,
    no_programs: Annotated[bool, typer.Option("--no-programs", help=_WITHOUT)] = False,
    format: Annotated[
        CheckFormat, typer.Option(help="github: annotations of a workflow")
    ] = CheckFormat.text,
) -> None:
    """Check all files, with the real programs.

    Those that are found: Kamal, Litestream, hadolint, shellcheck, Ruby. Kamal runs the code in
    config/deploy.yml (<% … %>): --no-programs leaves it and all others out.
    """
    checked = App(_folder(folder))
    findings = [*check_files(checked), *check_credentials(checked), *check_committed(checked)]
    asked: list[str] = []
    with Terminal(stderr=True).status("checking") as status:

        def step(name: str) -> None:
            asked.append(name)
            status.update(f"asking {name}")

        if not no_programs:
            findings += check_with_programs(checked, step)
        if live:
            findings += check_live(checked, step)
    if format is CheckFormat.json:
        print(as_json(checked.root, findings))
    elif format is CheckFormat.github:
        said = as_github(git.below_top(checked.root), findings)
        print(printable(masked(said, literal_secrets(checked.root))))
    else:
        console = _terminal(checked.root)
        if findings:
            console.print(linked(findings, console), soft_wrap=True, end="\n\n")
        if "storage_provider" in checked.answers:
            console.out(fold(in_words(checked.answers), console))
        console.out(f"asked besides the files themselves: {', '.join(asked) or 'no program'}")
        console.out(f"{'ok' if ok(findings) else 'not ok'}: {summary(findings)}")
    raise typer.Exit(0 if ok(findings) else 1)


@app.command()
def credentials(
    folder: AppFolder = _HERE,
    stdin: Annotated[bool, typer.Option("--stdin", help="two lines of standard input")] = False,
) -> None:
    """Put the bucket's keys into Rails' credentials.

    They are encrypted, and hidden while they are typed.
    """
    here = _folder(folder)
    raise typer.Exit(credentials_command.run(here, stdin, _terminal(here)))


@app.command()
def destination(
    name: Annotated[str, typer.Argument(metavar="NAME", help="staging, for example")],
    folder: AppFolder = Path(),
    data: Annotated[list[str] | None, typer.Option(help="server_ip=… or domain=…")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="write without asking first")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show the changes")] = False,
) -> None:
    """Add a deployment beside the others, say staging.

    It gets backups, a volume and secrets of its own.
    """
    options = destination_command.Options(tuple(data or ()), yes, dry_run)
    raise typer.Exit(destination_command.run(_folder(folder), name, options, _terminal(folder)))


@app.command()
def move(
    server: Annotated[str, typer.Argument(metavar="NEW_SERVER", help="address of the new one")],
    folder: AppFolder = _HERE,
    destination: Annotated[str, typer.Option(metavar="NAME", help="a destination's server")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="take back a move that is not done")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="move without asking first")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only look, and show the plan")
    ] = False,
) -> None:
    """Move the deployed app to a new server.

    No row is lost; it says how long the app is down before it stops it. Run it again where it was
    interrupted.
    """
    options = move_command.Options(destination, undo, yes, dry_run)
    here = _folder(folder)
    raise typer.Exit(move_command.run(here, server, options, _terminal(here)))


@app.command()
def drill(
    folder: AppFolder = _HERE,
    seconds: Annotated[float, typer.Option(min=2, max=600, help="how long rows are written")] = 6,
) -> None:
    """Prove on this machine that backups restore.

    It replicates, kills, loses the disk, restores and compares.
    """
    here = _folder(folder)
    proven = drill_command.run(here, seconds, _terminal(here))
    raise typer.Exit(0 if proven else 1)


@app.command()
def status(
    folder: AppFolder = _HERE,
    destination: Annotated[str, typer.Option(metavar="NAME", help="one deployment alone")] = "",
    format: Annotated[Format, typer.Option(help="text for people, json for scripts")] = Format.text,
) -> None:
    """Show how the backups on the server are.

    How old, how deep and how large they are; 1 where one is older than it may be.
    """
    as_json = format is Format.json
    here = _folder(folder)
    console = _terminal(here, stderr=as_json)
    fine = status_command.run(here, destination, as_json, console)
    raise typer.Exit(0 if fine else 1)


@app.command()
def verify(
    folder: AppFolder = _HERE,
    destination: Annotated[str, typer.Option(metavar="NAME", help="a destination's backups")] = "",
    check: Annotated[
        str, typer.Option(metavar="CMD", help="a command of yours; $RESTORED is the folder")
    ] = "",
    evidence: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"the last good verification; {facts.VERIFIED}"),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="leave the restored files here")
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="rows that are fewer now are as they should be")
    ] = False,
    format: Annotated[Format, typer.Option(help="text for people, json to keep")] = Format.text,
) -> None:
    """Restore the real backups here, and look at them.

    The bucket is only read.
    """
    options = verify_command.Options(
        destination, check, evidence, keep, accept, format is Format.json
    )
    here = _folder(folder)
    console = _terminal(here, stderr=options.json)
    raise typer.Exit(0 if verify_command.run(here, options, console) else 1)


@app.command()
def remove(
    folder: AppFolder = Path(),
    yes: Annotated[bool, typer.Option("--yes", help="write without asking first")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show the changes")] = False,
) -> None:
    """Take out what kamalstream brought.

    Your edits and your data stay.
    """
    options = remove_command.Options(yes, dry_run)
    raise typer.Exit(remove_command.run(_folder(folder), options, _terminal(folder)))


def _terminal(folder: Path, stderr: bool = False) -> Terminal:
    return Terminal(literal_secrets(folder), stderr=stderr)


def _folder(folder: Path) -> Path:
    """Return `folder` as an absolute path; raise BadInput where it is none.

    Where none is named it is the app that the current directory is in, as for `bin/rails`.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder. Give the folder of your Rails app.")
    here = folder.resolve()
    above = [one for one in here.parents if (one / APPLICATION_RB).is_file()]
    inside = folder is _HERE and above and not (here / APPLICATION_RB).is_file()
    return above[0] if inside else here


def main() -> None:
    """Run the command; bad input is a message and exit code 2, never a traceback."""
    # As an exception, so that a drill or a check stops the servers it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _open_streams()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except Interrupted as said:
        print(f"\n{said}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BadInput as error:
        text = printable(f"kamalstream: {error}")
        print(fold(text, Terminal(stderr=True)), file=sys.stderr)
        sys.exit(2)
    except PermissionError as error:
        print(f"kamalstream: {error.filename} is closed to you: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        # Where the reader (head, less) has seen enough, nobody is to be told.
        if not isinstance(error, BrokenPipeError):
            where = error.filename or "standard output"
            print(f"kamalstream: {where} failed: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)


def _open_streams() -> None:
    """Have all three streams there, and able to print whatever the encoding lacks."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
