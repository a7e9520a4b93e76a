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
from pathlib import Path
from typing import Annotated

import typer

from kamalstream import facts
from kamalstream.ask.bill import in_words
from kamalstream.check import check_files
from kamalstream.check.committed import check_committed
from kamalstream.check.credentials import check_credentials
from kamalstream.check.finding import as_json, as_text, ok, summary
from kamalstream.check.live import check_live
from kamalstream.check.real_programs import check_with_programs
from kamalstream.commands import credentials as credentials_command
from kamalstream.commands import drill as drill_command
from kamalstream.commands import init as init_command
from kamalstream.commands import status as status_command
from kamalstream.commands import update as update_command
from kamalstream.commands import verify as verify_command
from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import App
from kamalstream.inspect.literal_secrets import literal_secrets
from kamalstream.printable import printable
from kamalstream.terminal import Terminal, fold

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Rails 8 on SQLite to a Kamal 2 deployment whose data survives the loss of its server.",
)

_WITHOUT = "run no program of the app's or on its files"
AppFolder = Annotated[Path, typer.Argument(metavar="APP", help="The Rails app.")]


class Format(str, Enum):
    """How findings are printed."""

    text = "text"
    json = "json"


@app.callback()
def _root() -> None:
    """Keep `kamalstream COMMAND` the form even where there is one command."""


@app.command()
def init(
    folder: AppFolder = Path(),
    data_file: Annotated[Path | None, typer.Option(help="answers, as a YAML file")] = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="ask no questions")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="write without asking first")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show the changes")] = False,
    no_programs: Annotated[bool, typer.Option("--no-programs", help=_WITHOUT)] = False,
) -> None:
    """Adopt an app: read it, ask what it does not say, show the changes, write, check."""
    options = init_command.Options(data_file, defaults, yes, dry_run, not no_programs)
    raise typer.Exit(init_command.run(_folder(folder), options, _terminal(folder)))


@app.command()
def update(
    folder: AppFolder = Path(),
    check: Annotated[bool, typer.Option("--check", help="only say whether there is one")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="write without asking first")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show the changes")] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="run the template's code, wherever it comes from")
    ] = False,
    data: Annotated[list[str] | None, typer.Option(help="an answer, as KEY=VALUE")] = None,
    data_file: Annotated[Path | None, typer.Option(help="answers, as a YAML file")] = None,
    conflict: Annotated[
        update_command.Conflicts, typer.Option(help="mark conflicts in the file, or beside it")
    ] = update_command.Conflicts.inline,
    format: Annotated[Format, typer.Option(help="of --check: text or json")] = Format.text,
) -> None:
    """Pull a newer template: show what would change, merge it with your edits, say what to run."""
    here = _folder(folder)
    if check:
        raise typer.Exit(update_command.check(here, format is Format.json))
    given = update_command.Given(tuple(data or ()), data_file, conflict)
    options = update_command.Options(yes, dry_run, trust)
    raise typer.Exit(update_command.run(here, given, options, _terminal(folder)))


@app.command()
def check(
    folder: AppFolder = Path(),
    live: Annotated[
        bool, typer.Option("--live", help="the domain, the server and the bucket too")
    ] = False,
    no_programs: Annotated[bool, typer.Option("--no-programs", help=_WITHOUT)] = False,
    format: Annotated[Format, typer.Option(help="text for people, json for scripts")] = Format.text,
) -> None:
    """Check everything that was rendered, with the real programs where they are found.

    Kamal runs the code in config/deploy.yml (<% … %>): --no-programs leaves it and all others out.
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
    if format is Format.json:
        print(as_json(checked.root, findings))
    else:
        console = _terminal(folder)
        if findings:
            console.out(as_text(findings), end="\n\n")
        if "storage_provider" in checked.answers:
            console.out(fold(in_words(checked.answers), console))
        console.out(f"asked besides the files themselves: {', '.join(asked) or 'no program'}")
        console.out(f"{'ok' if ok(findings) else 'not ok'}: {summary(findings)}")
    raise typer.Exit(0 if ok(findings) else 1)


@app.command()
def credentials(
    folder: AppFolder = Path(),
    stdin: Annotated[bool, typer.Option("--stdin", help="two lines of standard input")] = False,
) -> None:
    """Put the two keys of the bucket into Rails' encrypted credentials; both stay hidden."""
    raise typer.Exit(credentials_command.run(_folder(folder), stdin, _terminal(folder)))


@app.command()
def drill(
    folder: AppFolder = Path(),
    seconds: Annotated[float, typer.Option(min=2, max=600, help="how long rows are written")] = 6,
) -> None:
    """Prove that the backups restore: replicate, kill, lose the disk, restore, compare."""
    proven = drill_command.run(_folder(folder), seconds, _terminal(folder))
    raise typer.Exit(0 if proven else 1)


@app.command()
def status(
    folder: AppFolder = Path(),
    destination: Annotated[str, typer.Option(help="one deployment alone")] = "",
    format: Annotated[Format, typer.Option(help="text for people, json for scripts")] = Format.text,
) -> None:
    """Show how old, how deep and how large the backups are; 1 where one is older than it may be."""
    as_json = format is Format.json
    console = _terminal(folder, stderr=as_json)
    fine = status_command.run(_folder(folder), destination, as_json, console)
    raise typer.Exit(0 if fine else 1)


@app.command()
def verify(
    folder: AppFolder = Path(),
    destination: Annotated[str, typer.Option(help="a destination's backups")] = "",
    check: Annotated[str, typer.Option(help="a command of yours; $RESTORED is the folder")] = "",
    evidence: Annotated[
        Path | None, typer.Option(help=f"the last good verification; {facts.VERIFIED}")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="leave the restored files here")] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="rows that are fewer now are as they should be")
    ] = False,
    format: Annotated[Format, typer.Option(help="text for people, json to keep")] = Format.text,
) -> None:
    """Restore the real backups on this machine and look at them; the bucket is only read."""
    options = verify_command.Options(
        destination, check, evidence, keep, accept, format is Format.json
    )
    console = _terminal(folder, stderr=options.json)
    raise typer.Exit(0 if verify_command.run(_folder(folder), options, console) else 1)


def _terminal(folder: Path, stderr: bool = False) -> Terminal:
    return Terminal(literal_secrets(folder), stderr=stderr)


def _folder(folder: Path) -> Path:
    """Return `folder` as an absolute path; raise BadInput where it is none."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder. Give the folder of your Rails app.")
    return folder.resolve()


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
    except BadInput as error:
        print(f"kamalstream: {printable(str(error))}", file=sys.stderr)
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
