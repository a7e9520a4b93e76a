"""The Kamal configuration an app already has: config/deploy.yml and the names of its secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from kamalstream.facts import RAILS_ROOT
from kamalstream.inspect import erb_yaml
from kamalstream.inspect.erb_yaml import Document, Entry
from kamalstream.inspect.ruby_expression import UnknownValueError
from kamalstream.inspect.unreadable import Assumed, Unreadable, UnreadableError

FILE = "config/deploy.yml"


@dataclass(frozen=True)
class DeployYml:
    """What config/deploy.yml says; None and empty where it says nothing or cannot be read.

    `hosts` maps roles to hosts; `env_clear` maps names to values (None: not readable),
    `env_secret` holds the names in the container; `env_of_roles` those that only some containers
    get. `storage_volume` is the named volume (or folder of the server) mounted at /rails/storage
    now, where the data is. `accessories` and `sections` map accessory and top-level key to their
    lines as they stand in the file, for carrying over.
    """

    service: str | None = None
    image: str | None = None
    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    registry_server: str | None = None
    registry_username: str | None = None
    env_clear: dict[str, str | None] = field(default_factory=dict)
    env_secret: tuple[str, ...] = ()
    env_of_roles: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    storage_volume: str | None = None
    accessories: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    proxy_hosts: tuple[str, ...] = ()
    ssh_user: str | None = None
    builder_arch: tuple[str, ...] = ()
    sections: dict[str, str] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()
    assumed: tuple[Assumed, ...] = ()

    @property
    def environment(self) -> dict[str, str | None]:
        """The environment of the app's containers; None for values that are not known."""
        unknown = dict.fromkeys((*self.env_secret, *self.env_of_roles))
        return {**self.env_clear, **unknown}


def deploy_yml(app: Path) -> DeployYml | None:
    """Read config/deploy.yml in the folder `app`; None where there is none."""
    if not (app / FILE).exists():
        return None
    try:
        reader = _Reader(erb_yaml.read(app, FILE, {}, trim=True))
        return reader.read()
    except UnreadableError as error:
        return DeployYml(unreadable=error.unreadable)
    except RecursionError:
        return DeployYml(unreadable=(Unreadable(FILE, 0, "", "a part of it contains itself"),))


def destinations(app: Path) -> tuple[str, ...]:
    """Return the names of Kamal's destinations: config/deploy.NAME.yml."""
    files = (app / "config").glob("deploy.*.yml")
    return tuple(sorted(file.name.split(".")[1] for file in files))


def secret_names(app: Path) -> dict[str, tuple[str, ...]]:
    """Return the names, never the values, that each file of secrets below .kamal/ sets."""
    names: dict[str, tuple[str, ...]] = {}
    for file in sorted((app / ".kamal").glob("secrets*")):
        if file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            found = re.findall(r"^\s*(?:export\s+)?([A-Za-z_]\w*)=", text, re.MULTILINE)
            names[f".kamal/{file.name}"] = tuple(dict.fromkeys(found))
    return names


