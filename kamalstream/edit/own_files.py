"""Puts the few lines that backups need into all files of an app that are its owner's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kamalstream import facts
from kamalstream.edit import database_yml, dockerfile, dockerignore, entrypoint, secrets_file
from kamalstream.edit.adoption import Adoption, FileEdit
from kamalstream.edit.edited import Edited
from kamalstream.edit.own_deployments import deployments
from kamalstream.inspect.app import build_of, image_of, opened_databases
from kamalstream.inspect.image.built import read_image
from kamalstream.inspect.kamal.deployment import Deployment, Kamal

_CALL = re.compile(r"^/\S+/bin/boot-restore .*$", re.MULTILINE)


_COPY = re.compile(r"^COPY --from=\S*litestream/litestream:.*$", re.MULTILINE)


def edits(adoption: Adoption) -> Iterator[FileEdit]:
    """Yield what becomes of each file of the owner's, changed or not.

    Raises BadInput where one cannot be read.
    """
    yield from _image(adoption)
    yield from deployments(adoption)
    yield from _secrets(adoption)
    yield from _databases(adoption)


def _image(adoption: Adoption) -> Iterator[FileEdit]:
    """Edit the Dockerfile, the script it starts with, and .dockerignore."""
    main = (adoption.kamal.main or adoption.kamal.base) if adoption.kamal else None
    file = (main.builder.dockerfile if main else None) or facts.DOCKERFILE
    build = build_of(main)
    own = adoption.text(file) if adoption.is_own(facts.DOCKERFILE) else None
    image = read_image(adoption.ours(facts.DOCKERFILE) if own is None else own, build)
    program = _boot_restore(adoption.answers)
    if own is not None:
        dockerfile_text = own

        def of_image(last: str | None) -> Edited:
            return dockerfile.edit(
                dockerfile_text,
                _line(_COPY, adoption.ours(facts.DOCKERFILE)) or "",
                _line(_COPY, last) if last is not None else None,
                _targets(adoption.volumes),
                adoption.in_context,
                program,
                last_targets=_targets(adoption.last_volumes) if last is not None else (),
                last_boot_restore=None if last is None else _boot_restore(adoption.last_answers),
                file=file,
                build=build,
            )

        edited = _edited(of_image, adoption.was(facts.DOCKERFILE))
        second = dockerfile.second_litestream(file, edited.text, build)
        yield FileEdit(file, own, edited.and_by_hand(second))
    script = entrypoint.entrypoint_script(image, lambda path: (adoption.app / path).is_file())
    text = adoption.text(script) if script else None
    if script in facts.PROGRAMS:
        script = None
    if script and text is not None and (script != facts.ENTRYPOINT or adoption.is_own(script)):
        started, call = text, _line(_CALL, adoption.ours(facts.ENTRYPOINT)) or ""

        def of_script(last: str | None) -> Edited:
            return entrypoint.edit(script, started, call, _line(_CALL, last) if last else None)

        edited = _edited(of_script, adoption.was(facts.ENTRYPOINT))
        second = entrypoint.second_litestream(script, edited.text)
        yield FileEdit(script, text, edited.and_by_hand(second))
    if adoption.is_own(facts.DOCKERIGNORE):
        ignored = adoption.text(facts.DOCKERIGNORE) or ""
        needed = (*facts.PROGRAMS, *litestream_files(adoption.answers))
        ours = adoption.ours(facts.DOCKERIGNORE)
        edited = dockerignore.edit(ignored, facts.NEVER_IN_THE_IMAGE, needed, ours)
        yield FileEdit(facts.DOCKERIGNORE, ignored, edited)


def _edited(edit: Callable[[str | None], Edited], last: str | None) -> Edited:
    """Return what comes of `edit`, which takes what was rendered the last time.

    Where our lines cannot be put in, they never were, so their owner has not taken them out.
    """
    at_first = edit(None)
    return at_first if at_first.by_hand or last is None else edit(last)


def _boot_restore(answers: Mapping[str, Any]) -> str:
    return f"{answers.get('rails_root') or facts.RAILS_ROOT}/{facts.BOOT_RESTORE}"


def _targets(volumes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(volume.split(":")[1] for volume in volumes)


def litestream_files(answers: Mapping[str, Any]) -> tuple[str, ...]:
    """Return Litestream's configurations, that of the main deployment first."""
    return (facts.LITESTREAM, *map(facts.litestream_of, answers.get("destinations") or {}))


