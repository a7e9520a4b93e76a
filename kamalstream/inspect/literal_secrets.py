"""Secrets that an app's files hold themselves, so that what we print does not show them."""

from __future__ import annotations

import re
from pathlib import Path

from kamalstream.facts import DOCKERFILE, LITESTREAM, SECRETS
from kamalstream.inspect.kamal.secrets_file import assignments
from kamalstream.regular_file import read_text

# By name, where a file has other values too. What begins with one of $<[{&*| says where it is.
_BY_NAME = re.compile(
    r"(?:password|passwd|secret|token|api_?key|access_?key|private_key|master_key|credential)"
    r"[\w-]*[\"']?[ \t]*[:=]>?[ \t]*(\"[^\"\n]+\"|'[^'\n]+'|[^\s\"'$<\[{&*|#:][^\s#,]*)",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"(?<!\bssh)://(?:[^@/\s:]*:)?([^@/\s]+)@")
# Shorter ones are as good as none, and would be masked all over a text.
_LEAST = 4


def literal_secrets(app: Path) -> tuple[str, ...]:
    """Return the secrets that stand in the files of `app` which are shown, the longest first.

    Those of .kamal/secrets* that are no command and no variable, what a deploy.yml, litestream.yml
    or Dockerfile gives to a name like `password`, and what stands before the @ of a URL.
    """
    found: set[str] = set()
    for file in (app / SECRETS).parent.glob("secrets*"):
        for one in assignments(_text(file)):
            if one.is_literal:
                found |= {line.strip(" \"'") for line in one.value.splitlines()}
    configs = [*app.glob("config/deploy*.yml"), app / LITESTREAM, app / DOCKERFILE]
    for text in map(_text, configs):
        found |= {value.strip("\"'") for value in _BY_NAME.findall(text)}
        found |= set(_IN_URL.findall(text))
    return tuple(sorted((one for one in found if len(one) >= _LEAST), key=len, reverse=True))


def masked(text: str, secrets: tuple[str, ...]) -> str:
    """Return `text` with … in place of each of the `secrets`."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return text


def _text(file: Path) -> str:
    try:
        return read_text(file, "replace")
    except OSError:
        return ""
