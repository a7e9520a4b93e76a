"""The deployments of an app, each with what is to be backed up of it."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from kamalstream import facts
from kamalstream.edit.entrypoint import entrypoint_script
from kamalstream.inspect.adopted import App, Place
from kamalstream.inspect.app import image_of
from kamalstream.inspect.database_yml import Databases
from kamalstream.inspect.image.built import Image, Start
from kamalstream.inspect.kamal.containers import Accessory
from kamalstream.inspect.kamal.deployment import Deployment
from kamalstream.inspect.kamal.values import text

#: Our accessory; bin/restore and the aliases call it so.
SIDECAR = "litestream"


@dataclass(frozen=True)
class Deployed:
    """One deployment and its part of the answers.

    `litestream` is its Litestream configuration, `databases` and `backed_up` map names to paths
    below the Rails root (or absolute), `volumes` are those that are to hold them. `answered` is
    False for a destination that came after the answers; then they are what the app itself says.
    """

    app: App
    deployment: Deployment
    litestream: str
    databases: Mapping[str, str]
    volumes: tuple[str, ...]
    opened: Databases
    answered: bool = True

    @property
    def name(self) -> str:
        """What to call it."""
        return self.deployment.label

    @property
    def is_main(self) -> bool:
        """Whether its backups have the plain path."""
        return self.litestream == facts.LITESTREAM

    @property
    def backed_up(self) -> dict[str, str]:
        """The databases that are to be replicated."""
        return facts.backed_up(self.databases, bool(self.app.answers.get("backup_ephemeral")))

    @cached_property
    def replicated(self) -> list[Place]:
        """What its Litestream configuration replicates, as containers see it."""
        return self.app.replicated_by(self.litestream)

    @property
    def sidecar(self) -> Accessory | None:
        """The accessory that replicates."""
        return self.deployment.accessories.get(SIDECAR)

    @cached_property
    def image(self) -> Image | None:
        """What its Dockerfile builds."""
        return image_of(self.app.root, self.deployment)

    @property
    def dockerfile(self) -> str:
        """Its Dockerfile."""
        return self.deployment.builder.dockerfile or facts.DOCKERFILE

    @property
    def user(self) -> str:
        """The user of the app's containers, as uid:gid so far as that can be told."""
        role = self.deployment.primary_role
        chosen = text(role.options.get("user")) if role else None
        answered = str(self.app.answers.get("container_user") or "1000:1000")
        return chosen or (self.image and self.image.user) or answered

    def variable(self, name: str) -> str | None:
        """Return a variable of the primary role: "" where it is unset, None where not known."""
        role, one = self.deployment.primary_role, self.deployment
        if one.unreadable_at("env") or name in one.env_secret:
            return None
        for clear in (role.env.clear if role else {}, one.env_clear):
            if name in clear:
                return clear[name]
        built = self.app.inspected.dockerfile_env.get(name, "")
        return None if "$" in built else built

    @property
    def start(self) -> tuple[str, ...]:
        """The words of the command that the primary role starts with, the entrypoint's aside."""
        role = self.deployment.primary_role
        if role and role.cmd:
            return _split(role.cmd)
        return words(self.image.cmd) if self.image else ()

    @cached_property
    def scripts(self) -> tuple[str, ...]:
        """The app's own shell scripts that containers start with: ENTRYPOINT's, then CMD's."""
        image = self.image or Image()
        first = entrypoint_script(image, lambda path: (self.app.root / path).is_file())
        root = image.workdir or self.app.rails_root
        named = [posixpath.relpath(posixpath.join(root, word), root) for word in self.start[:2]]
        shell = re.compile(r"#!.*\b(?:ba|da|a)?sh\b")
        started = (one for one in named if shell.match(self.app.text(one) or ""))
        return tuple(dict.fromkeys([*([first] if first else []), *started]))

    def kamal(self, command: str) -> str:
        """Return the `kamal` command line that does `command` in this deployment."""
        name = self.deployment.name
        return f"kamal {command} -d {name}" if name else f"kamal {command}"


def deployments(app: App) -> tuple[Deployed, ...]:
    """Return all deployments of the app that can be read, the main one first.

    config/deploy.yml counts too where nothing can be deployed: it is what is to be mended.
    """
    kamal = app.kamal
    if kamal is None:
        return ()
    main = kamal.main or (None if kamal.deployments else kamal.base)
    found = [_main(app, main)] if main else []
    found += [_further(app, one) for one in kamal.further]
    return tuple(one for one in found if one.deployment.readable)


def built(app: App) -> tuple[Deployed, ...]:
    """Return the deployments whose image is looked at: one also where none can be read.

    Then it is taken to be built as Kamal does by itself.
    """
    base = app.kamal and app.kamal.base
    return deployments(app) or ((_main(app, base),) if base else ())


def _main(app: App, one: Deployment) -> Deployed:
    volumes = facts.data_volumes(app.answers)
    return Deployed(app, one, facts.LITESTREAM, app.databases, volumes, app.opened)


def _further(app: App, one: Deployment) -> Deployed:
    name = str(one.name)
    answers = app.destinations.get(name)
    opened = app.inspected.further.get(name, Databases())
    given = (answers or {}).get("databases") or opened.sqlite or app.databases
    volumes = tuple(map(str, (answers or {}).get("volumes") or facts.data_volumes(app.answers)))
    file = facts.litestream_of(name)
    return Deployed(app, one, file, dict(given), volumes, opened, answers is not None)


def words(start: Start | None) -> tuple[str, ...]:
    """Return the words of an ENTRYPOINT or CMD."""
    if start is None:
        return ()
    return start.words if start.words is not None else _split(start.shell)


def _split(command: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(command))
    except ValueError:
        return tuple(command.split())
