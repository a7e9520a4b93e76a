"""Puts the few lines that backups need into all files of an app that are its owner's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kamalstream import facts
from kamalstream.edit import deploy_yml, dockerfile, dockerignore, entrypoint, secrets_file
from kamalstream.edit.deploy_yml import Destination, Placement
from kamalstream.edit.edited import Edited, UnsureError
from kamalstream.edit.yaml_text import YamlText
from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import load_mapping
from kamalstream.inspect.app import build_of
from kamalstream.inspect.deployment import Deployment, Kamal
from kamalstream.inspect.dockerignore import excluded
from kamalstream.inspect.image import read_image
from kamalstream.inspect.kamal_containers import PLACEMENTS
from kamalstream.inspect.kamal_values import mapping

_CALL = re.compile(r"^/\S+/bin/boot-restore .*$", re.MULTILINE)
_COPY = re.compile(r"^COPY --from=\S*litestream/litestream:.*$", re.MULTILINE)
# Where a text cannot be parsed: a key below the accessory.
_PLACED = re.compile(
    rf"^ +{deploy_yml.SIDECAR[-1]}:\s*?\n(?: {{4,}}.*\n|\s*\n)*? {{4,}}({'|'.join(PLACEMENTS)}):",
    re.M,
)


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


def edits(adoption: Adoption) -> Iterator[FileEdit]:
    """Yield what becomes of each file of the owner's, changed or not.

    Raises BadInput where one cannot be read.
    """
    yield from _image(adoption)
    yield from _deployments(adoption)
    yield from _secrets(adoption)


def read_text(app: Path, file: str) -> str | None:
    """Return what `file`, relative to `app`, holds; None where it is not there.

    Raises BadInput where it cannot be read as text.
    """
    path = app / file
    if not path.exists() and not path.is_symlink():
        return None
    try:
        content = path.read_bytes()
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadInput(
            f"{file}:{line} is not UTF-8.\nSave it as UTF-8, and run this again."
        ) from error
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}. Nothing was changed.") from error


def _image(adoption: Adoption) -> Iterator[FileEdit]:
    """Edit the Dockerfile, the script it starts with, and .dockerignore."""
    main = (adoption.kamal.main or adoption.kamal.base) if adoption.kamal else None
    file = (main.builder.dockerfile if main else None) or facts.DOCKERFILE
    build = build_of(main)
    own = adoption.text(file) if adoption.is_own(facts.DOCKERFILE) else None
    image = read_image(adoption.ours(facts.DOCKERFILE) if own is None else own, build)
    program = _boot_restore(adoption.answers)
    if own is not None:
        last = adoption.was(facts.DOCKERFILE)
        edited = dockerfile.edit(
            own,
            _line(_COPY, adoption.ours(facts.DOCKERFILE)) or "",
            _line(_COPY, last) if last is not None else None,
            _targets(adoption.volumes),
            adoption.in_context,
            program,
            last_targets=_targets(adoption.last_volumes),
            last_boot_restore=None if last is None else _boot_restore(adoption.last_answers),
            file=file,
            build=build,
        )
        yield FileEdit(file, own, edited)
    script = entrypoint.entrypoint_script(image, lambda path: (adoption.app / path).is_file())
    text = adoption.text(script) if script else None
    if script and text is not None and (script != facts.ENTRYPOINT or adoption.is_own(script)):
        last = adoption.was(facts.ENTRYPOINT)
        call = _line(_CALL, adoption.ours(facts.ENTRYPOINT)) or ""
        edited = entrypoint.edit(script, text, call, _line(_CALL, last) if last else None)
        yield FileEdit(script, text, edited)
    if adoption.is_own(facts.DOCKERIGNORE):
        ignored = adoption.text(facts.DOCKERIGNORE) or ""
        needed = (facts.BOOT_RESTORE, facts.RESTORE, *litestream_files(adoption.answers))
        ours = adoption.ours(facts.DOCKERIGNORE)
        edited = dockerignore.edit(ignored, facts.NEVER_IN_THE_IMAGE, needed, ours)
        yield FileEdit(facts.DOCKERIGNORE, ignored, edited)


def _boot_restore(answers: Mapping[str, Any]) -> str:
    return f"{answers.get('rails_root') or facts.RAILS_ROOT}/{facts.BOOT_RESTORE}"


def _targets(volumes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(volume.split(":")[1] for volume in volumes)


def litestream_files(answers: Mapping[str, Any]) -> tuple[str, ...]:
    """Return Litestream's configurations, that of the main deployment first."""
    return (facts.LITESTREAM, *map(facts.litestream_of, answers.get("destinations") or {}))


