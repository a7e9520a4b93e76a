"""`kamalstream credentials`: the two keys of the bucket go into Rails' encrypted credentials."""

from __future__ import annotations

import sys
from pathlib import Path

import questionary
from rich.console import Console

from kamalstream.edit.credentials import NAMES, store
from kamalstream.errors import INTERRUPTED, BadInput
from kamalstream.facts import APPLICATION_RB

_LABELS = {
    "access_key_id": "Access key id of the bucket",
    "secret_access_key": "Secret access key (both stay hidden)",
}


def run(folder: Path, from_stdin: bool, console: Console) -> int:
    """Store the two keys, from two lines of standard input or hidden prompts; return the exit code.

    Raises BadInput, with nothing written; no message holds a key.
    """
    if not (folder / APPLICATION_RB).is_file():
        raise BadInput(f"{folder} is not a Rails app (it has no {APPLICATION_RB}).")
    try:
        keys = _from_stdin() if from_stdin else _asked()
    except KeyboardInterrupt:
        console.print("Nothing was changed.")
        return INTERRUPTED
    stored = store(folder, *keys)
    if stored.changed:
        console.print(f"Written to {stored.path}, under litestream:\n{' and '.join(NAMES)}.")
        console.print(
            "Commit that file. A server that runs already gets the keys with:\n"
            "kamal accessory reboot litestream && kamal deploy"
        )
    else:
        console.print(f"{stored.path} has these keys already: nothing was changed.")
    return 0


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
        questionary.password(
            _LABELS[name], validate=lambda value: bool(value.strip()) or "A key is needed."
        ).unsafe_ask()
        for name in NAMES
    )
    return first.strip(), second.strip()
