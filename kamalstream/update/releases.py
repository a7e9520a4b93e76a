"""Which release of the template an app is on, and which is the newest."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from copier._main import Worker
from copier.errors import CopierError
from plumbum import local

from kamalstream.ask.validators import Form
from kamalstream.errors import BadInput
from kamalstream.facts import ANSWERS
from kamalstream.git import as_environment, harmless
from kamalstream.update.news import news


@dataclass(frozen=True)
class Releases:
    """Versions (PEP 440) of the template, what is new between them, and the newest's questions."""

    current: str
    newest: str
    available: bool
    news: str
    questions: tuple[str, ...]
    form: Form


def releases(app: Path) -> Releases:
    """Ask the template that `app` was rendered from, which may be in the network.

    Raises BadInput where the answers file names none, or it cannot be had.
    """
    try:
        with _in_folder(app), warnings.catch_warnings(), Worker(dst_path=app) as worker:
            warnings.simplefilter("ignore")
            before = worker.subproject.template
            if not worker.subproject.last_answers.get("_commit"):
                raise BadInput(
                    f"{ANSWERS} has no _commit, so the release that the app is on is not known.\n"
                    "Put it back from git's history, or write the release: _commit: 0.1.0"
                )
            if before is None or not before.version or not worker.template.version:
                raise BadInput(
                    f"the template named in {ANSWERS} is no git repository here, or has no "
                    "releases. Mend its _src_path,\nor render again: kamalstream init"
                )
            changelog = worker.template.local_abspath / "CHANGELOG.md"
            text = changelog.read_text("utf-8") if changelog.is_file() else ""
            current, newest = str(before.version), str(worker.template.version)
            return Releases(
                current,
                newest,
                worker.template.version > before.version,
                news(text, current, newest),
                tuple(worker.template.questions_data),
                Form.of(worker.template.local_abspath),
            )
    except (CopierError, ValueError, OSError) as error:
        raise BadInput(_cannot(app, error)) from error
    except Exception as error:
        # What git says when it cannot reach the repository comes as plumbum's own exception.
        if type(error).__name__ != "ProcessExecutionError":
            raise
        raise BadInput(_cannot(app, error)) from error


def _cannot(app: Path, error: Exception) -> str:
    said = [line.strip(" |") for line in str(error).splitlines() if line.strip(" |")]
    return f"the template named in {app / ANSWERS} cannot be had: {said[-1] if said else error}"


@contextlib.contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    """An address like ../template is one from the app's folder; git runs nothing of its own."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        # Plumbum, through which Copier runs git here, has an environment of its own.
        with local.env(**as_environment(harmless(folder))):
            yield
    finally:
        os.chdir(before)