def _secrets(adoption: Adoption) -> Iterator[FileEdit]:
    """Give the bucket's keys to every deployment, in the file that Kamal reads for it."""
    deployments = _with_secrets(adoption, adoption.kamal) if adoption.kamal else ()
    before: dict[str, str | None] = {}
    after: dict[str, Edited] = {}
    for one in filter(adoption.is_taken_in, deployments):
        for file in one.secrets_files:
            before.setdefault(file, adoption.text(file))
        missing = _missing_keys(adoption, one, {**before, **_texts(after)})
        if not missing:
            continue
        there = [file for file in one.secrets_files if before[file] is not None]
        half = [f for f in there if secrets_file.names(before[f] or "") & {*facts.BUCKET_KEYS}]
        file = (half or there or [one.secrets_files[-1]])[0]
        text = after[file].text if file in after else before[file]
        reading = [other for other in deployments if file in other.secrets_files]
        environment = _environment(adoption.app, reading)
        edited = secrets_file.edit(file, text, missing, environment)
        if not edited.by_hand and not adoption.is_new(one):
            # One that was there the last time and is no more, its owner took out. Where there is
            # none of them though Kamal wants them, it is another file than the last time.
            had = secrets_file.names(adoption.was(facts.SECRETS) or "")
            if {*missing} >= {*facts.BUCKET_KEYS}:
                had -= {*one.secrets_wanted}
            missing = tuple(name for name in missing if name not in had)
            edited = secrets_file.edit(file, text, missing, environment)
        if missing:
            after[file] = edited
    for file, edited in after.items():
        yield FileEdit(file, before[file], edited)


def _databases(adoption: Adoption) -> Iterator[FileEdit]:
    """Name the files of the databases that config/database.yml leaves open."""
    main = adoption.kamal.main if adoption.kamal else None
    image = image_of(adoption.app, main or (adoption.kamal.base if adoption.kamal else None))
    answers = {"": adoption.answers, **(adoption.answers.get("destinations") or {})}
    before = adoption.text(facts.DATABASE_YML)
    edited = Edited(before or "")
    for name, its in answers.items():
        one = adoption.kamal.deployment(name) if adoption.kamal and name else main
        opened = opened_databases(adoption.app, one, image)
        section = (one.rails_env if one else None) or "production"
        if opened.unwritten:
            now = database_yml.edit(edited.text, section, opened, its.get("databases") or {})
            edited = Edited(now.text, (*edited.by_hand, *now.by_hand))
    if before is not None:
        yield FileEdit(facts.DATABASE_YML, before, edited)


def _with_secrets(adoption: Adoption, kamal: Kamal) -> tuple[Deployment, ...]:
    """Return the deployments, and those that are known by their secrets alone."""
    base, found = kamal.base, kamal.deployments
    if base.require_destination:
        # Its destinations may be on their owner's disk alone.
        names = [] if found else sorted((adoption.app / ".kamal").glob("secrets.*"))
        return (*found, *(Deployment(one.name.partition(".")[2], base.files) for one in names))
    if base not in found and adoption.text(base.secrets_files[-1]) is not None:
        # Whoever keeps secrets for it deploys config/deploy.yml by itself too.
        return (*found, base)
    return found


def _texts(edited: Mapping[str, Edited]) -> dict[str, str]:
    return {file: one.text for file, one in edited.items()}


def _missing_keys(
    adoption: Adoption, one: Deployment, texts: Mapping[str, str | None]
) -> tuple[str, ...]:
    """Return the keys that no file of the deployment's gives."""
    if facts.SECRETS in one.secrets_files and not adoption.is_own(facts.SECRETS):
        return ()
    given = set().union(*(secrets_file.names(texts[file] or "") for file in one.secrets_files))
    return tuple(name for name in facts.BUCKET_KEYS if name not in given)


def _environment(app: Path, reading: Sequence[Deployment]) -> str | None:
    """Return whose credentials the deployments `reading` one file have, None for production's."""
    found = {_credentials_of(app, one) for one in reading}
    return found.pop() if len(found) == 1 else "$KAMAL_DESTINATION"


def _credentials_of(app: Path, one: Deployment) -> str | None:
    """Return the environment whose own credentials this deployment has, if it is not production."""
    for name in (one.name, one.rails_env):
        if name and name != "production" and (app / f"config/credentials/{name}.yml.enc").exists():
            return name
    return None


def _line(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[0] if found else None
