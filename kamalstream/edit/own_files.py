"""Puts the few lines that backups need into all files of an app that are its owner's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kamalstream import facts
from kamalstream.edit import deploy_yml, dockerfile, dockerignore, entrypoint, secrets_file
from kamalstream.edit.deploy_yml import Destination, Placement
from kamalstream.edit.edited import Edited, UnsureError
from kamalstream.edit.yaml_text import YamlText
from kamalstream.errors import BadInput
from kamalstream.inspect.deployment import Deployment, Kamal
from kamalstream.inspect.dockerignore import excluded
from kamalstream.inspect.image import read_image

_CALL = re.compile(r"^/\S+/bin/boot-restore .*$", re.MULTILINE)
_COPY = re.compile(r"^COPY --from=\S*litestream/litestream:.*$", re.MULTILINE)


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

    @property
    def rails_root(self) -> str:
        """Where Rails lives in the image."""
        return str(self.answers.get("rails_root") or facts.RAILS_ROOT)

    @property
    def volumes(self) -> tuple[str, ...]:
        """The volumes with the main deployment's databases."""
        return facts.data_volumes(self.answers)

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
    main = adoption.kamal and (adoption.kamal.main or adoption.kamal.base)
    file = (main.builder.dockerfile if main else None) or facts.DOCKERFILE
    target = main.builder.target if main else None
    own = adoption.text(file) if adoption.is_own(facts.DOCKERFILE) else None
    image = read_image(adoption.ours(facts.DOCKERFILE) if own is None else own, target)
    program = f"{adoption.rails_root}/{facts.BOOT_RESTORE}"
    if own is not None:
        last = adoption.was(facts.DOCKERFILE)
        edited = dockerfile.edit(
            own,
            _line(_COPY, adoption.ours(facts.DOCKERFILE)) or "",
            _line(_COPY, last) if last is not None else None,
            _targets(adoption.volumes),
            adoption.in_context,
            program,
            last_targets=() if last is None else _targets(adoption.volumes),
            last_boot_restore=None if last is None else program,
            file=file,
            target=target,
        )
        yield FileEdit(file, own, edited)
    script = entrypoint.entrypoint_script(image, lambda path: (adoption.app / path).is_file())
    text = adoption.text(script) if script else None
    if script and text is not None and (script != facts.ENTRYPOINT or adoption.is_own(script)):
        last = adoption.was(facts.ENTRYPOINT)
        call = f'{program} "$@" || exit 1'
        edited = entrypoint.edit(script, text, call, _line(_CALL, last) if last else None)
        yield FileEdit(script, text, edited)
    if adoption.is_own(facts.DOCKERIGNORE):
        ignored = adoption.text(facts.DOCKERIGNORE) or ""
        needed = (facts.BOOT_RESTORE, facts.RESTORE, *litestream_files(adoption.answers))
        ours = adoption.ours(facts.DOCKERIGNORE)
        edited = dockerignore.edit(ignored, facts.NEVER_IN_THE_IMAGE, needed, ours)
        yield FileEdit(facts.DOCKERIGNORE, ignored, edited)


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
    texts = {one.file: adoption.text(one.file) or "" for one in named}
    placed_apart = any(_sidecar_is_placed(text) for text in texts.values())
    by_role = Placement("roles", kamal.base.primary_role_name if kamal else "web")
    if adoption.is_own(facts.DEPLOY):
        text = adoption.text(facts.DEPLOY) or ""
        server = kamal.main.server if kamal and kamal.main and not kamal.main.name else None
        by_host = Placement("host", server) if server else None
        edited = deploy_yml.edit_base(
            deploy_yml.filled_in(text, adoption.answers),
            ours,
            adoption.was(facts.DEPLOY),
            by_host if placed_apart else by_role,
            adoption.volumes,
        )
        yield FileEdit(facts.DEPLOY, text, edited)
        base = edited.text
    try:
        whole = YamlText(base).data
    except UnsureError:
        whole = {}
    for one in named:
        needs = _needs(adoption, one, named)
        edited = deploy_yml.edit_destination(texts[one.file], whole, ours, by_role, needs)
        yield FileEdit(one.file, texts[one.file], edited)


def _sidecar_is_placed(text: str) -> bool:
    try:
        sidecar = YamlText(text).value(deploy_yml.SIDECAR)
    except UnsureError:
        return False
    return isinstance(sidecar, dict) and bool({"host", "hosts", "role", "roles"} & set(sidecar))


def _needs(adoption: Adoption, one: Deployment, named: list[Deployment]) -> Destination:
    name = one.name or ""
    further = (adoption.answers.get("destinations") or {}).get(name)
    others = [other for other in named[: named.index(one)] if other.service == one.service]
    return Destination(
        name,
        one.file,
        facts.litestream_of(name) if further is not None else None,
        tuple(further.get("volumes") or adoption.volumes) if further else adoption.volumes,
        one.hosts,
        one.service or "",
        any(set(one.hosts) & set(other.hosts) for other in [*others, *_base_alone(adoption, one)]),
    )


def _base_alone(adoption: Adoption, one: Deployment) -> list[Deployment]:
    main = adoption.kamal.main if adoption.kamal else None
    return [main] if main and main is not one and main.service == one.service else []


def _secrets(adoption: Adoption) -> Iterator[FileEdit]:
    """Give the bucket's keys to every deployment, in the file that Kamal reads for it."""
    deployments = adoption.kamal.deployments if adoption.kamal else ()
    read = [(one.secrets_files, one) for one in deployments]
    before: dict[str, str | None] = {}
    after: dict[str, Edited] = {}
    for files, one in read:
        for file in files:
            before.setdefault(file, adoption.text(file))
        if any(_gives_keys(adoption, file, before, after) for file in files):
            continue
        there = [file for file in files if before[file] is not None]
        file = there[0] if there else files[-1]
        after[file] = secrets_file.edit(
            file, before[file], facts.BUCKET_KEYS, _credentials_of(adoption.app, one)
        )
    for file, edited in after.items():
        yield FileEdit(file, before[file], edited)


def _gives_keys(
    adoption: Adoption,
    file: str,
    before: Mapping[str, str | None],
    after: Mapping[str, Edited],
) -> bool:
    if file in after or (file == facts.SECRETS and not adoption.is_own(file)):
        return True
    names = secrets_file.names(before[file] or "")
    if set(facts.BUCKET_KEYS) <= names:
        return True
    last = secrets_file.names(adoption.was(facts.SECRETS) or "") if adoption.last else set()
    # Where they were the last time and are no more, their owner took them out.
    return adoption.last is not None and set(facts.BUCKET_KEYS) <= last and before[file] is not None


def _credentials_of(app: Path, one: Deployment) -> str | None:
    """Return the environment whose own credentials this deployment has, if it is not production."""
    for name in (one.name, one.rails_env):
        if name and name != "production" and (app / f"config/credentials/{name}.yml.enc").exists():
            return name
    return None


def _line(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[0] if found else None
