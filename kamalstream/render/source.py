"""Where the template comes from: the repository that the command was installed from."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from copier._settings import SettingsModel, is_trusted_repository

from kamalstream.ask.questions import QUESTIONS
from kamalstream.errors import BadInput

_CHECKS = "docs/checks.md"
_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Source:
    """A template: `location` is a folder or a git URL, `ref` the commit of a git repository."""

    location: str
    ref: str | None


def template_source() -> Source:
    """Return the template that belongs to the running code, so that `copier update` finds it again.

    It is the checkout the code runs from, else what pip recorded at install (PEP 610,
    direct_url.json): a folder, or a git URL with its commit. Raises BadInput where the command was
    installed from neither.
    """
    if (_PACKAGE.parent / QUESTIONS).is_file():
        return _folder(_PACKAGE.parent)
    try:
        recorded = json.loads(
            metadata.distribution("kamalstream").read_text("direct_url.json") or "{}"
        )
    except (metadata.PackageNotFoundError, ValueError):
        recorded = {}
    url, vcs = str(recorded.get("url", "")), recorded.get("vcs_info", {})
    if vcs.get("vcs") == "git":
        # pip drops what makes it a git URL for itself; Copier wants it back.
        location = url if url.endswith(".git") else f"git+{url}"
        return Source(location, vcs.get("commit_id"))
    folder = Path(unquote(urlsplit(url).path))
    if url.startswith("file:") and (folder / QUESTIONS).is_file():
        return _folder(folder)
    raise BadInput(
        "kamalstream was not installed from its repository, which holds the template.\n"
        "Install it so: pip install git+URL-OF-THE-REPOSITORY"
    )


def every_check() -> str:
    """Return the address of docs/checks.md, in the release that runs; "" where none is known."""
    try:
        source = template_source()
    except BadInput:
        return ""
    folder = Path(source.location)
    if (folder / _CHECKS).is_file():
        return (folder / _CHECKS).as_uri()
    web = re.fullmatch(r"(?:git\+)?(https://[^@]+?)(?:\.git)?/?", source.location)
    return f"{web[1]}/blob/{source.ref or 'HEAD'}/{_CHECKS}" if web else ""


def is_trusted(named: str, app: Path) -> bool:
    """Return whether the code of the template `named`, in the answers of `app`, may be run unasked.

    That of the source which this command was installed from may, and of what the user's settings
    of Copier trust (https://copier.readthedocs.io/en/stable/settings/#trusted-locations).
    """
    trusted = set(SettingsModel.from_file().trust)
    with suppress(BadInput):
        own = template_source().location.removeprefix("git+")
        trusted |= {own, f"git+{own}", f"{own}.git"}
    here = app / named
    return is_trusted_repository(trusted, str(here.resolve()) if here.is_dir() else named)


def _folder(folder: Path) -> Source:
    return Source(str(folder), "HEAD" if (folder / ".git").exists() else None)