def _deployments(adoption: Adoption) -> Iterator[FileEdit]:
    """Edit config/deploy.yml and its destinations."""
    kamal, ours = adoption.kamal, adoption.ours(facts.DEPLOY)
    base = ours
    named = [one for one in (kamal.deployments if kamal else ()) if one.name]
    # A new one gives way to those that are there.
    named = sorted(filter(adoption.is_taken_in, named), key=adoption.is_new)
    texts = {one.file: adoption.text(one.file) or "" for one in named}
    placed = [key for text in texts.values() if (key := _placed_by(text))]
    by_role = Placement("roles", kamal.base.primary_role_name if kamal else "web")
    if adoption.is_own(facts.DEPLOY):
        text = adoption.text(facts.DEPLOY) or ""
        server = kamal.base.server if kamal else None
        by_host = Placement("hosts" if "hosts" in placed else "host", server) if server else None
        edited = deploy_yml.edit_base(
            deploy_yml.filled_in(text, adoption.answers),
            ours,
            adoption.was(facts.DEPLOY),
            by_host if placed else by_role,
            adoption.volumes,
            _mounted_elsewhere(kamal.main) if kamal and kamal.main else (),
        )
        yield FileEdit(facts.DEPLOY, text, edited)
        base = edited.text
    try:
        whole = YamlText(base).data
    except UnsureError:
        whole = {}
    for one in named:
        needs = _needs(adoption, one, named)
        new = adoption.is_new(one)
        last = None if new else adoption.was(facts.DEPLOY)
        place = by_role if new else None
        edited = deploy_yml.edit_destination(texts[one.file], whole, ours, last, place, needs)
        yield FileEdit(one.file, texts[one.file], edited)


def _placed_by(text: str) -> str | None:
    """Return the key by which a destination says where the accessory runs.

    Kamal takes one alone, so config/deploy.yml may have no other.
    """
    try:
        sidecar = YamlText(text).value(deploy_yml.SIDECAR)
    except UnsureError:
        found = _PLACED.search(text)
        return found[1] if found else None
    return next((key for key in PLACEMENTS if key in mapping(sidecar)), None)


def _mounted_elsewhere(one: Deployment) -> set[str]:
    """Return the folders of the app that have a mount, other than by the base's `volumes:`."""
    of_role = one.primary_role.mounts if one.primary_role else ()
    return {mount.target for mount in one.mounts if mount.file != facts.DEPLOY or mount in of_role}


def _needs(adoption: Adoption, one: Deployment, named: list[Deployment]) -> Destination:
    name = one.name or ""
    further = (adoption.answers.get("destinations") or {}).get(name)
    volumes = tuple(further.get("volumes") or adoption.volumes) if further else adoption.volumes
    if not adoption.is_new(one):
        before = (adoption.last_answers.get("destinations") or {}).get(name) or {}
        had = before.get("volumes") or adoption.last_volumes
        new = tuple(volume for volume in volumes if volume not in had)
        return Destination(name, one.file, None, new, (), one.service or "", False, False)
    others = [other for other in named[: named.index(one)] if other.service == one.service]
    return Destination(
        name,
        one.file,
        facts.litestream_of(name) if further is not None else None,
        volumes,
        one.hosts,
        one.service or "",
        any(set(one.hosts) & set(other.hosts) for other in [*others, *_base_alone(adoption, one)]),
        not deploy_yml.ENV_PARTS & mapping(one.get("env")).keys(),
    )


def _base_alone(adoption: Adoption, one: Deployment) -> list[Deployment]:
    main = adoption.kamal.main if adoption.kamal else None
    return [main] if main and main is not one and main.service == one.service else []


def _secrets(adoption: Adoption) -> Iterator[FileEdit]:
    """Give the bucket's keys to every deployment, in the file that Kamal reads for it."""
    deployments = adoption.kamal.deployments if adoption.kamal else ()
    before: dict[str, str | None] = {}
    after: dict[str, Edited] = {}
    for one in filter(adoption.is_taken_in, deployments):
        for file in one.secrets_files:
            before.setdefault(file, adoption.text(file))
        missing = _missing_keys(adoption, one, {**before, **_texts(after)})
        if not missing:
            continue
        there = [file for file in one.secrets_files if before[file] is not None]
        file = there[0] if there else one.secrets_files[-1]
        text = after[file].text if file in after else before[file]
        after[file] = secrets_file.edit(file, text, missing, _credentials_of(adoption.app, one))
    for file, edited in after.items():
        yield FileEdit(file, before[file], edited)


def _texts(edited: Mapping[str, Edited]) -> dict[str, str]:
    return {file: one.text for file, one in edited.items()}


def _missing_keys(
    adoption: Adoption, one: Deployment, texts: Mapping[str, str | None]
) -> tuple[str, ...]:
    """Return the keys that no file of the deployment's gives, but for those it once had."""
    if facts.SECRETS in one.secrets_files and not adoption.is_own(facts.SECRETS):
        return ()
    given = set().union(*(secrets_file.names(texts[file] or "") for file in one.secrets_files))
    if not adoption.is_new(one):
        # Where they were the last time and are no more, their owner took them out.
        given |= secrets_file.names(adoption.was(facts.SECRETS) or "")
    return tuple(name for name in facts.BUCKET_KEYS if name not in given)


def _credentials_of(app: Path, one: Deployment) -> str | None:
    """Return the environment whose own credentials this deployment has, if it is not production."""
    for name in (one.name, one.rails_env):
        if name and name != "production" and (app / f"config/credentials/{name}.yml.enc").exists():
            return name
    return None


def _line(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[0] if found else None
