"""`kamalstream credentials`: the two keys of the bucket go into Rails' encrypted credentials."""

from __future__ import annotations

import sys
from pathlib import Path

import questionary
from rich.console import Console

from kamalstream.check.live_bucket import opened
from kamalstream.edit.credentials import NAMES, refuse_without_key, store
from kamalstream.errors import BadInput
from kamalstream.facts import ANSWERS, APPLICATION_RB
from kamalstream.inspect.adopted import App
from kamalstream.prove.real_bucket import remedy
from kamalstream.terminal import asked, fold

_LABELS = {
    "access_key_id": "Access key id of the bucket (hidden, as the next one)",
    "secret_access_key": "Secret access key (hidden)",
}


def run(folder: Path, from_stdin: bool, console: Console) -> int:
    """Store the two keys, from two lines of standard input or hidden prompts; return the exit code.

    Raises BadInput, with nothing written; no message holds a key.
    """
    if not (folder / APPLICATION_RB).is_file():
        raise BadInput(f"{folder} is not a Rails app (it has no {APPLICATION_RB}).")
    refuse_without_key(folder)
    keys = _from_stdin() if from_stdin else _asked()
    stored = store(folder, *keys)
    if stored.changed:
        console.print(f"Written to {stored.path}, under litestream:\n{' and '.join(NAMES)}.")
        console.print(
            "Commit that file. A server that runs already gets the keys with:\n"
            "kamal accessory reboot litestream && kamal deploy"
        )
    else:
        console.print(f"{stored.path} has these keys already: nothing was changed.")
    if not from_stdin:
        _try(folder, dict(zip(NAMES, keys, strict=True)), console)
    return 0


def _try(folder: Path, pair: dict[str, str], console: Console) -> None:
    """Say whether the bucket of config/litestream.yml opens with the keys; it may be made later."""
    if not (folder / ANSWERS).is_file():
        return
    with console.status("trying them"):
        tried = list(opened(App(folder), pair))
    for bucket, problem in tried:
        said = f"{bucket} does not open with them: {problem}. {remedy(problem)}".rstrip()
        console.print(f"{bucket} opens with them." if not problem else fold(said, console))


def _from_stdin() -> tuple[str, str]:
    try:
        lines = sys.stdin.read().splitlines()
    except UnicodeDecodeError:
        raise BadInput("what is on standard input is not text in this encoding.") from None
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) != len(NAMES):
        raise BadInput(f"--stdin takes two lines, {' and '.join(NAMES)}; there are {len(lines)}.")
    return lines[0].strip(), lines[1].strip()


def _asked() -> tuple[str, str]:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput(
            "there is no terminal to ask on. Give the keys on standard input, one a line:\n"
            "kamalstream credentials --stdin < FILE"
        )
    first, second = (
        asked(
            questionary.password(
                _LABELS[name], validate=lambda value: bool(value.strip()) or "A key is needed."
            )
        )
        for name in NAMES
    )
    return first.strip(), second.strip()
