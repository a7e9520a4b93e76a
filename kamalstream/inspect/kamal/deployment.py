"""How Kamal deploys the app: the one model of config/deploy.yml and its destinations.

Made of files alone, without running their code. Source of facts: Kamal 2.11 and 2.12, named at
each part in containers.py and files.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kamalstream.facts import DEPLOY, SECRETS
from kamalstream.inspect.kamal import containers, files, secrets, values
from kamalstream.inspect.kamal.containers import Accessory, Role
from kamalstream.inspect.kamal.files import KamalFile
from kamalstream.inspect.kamal.mounts import Mount, mount_of, volume
from kamalstream.inspect.kamal.parts import Builder, Env, Proxy, Registry, Ssh
from kamalstream.inspect.kamal.secrets import Wanted
from kamalstream.inspect.kamal.values import Unknown, mapping, text
from kamalstream.inspect.unreadable import Assumed, Unreadable

#: The destination that is the main deployment where there is one.
PRODUCTION = "production"
# Kamal's own variables in the app's containers, whose values are not known here.
_OF_KAMAL = ("KAMAL_CONTAINER_NAME", "KAMAL_VERSION", "KAMAL_HOST")


@dataclass(frozen=True)
class Deployment:
    """What `kamal deploy -d NAME` deploys (without -d where `name` is None).

    `files` are config/deploy.yml and the destination's own. Where one of them is not readable as a
    whole, `readable` is False and everything else is as in an empty file. A value that is known
    only by running code is an `Unknown` in `config`, None or left out in the views, and one of
    `unreadable`; `unreadable_at` tells whether a part is known to the end.
    """

    name: str | None
    files: tuple[KamalFile, ...]

    @property
    def label(self) -> str:
        """What to call it: the destination's name; "production" where it has none."""
        return self.name or PRODUCTION

    @property
    def file(self) -> str:
        """The file that is its own: the destination's, or config/deploy.yml."""
        return self.files[-1].name

    @property
    def readable(self) -> bool:
        """Whether all files could be read, but for single values."""
        return all(file.data is not None for file in self.files)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The configuration as Kamal merges it, in plain values."""
        config: dict[str, Any] = {}
        for file in self.files if self.readable else ():
            config = files.merged(config, file.data)
        return config

    def get(self, *path: str | int) -> Any:
        """Return the plain value at `path`, None where there is none."""
        return values.at(self.config, path)

    def line(self, *path: str | int) -> tuple[str, int]:
        """Return file and line of the key (or element) that decides; line 0 where it is nowhere."""
        for file in reversed(self.files):
            line = file.line(*path)
            if line is not None:
                return file.name, line
        return self.file, 0

    def unreadable_at(self, *path: str | int) -> tuple[Unreadable, ...]:
        """Return what is not known at or below `path`; the files where they are not readable."""
        if not self.readable:
            return tuple(one for file in self.files for one in file.unreadable)
        found = values.unknowns(self.get(*path))
        return tuple(dict.fromkeys(one.unreadable for one in found))

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """All that is not known and matters to the app, its data or its secrets."""
        if not self.readable:
            return self.unreadable_at()
        found = values.unknowns(self.config)
        return tuple(dict.fromkeys(one.unreadable for one in found if one.of_concern))

    @property
    def service(self) -> str | None:
        """The name that containers begin with."""
        return text(self.config.get("service"))

    @property
    def image(self) -> str | None:
        """The image's name without registry; with a local registry the service where not set."""
        return text(self.config.get("image")) or (self.service if self.registry.local else None)

    @cached_property
    def roles(self) -> Mapping[str, Role]:
        """The roles by name, in Kamal's order."""
        return containers.roles(self.config, self.line)

    @property
    def primary_role_name(self) -> str:
        """The name of the primary role, whether there is one or not."""
        return containers.primary_role_name(self.config)

    @property
    def primary_role(self) -> Role | None:
        """The role that the proxy serves first of all, and that `kamal app exec` runs in."""
        return self.roles.get(self.primary_role_name)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The servers of all roles, the primary role's first."""
        first = self.primary_role.hosts if self.primary_role else ()
        rest = (host for role in self.roles.values() for host in role.hosts)
        return tuple(dict.fromkeys((*first, *rest)))

    @property
    def server(self) -> str | None:
        """The first server of the primary role."""
        return next(iter(self.primary_role.hosts), None) if self.primary_role else None

    @cached_property
    def mounts(self) -> tuple[Mount, ...]:
        """What is mounted in the primary role: `volumes:`, then what its `options:` add."""
        volumes = self.config.get("volumes")
        found = []
        for index, one in enumerate(volumes if isinstance(volumes, list) else [volumes]):
            place = ("volumes", index) if isinstance(volumes, list) else ("volumes",)
            if text(one):
                found.append(volume(str(text(one)), *self.line(*place)))
        return (*found, *(self.primary_role.mounts if self.primary_role else ()))

    def mount_of(self, path: str) -> Mount | None:
        """Return the mount of the app that holds the absolute path `path` in the container."""
        return mount_of(self.mounts, path)

    @cached_property
    def accessories(self) -> Mapping[str, Accessory]:
        """The accessories by name, in the order of the files."""
        return containers.accessories(self.config, self.roles, self.line)

    @property
    def litestreams(self) -> tuple[Accessory, ...]:
        """The accessories that run Litestream."""
        return litestreams(self.accessories.values())

    @cached_property
    def proxy(self) -> Proxy:
        """The proxy of the app as a whole; each role has its own, laid over this."""
        return Proxy.of(self.config.get("proxy"))

    @cached_property
    def registry(self) -> Registry:
        """The registry of the app's image."""
        return Registry.of(self.config.get("registry"))

    @cached_property
    def ssh(self) -> Ssh:
        """How Kamal reaches the servers."""
        return Ssh.of(self.config.get("ssh"))

    @cached_property
    def builder(self) -> Builder:
        """How the image is built."""
        return Builder.of(self.config.get("builder"))

    @property
    def asset_path(self) -> str | None:
        """The folder of the image whose files Kamal keeps from release to release."""
        return (text(self.config.get("asset_path")) or "").partition(":")[0] or None

    @property
    def aliases(self) -> Mapping[str, str]:
        """Kamal's aliases, name to command; those that are not known have an empty command."""
        aliases = mapping(self.config.get("aliases"))
        return {name: text(command) or "" for name, command in aliases.items()}

    @cached_property
    def env(self) -> Env:
        """What every container of the app gets, but for roles and tags."""
        return Env.of(self.config.get("env"))

    @cached_property
    def env_tags(self) -> Mapping[str, Env]:
        """What the containers on servers with a tag get besides."""
        return {tag: Env.of(env) for tag, env in mapping(self.get("env", "tags")).items()}

    @property
    def env_clear(self) -> Mapping[str, str | None]:
        """Names and values that stand in the file; None for what is not known."""
        return self.env.clear

    @property
    def env_secret(self) -> Mapping[str, str]:
        """Names in the container and the secrets whose values they have."""
        return self.env.secret

    @property
    def environment(self) -> dict[str, str | None]:
        """What the app sees: None for what is secret, not known, or differs between containers.

        Kamal's own variables are among it (Kamal::Commands::App#run). An empty value leaves a
        variable unset, so it is not among it.
        """
        known: dict[str, str | None] = dict.fromkeys(_OF_KAMAL)
        if self.name:
            known["KAMAL_DESTINATION"] = self.name
        known.update({name: one for name, one in self.env_clear.items() if one is None or one})
        of_roles = [role.env for role in self.roles.values()]
        for name in {name for env in of_roles for name in env.names}:
            said = {env.clear.get(name, known.get(name, "")) for env in of_roles}
            value = said.pop() if len(said) == 1 else None
            if value == "":
                known.pop(name, None)
            else:
                known[name] = value
        secret = (*of_roles, self.env, *self.env_tags.values())
        unknown = [name for env in secret for name in env.secret]
        unknown += [name for env in self.env_tags.values() for name in env.names]
        if any(isinstance(self.get(*path), Unknown) for path in (("env",), ("env", "clear"))):
            unknown.append("RAILS_ENV")
        return {**known, **dict.fromkeys(unknown)}

    @property
    def rails_env(self) -> str | None:
        """RAILS_ENV; "production", as images have it, where it is not set here, None unknown."""
        return self.environment.get("RAILS_ENV", PRODUCTION)

    @cached_property
    def secrets_wanted(self) -> Mapping[str, tuple[Wanted, ...]]:
        """The names of all secrets that Kamal looks up for this deployment, and what for."""
        return secrets.wanted(self.config, self.line)

    @property
    def secrets_files(self) -> tuple[str, ...]:
        """The files Kamal reads secrets from, there or not; the later one wins.

        Kamal::Secrets#secrets_filenames: .kamal/secrets alone is not read for a destination.
        """
        path = text(self.config.get("secrets_path")) or SECRETS
        return (f"{path}-common", f"{path}.{self.name}" if self.name else path)

    @property
    def require_destination(self) -> bool:
        """Whether Kamal refuses to deploy without a destination."""
        return self.config.get("require_destination") not in (None, False)

    @property
    def minimum_version(self) -> str | None:
        """The oldest Kamal that may deploy it."""
        return text(self.config.get("minimum_version"))


