"""Asks a deployment's server over ssh, as Kamal gets there."""

from __future__ import annotations

import subprocess

from kamalstream import programs
from kamalstream.inspect.kamal.parts import Ssh


class NoAnswerError(Exception):
    """Says in a few words why ssh did not get in."""


def ask(server: str, settings: Ssh, script: str) -> list[str]:
    """Return the lines that the shell `script` prints on `server`.

    Raises NoAnswerError where ssh does not get in, FileNotFoundError where there is none here.
    """
    return run(server, settings, script).stdout.splitlines()


def run(
    server: str, settings: Ssh, script: str, stdin: str = "", seconds: float | None = 60
) -> subprocess.CompletedProcess[str]:
    """Run the shell `script` on `server`, with the text `stdin` to read.

    It may take so many `seconds`; None is as long as it takes. Raises as `ask`.
    """
    program = programs.find("ssh")
    if program is None:
        raise FileNotFoundError("ssh")
    command = [
        program,
        *("-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15"),
        # As Kamal does it (net-ssh): a server that was never seen is noted, a changed one refused.
        *("-o", "StrictHostKeyChecking=accept-new"),
        *(("-p", str(settings.port)) if settings.port not in (None, 22) else ()),
        *(("-J", settings.proxy) if settings.proxy else ()),
        f"{settings.user or 'root'}@{server}",
        script,
    ]
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
            input=stdin,
        )
    except subprocess.TimeoutExpired:
        raise NoAnswerError("no answer within a minute") from None
    if result.returncode == 255:
        raise NoAnswerError((result.stderr.strip().splitlines() or ["no word"])[-1])
    return result
