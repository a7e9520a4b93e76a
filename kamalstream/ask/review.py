"""The page on which all answers are looked at, and one can be changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import questionary

from kamalstream.ask.answers import is_asked
from kamalstream.ask.questions import questions
from kamalstream.facts import PROVIDERS
from kamalstream.printable import printable
from kamalstream.terminal import asked

#: Never asked, and shown all the same: what is replaced hangs on it.
_SHOWN_TOO = "own_files"
#: What each answer is called on the page, in at most 18 characters.
LABELS = {
    "app_name": "App",
    "server_ip": "Server",
    "domain": "Domain",
    "storage_provider": "Storage",
    "region": "Region",
    "endpoint": "Endpoint",
    "bucket": "Bucket",
    "own_files": "Files of yours",
    "databases": "Databases",
    "backup_ephemeral": "Cache, cable too",
    "uploads": "Uploaded files too",
    "queue_loss": "Loss of jobs",
    "litestream_version": "Litestream",
    "retention": "Backups are kept",
    "ruby_version": "Ruby",
    "registry_server": "Registry",
    "registry_username": "User at it",
    "ssh_user": "User of ssh",
    "arch": "Architecture",
    "heartbeat_url": "Heartbeat",
    "verify_schedule": "Verified",
}
_GO_ON = "Yes: show what would change"


def review(answers: Mapping[str, Any], width: int) -> str | None:
    """Show `answers`; return the name of the one to change, None where all are right.

    `width` is that of the terminal. Raises KeyboardInterrupt where the user leaves.
    """
    shown = [n for n in questions() if n == _SHOWN_TOO or (n != "advanced" and is_asked(n))]
    names = [name for name in shown if name in answers]
    room = width - 26
    choices = [questionary.Choice(_GO_ON, value="")]
    for name in names:
        first, *more = [_cut(line, room) for line in _shown(name, answers[name])]
        choices.append(questionary.Choice(f"{LABELS[name]:<19} {first}".rstrip(), value=name))
        choices += [questionary.Separator(f"{'':<19} {line}") for line in more]
    chosen: str = asked(
        questionary.select(
            "Is all of this right? Or choose what to change.", choices=choices, instruction=" "
        )
    )
    return chosen or None


def _cut(line: str, room: int) -> str:
    line = printable(line)
    return line if len(line) <= room else line[: room - 1] + "…"


def _shown(name: str, value: Any) -> list[str]:
    """Return the lines of one answer; each database and file has its own, primary first."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: (name != "primary", name))
        return [f"{name}: {value[name]}" for name in names] or [""]
    if isinstance(value, list):
        return list(map(str, value)) or ["none"]
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if name == "storage_provider":
        return [str(PROVIDERS[value]["label"])]
    if name == "retention" and (hours := re.fullmatch(r"([0-9]+)h", str(value))):
        days, rest = divmod(int(hours[1]), 24)
        return [f"{hours[1]} hours" if rest or days < 2 else f"{days} days"]
    choices = questions()[name].get("choices")
    for one in choices if isinstance(choices, list) else ():
        if isinstance(one, list) and one[1] == value:
            return [str(one[0])]
    return [str(value) or "none"]