@dataclass(frozen=True)
class Kamal:
    """All of an app's deployments.

    `base` is config/deploy.yml by itself, whether it can be deployed or not. It is among the
    `deployments` only where it can be and no destination is called production: with one, the base
    is what destinations have in common. `examples` are files that were not taken for destinations.
    """

    base: Deployment
    deployments: tuple[Deployment, ...]
    examples: tuple[str, ...] = ()

    @property
    def main(self) -> Deployment | None:
        """The deployment whose backups have the plain path: production, else the base.

        None where neither is there: a destination of another name is never the main one, for then
        adding production later would give two deployments one path.
        """
        return self.deployment(PRODUCTION) or self.deployment(None)

    @property
    def further(self) -> tuple[Deployment, ...]:
        """All but the main one, by name."""
        return tuple(one for one in self.deployments if one.name not in (None, PRODUCTION))

    def deployment(self, name: str | None) -> Deployment | None:
        """Return the deployment of destination `name`, None where there is none."""
        return next((one for one in self.deployments if one.name == name), None)

    @property
    def files(self) -> tuple[str, ...]:
        """config/deploy.yml and the files of the destinations."""
        names = (file.name for one in (self.base, *self.deployments) for file in one.files)
        return tuple(dict.fromkeys(names))

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """What is not known in any deployment; in the base where there is none."""
        of_all = (said for one in self.deployments or (self.base,) for said in one.unreadable)
        return tuple(dict.fromkeys(of_all))

    @property
    def assumed(self) -> tuple[Assumed, ...]:
        """What was read as if a variable of the shell that runs Kamal were unset."""
        files = (file for one in self.deployments or (self.base,) for file in one.files)
        return tuple(dict.fromkeys(said for file in files for said in file.assumed))


def kamal(app: Path) -> Kamal | None:
    """Read how the app in the folder `app` is deployed; None where it has no config/deploy.yml.

    Never raises for what the files say.
    """
    if not (app / DEPLOY).exists():
        return None
    base = Deployment(None, (files.read(app, DEPLOY, None),))
    names = files.destination_names(app)
    destinations = tuple(_destination(app, name) for name in names)
    alone = () if PRODUCTION in names or not _deployable(base) else (base,)
    return Kamal(base, (*alone, *destinations), files.example_files(app))


def _destination(app: Path, name: str) -> Deployment:
    # The base too: code in it may ask for the destination.
    both = (DEPLOY, files.destination_file(name))
    return Deployment(name, tuple(files.read(app, file, name) for file in both))


def _deployable(base: Deployment) -> bool:
    """Whether Kamal deploys config/deploy.yml by itself; so it is where that is not known."""
    if not base.readable:
        return True
    somewhere = bool(base.server or base.unreadable_at("servers"))
    return somewhere and not base.require_destination


def litestreams(accessories: Iterable[Accessory]) -> tuple[Accessory, ...]:
    """Return those of `accessories` that run Litestream, by image or command."""
    return tuple(one for one in accessories if one.runs_litestream)