class _Reader:
    """Reads a document piece by piece; what is not known goes to `unreadable`."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.unreadable: list[Unreadable] = []
        self.assumed = [Assumed(FILE, 0, *one) for one in document.assumed_by_shape]

    def read(self) -> DeployYml:
        top = self.document.mapping(self.document.root)
        registry = self._mapping(top.get("registry"))
        proxy = self._mapping(top.get("proxy"))
        volumes = self._texts(top.get("volumes"))
        clear, secret = self._env(top.get("env"))
        return DeployYml(
            service=self._text(top.get("service")),
            image=self._text(top.get("image")),
            hosts=self._hosts(top.get("servers")),
            registry_server=self._text(registry.get("server")),
            registry_username=self._text(registry.get("username")),
            env_clear=clear,
            env_secret=secret,
            env_of_roles=self._env_of_roles(top.get("servers")),
            volumes=volumes,
            storage_volume=_mounted_at_storage(volumes),
            accessories=self._blocks(self._mapping(top.get("accessories"))),
            aliases=self._aliases(self._mapping(top.get("aliases"))),
            proxy_hosts=self._proxy_hosts(proxy),
            ssh_user=self._text(self._mapping(top.get("ssh")).get("user")),
            builder_arch=self._texts(self._mapping(top.get("builder")).get("arch")),
            sections=self._blocks(top),
            unreadable=tuple(dict.fromkeys(self.unreadable)),
            assumed=tuple(dict.fromkeys(self.assumed)),
        )

    def _mapping(self, entry: Entry | None) -> dict[str, Entry]:
        """Return the pairs of an entry that may also be left out, null or a plain value."""
        if entry is None:
            return {}
        if isinstance(entry.value, yaml.ScalarNode):
            self._text(entry)
            return {}
        return self.document.mapping(entry.value)

    def _text(self, entry: Entry | None) -> str | None:
        return self._node(entry.value) if entry else None

    def _node(self, node: yaml.Node) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            return None
        try:
            value = self.document.scalar(node)
            if value.text is None and value.unset:
                value.string()
        except UnknownValueError as error:
            self.unreadable.append(self.document.unreadable(node, str(error)))
            return None
        line = self.document.line(node)
        self.assumed += [Assumed(FILE, line, *one) for one in value.assumed]
        if value.text and node.tag == "tag:yaml.org,2002:bool":
            return str(value.text.lower() in ("true", "yes", "on")).lower()
        return value.text

    def _texts(self, entry: Entry | None) -> tuple[str, ...]:
        """Return a list of values; a value alone counts as a list of one."""
        if entry is None:
            return ()
        node = entry.value
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        return tuple(text for text in map(self._node, nodes) if text)

    def _proxy_hosts(self, proxy: dict[str, Entry]) -> tuple[str, ...]:
        # Kamal::Configuration::Proxy#hosts
        alone = self._text(proxy.get("host")) or ""
        return self._texts(proxy.get("hosts")) or tuple(filter(None, alone.split(",")))

    def _hosts(self, entry: Entry | None) -> dict[str, tuple[str, ...]]:
        if entry is None:
            return {}
        if isinstance(entry.value, yaml.SequenceNode):
            return {"web": self._tagged(entry.value)}
        return {role: self._tagged(one.value) for role, one in self._mapping(entry).items()}

    def _tagged(self, node: yaml.Node) -> tuple[str, ...]:
        """Return hosts; each may stand alone or as a pair with its tags."""
        if isinstance(node, yaml.MappingNode):
            hosts = self.document.mapping(node).get("hosts")
            return self._tagged(hosts.value) if hosts else ()
        if not isinstance(node, yaml.SequenceNode):
            return ()
        found: list[str | None] = []
        for one in node.value:
            if isinstance(one, yaml.MappingNode):
                found += self.document.mapping(one)
            else:
                found.append(self._node(one))
        return tuple(host for host in found if host)

    def _env(self, entry: Entry | None) -> tuple[dict[str, str | None], tuple[str, ...]]:
        """Return clear values and names of secrets (Kamal::Configuration::Env#initialize)."""
        env = self._mapping(entry)
        split = "clear" in env or "secret" in env or "tags" in env
        clear = self._mapping(env.get("clear")) if split else env
        secret = self._texts(env.get("secret")) if split else ()
        names = tuple(name.split(":")[0] for name in secret)
        return {name: self._text(one) for name, one in clear.items()}, names

    def _env_of_roles(self, servers: Entry | None) -> tuple[str, ...]:
        if servers is None or not isinstance(servers.value, yaml.MappingNode):
            return ()
        names: list[str] = []
        for role in self.document.mapping(servers.value).values():
            if isinstance(role.value, yaml.MappingNode):
                clear, secret = self._env(self.document.mapping(role.value).get("env"))
                names += [*clear, *secret]
        return tuple(dict.fromkeys(names))

    def _aliases(self, aliases: dict[str, Entry]) -> dict[str, str]:
        read = {name: self._text(entry) for name, entry in aliases.items()}
        return {name: text for name, text in read.items() if text}

    def _blocks(self, entries: dict[str, Entry]) -> dict[str, str]:
        return {name: self.document.block(entry) for name, entry in entries.items()}


def _mounted_at_storage(volumes: tuple[str, ...]) -> str | None:
    for volume in volumes:
        source, _, target = volume.partition(":")
        if target.split(":")[0].rstrip("/") == f"{RAILS_ROOT}/storage":
            return source
    return None
