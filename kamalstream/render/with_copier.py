"""Runs Copier on a folder of its own, so that nothing of the app is touched."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from copier._main import Worker
from copier._template import Template as Template
from copier.errors import CopierError

from kamalstream.ask.questions import Asking
from kamalstream.ask.validators import RefusedAnswers, problems
from kamalstream.errors import BadInput
from kamalstream.facts import ANSWERS
from kamalstream.render.source import Source


@contextmanager
def at_hand(source: Source) -> Iterator[Template]:
    """Yield the template, which is cloned once however often it is rendered."""
    template = Template(source.location, source.ref)
    try:
        yield template
    finally:
        template._cleanup()


@contextmanager
def release_of(source: Source, answers: Mapping[str, Any]) -> Iterator[Template]:
    """Yield the template as it was for an app with the `answers`, else the one that is at hand."""
    commit = str(answers.get("_commit") or "")
    named = Template(source.location, commit) if commit and source.ref else None
    try:
        # Clones it; whatever git says of a release that is not there.
        found = bool(named and named.local_abspath)
    except Exception:
        found = False
    if named and found:
        try:
            yield named
        finally:
            named._cleanup()
        return
    with at_hand(source) as template:
        yield template


def in_place(folder: Path) -> Template:
    """Return the template that is in `folder`, which Copier has cloned already."""
    template = Template(str(folder))
    template.local_abspath = folder
    return template


def render(template: Template, folder: Path, asking: Asking) -> dict[str, Any]:
    """Render the template into the new folder `folder`; return the answers it was rendered with.

    The name of `folder` is what app_name is derived from where nothing better is known. Raises
    RefusedAnswers, BadInput where the template cannot be had, and KeyboardInterrupt where the user
    leaves the questions.
    """
    with warnings.catch_warnings():
        # .ruby-version is the app's, not the folder's; and a checkout may have changes.
        warnings.simplefilter("ignore")
        with Worker(
            src_path=template.url,
            dst_path=folder,
            data=dict(asking.data),
            user_defaults=dict(asking.defaults),
            ask=asking.ask,
            defaults=asking.quietly,
            vcs_ref=template.ref,
            quiet=True,
            unsafe=True,
            skip_tasks=True,
        ) as worker:
            worker.template = template
            try:
                worker.run_copy()
            except (CopierError, ValueError, TypeError) as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                raise _refusal(asking, worker.answers.user, folder.name, error) from None
    answers: dict[str, Any] = yaml.safe_load((folder / ANSWERS).read_text("utf-8"))
    return {name: value for name, value in answers.items() if not name.startswith("_")}


def keep_source(file: Path, told: str) -> None:
    """Have the answers file name the template as the one with the text `told` does."""
    metadata = ("_commit:", "_src_path:")
    kept = [one for one in file.read_text("utf-8").splitlines() if not one.startswith(metadata)]
    named = [line for line in told.splitlines() if line.startswith(metadata)]
    at = next((n for n, line in enumerate(kept) if not line.startswith("#")), len(kept))
    file.write_text("\n".join([*kept[:at], *named, *kept[at:]]) + "\n", "utf-8")


def _refusal(
    asking: Asking, typed: Mapping[str, Any], folder: str, error: Exception
) -> RefusedAnswers | BadInput:
    """Return why Copier stopped: the answers it had are asked about, its message is no text."""
    found = problems({**asking.defaults, **asking.data, **typed}, folder)
    said = str(error).strip().splitlines()
    return RefusedAnswers(found) if found else BadInput(said[-1] if said else repr(error))
