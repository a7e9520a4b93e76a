"""What the edits of an adoption are made from, and what becomes of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kamalstream import facts, regular_file
from kamalstream.edit.edited import Edited
from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import load_mapping
from kamalstream.inspect.image.dockerignore import excluded
from kamalstream.inspect.kamal.deployment import Deployment, Kamal


@dataclass(frozen=True)
class FileEdit:
    """What becomes of `file`: `before` is None for one that is not there yet."""

    file: str
    before: str | None
    edited: Edited


@dataclass(frozen=True)
class Adoption:
    """What the edits are made from.

    `answers` are those of the answers file, `rendered` and `last` folders with all files as the
    template renders them now and as it did the last time (None: this is the first).
    """

    app: Path
    answers: Mapping[str, Any]
    rendered: Path
    last: Path | None
    kamal: Kamal | None

    @cached_property
    def last_answers(self) -> Mapping[str, Any]:
        """The answers of the last time."""
        return load_mapping(self.was(facts.ANSWERS)) or {}

    @property
    def volumes(self) -> tuple[str, ...]:
        """The volumes with the main deployment's databases."""
        return facts.data_volumes(self.answers)

    @property
    def last_volumes(self) -> tuple[str, ...]:
        """Those of the last time."""
        return facts.data_volumes(self.last_answers) if self.last else ()

    def is_new(self, deployment: Deployment) -> bool:
        """Return whether the last time did not know `deployment`, so that it has nothing of ours.

        Of the main one this is not known: it counts as old.
        """
        main = self.kamal and self.kamal.main
        others = self.last_answers.get("destinations") or {}
        return self.last is None or (deployment is not main and deployment.name not in others)

    def is_taken_in(self, deployment: Deployment) -> bool:
        """Return whether the answers know `deployment`: it may have come since."""
        main = self.kamal and self.kamal.main
        others = self.answers.get("destinations") or {}
        return self.last is None or deployment is main or deployment.name in others

    def is_own(self, file: str) -> bool:
        """Return whether `file` is its owner's."""
        return file in (self.answers.get("own_files") or ())

    def text(self, file: str) -> str | None:
        """Return what `file` of the app holds, line ends and all; None where it is not there.

        Raises BadInput where it cannot be read as text.
        """
        return read_text(self.app, file)

    def ours(self, file: str) -> str:
        """Return `file` as the template renders it."""
        return (self.rendered / file).read_text("utf-8")

    def was(self, file: str) -> str | None:
        """Return `file` as the template rendered it the last time."""
        before = self.last / file if self.last else None
        return before.read_text("utf-8") if before and before.is_file() else None

    def in_context(self, path: str) -> bool:
        """Return whether the build of the image sees `path` of the app, or something below it."""
        ignored = read_text(self.app, facts.DOCKERIGNORE) or ""
        here = self.app / path
        files = [here] if here.is_file() else here.rglob("*") if here.is_dir() else []
        names = (one.relative_to(self.app).as_posix() for one in files if one.is_file())
        return any(not excluded(ignored, name) for name in names)


def read_text(app: Path, file: str) -> str | None:
    """Return what `file`, relative to `app`, holds; None where it is not there.

    Raises BadInput where it cannot be read as text.
    """
    content = read_bytes(app, file)
    try:
        return None if content is None else content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadInput(
            f"{file}:{line} is not UTF-8.\nSave it as UTF-8, and run this again."
        ) from error


def read_bytes(app: Path, file: str) -> bytes | None:
    """Return what `file`, relative to `app`, holds; None where it is not there.

    Raises BadInput where it cannot be read.
    """
    path = app / file
    if not path.exists() and not path.is_symlink():
        return None
    try:
        return regular_file.read_bytes(path)
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}. Nothing was changed.") from error
