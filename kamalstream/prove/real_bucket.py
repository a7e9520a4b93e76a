"""Litestream on this machine, talking to the app's real bucket with the app's own keys."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kamalstream.edit import credentials
from kamalstream.edit.credentials import NAMES
from kamalstream.errors import BadInput
from kamalstream.facts import BUCKET_KEYS

_ENV = dict(zip(NAMES, BUCKET_KEYS, strict=True))
_HINTS = {
    "NoSuchBucket": "There is no such bucket: create it, private, and run this again.",
    "InvalidAccessKeyId": "The storage does not know the key: kamalstream credentials",
    "SignatureDoesNotMatch": "The secret key is another one: kamalstream credentials",
    "AccessDenied": "The keys may not read, write, list and delete in that bucket: allow them to.",
    "x509": "The certificate of that endpoint is not trusted from here.",
}


@dataclass(frozen=True)
class Answer:
    """What a run of Litestream printed, and what it says went wrong (empty: nothing)."""

    output: str
    problem: str


def keys(app: Path, environment: str = "production") -> dict[str, str]:
    """Return the keys as `.kamal/read_secrets.rb` finds them: environment, then credentials.

    Raises BadInput where one is missing or the credentials cannot be read.
    """
    given = {name: os.environ.get(_ENV[name], "").strip() for name in NAMES}
    if all(given.values()):
        return given
    stored = credentials.keys(app, environment)
    found = {**stored, **{name: value for name, value in given.items() if value}}
    missing = [name for name in NAMES if name not in found]
    if missing:
        raise BadInput(f"the credentials have no litestream: {' and '.join(missing)}")
    return found


def run(
    program: Path, pair: Mapping[str, str], *arguments: str | Path, patience: float = 60
) -> Answer:
    """Run Litestream with `pair` in its environment alone, for `patience` seconds at most."""
    # AWS_… would win over the keys, and AWS_CA_BUNDLE stops every S3 client of 0.5.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "LITESTREAM_"))}
    process = subprocess.Popen(
        [program, *arguments],
        env=kept | {_ENV[name]: value for name, value in pair.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        output, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        # It tries again and again; what it says of that is the reason.
        process.kill()
        output, _ = process.communicate()
        return Answer(output, _problem(output) or f"no answer within {patience:g} seconds")
    except BaseException:
        process.kill()
        process.wait()
        raise
    last = (output.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    return Answer(output, _problem(output) or (last if process.returncode else ""))


def remedy(problem: str) -> str:
    """Return what to do about a `problem` of the storage, empty where that is not known."""
    return next((hint for word, hint in _HINTS.items() if word in problem), "")


def _problem(output: str) -> str:
    """Return Litestream's last error, nothing where there was none."""
    errors = [line for line in output.splitlines() if re.search(r"level=ERROR|^Error:", line)]
    if not errors:
        return ""
    said = re.search(r"\b(?:error|err)=\"((?:[^\"\\]|\\.)*)\"", errors[-1])
    text = said[1].replace('\\"', '"') if said else errors[-1].removeprefix("Error: ")
    return text[:300]
