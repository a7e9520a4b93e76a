"""The containers of one deployment: roles of the app, and accessories.

Source of facts: lib/kamal/configuration/{servers,role,accessory,volume}.rb of Kamal 2.11 and 2.12.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kamalstream.inspect.kamal.files import merged
from kamalstream.inspect.kamal.mounts import Line, Mount, mount_of, mounts_of_options, volume
from kamalstream.inspect.kamal.parts import Env, Proxy, Registry
from kamalstream.inspect.kamal.values import as_list, mapping, text, texts

#: The keys of which an accessory has exactly one, in the order in which Kamal looks at them.
PLACEMENTS = ("host", "hosts", "role", "roles", "tag", "tags")


@dataclass(frozen=True)
class Role:
    """Containers of the app that are alike (Kamal::Configuration::Role).

    `tags` maps each host to its tags; `mounts` are those of its `options:` alone. `proxy` is the
    role's laid over the app's, None where no proxy serves the role.
    """

    name: str
    hosts: tuple[str, ...] = ()
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cmd: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    env: Env = field(default_factory=Env)
    mounts: tuple[Mount, ...] = ()
    proxy: Proxy | None = None
    asset_path: str | None = None
    file: str = ""
    line: int = 0


def roles(config: Mapping[str, Any], line: Line) -> dict[str, Role]:
    """Return the roles of `servers:` by name, in Kamal's order, which is the alphabet's.

    A list means a role "web" (Kamal::Configuration::Servers#role_names).
    """
    servers = config.get("servers")
    if isinstance(servers, list):
        return {"web": _role("web", servers, config, ("servers",), line)}
    return {
        name: _role(name, value, config, ("servers", name), line)
        for name, value in sorted(mapping(servers).items())
    }


def primary_role_name(config: Mapping[str, Any]) -> str:
    """Return `primary_role`, or "web"."""
    return text(config.get("primary_role")) or "web"


def _role(
    name: str,
    value: Any,
    config: Mapping[str, Any],
    path: tuple[str, ...],
    line: Line,
) -> Role:
    own = mapping(value)
    tags = _tagged(own.get("hosts") if own else value)
    proxy = own.get("proxy")
    # Role#initialize_specialized_proxy: the primary role has it unless told otherwise.
    primary = name == primary_role_name(config)
    served = proxy is not False if primary else proxy not in (None, False)
    options = mapping(own.get("options"))
    asset_path = text(own.get("asset_path")) or text(config.get("asset_path")) or ""
    file, number = line(*path)
    return Role(
        name,
        tuple(tags),
        tags,
        text(own.get("cmd")),
        options,
        Env.of(own.get("env")),
        mounts_of_options(options, lambda key: line(*path, "options", key)),
        Proxy.of(merged(config.get("proxy"), mapping(proxy))) if served else None,
        asset_path.partition(":")[0] or None,
        file,
        number,
    )


def _tagged(entries: Any) -> dict[str, tuple[str, ...]]:
    """Return hosts with their tags (Role#tagged_hosts): HOST alone, or {HOST: tags}."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        if isinstance(entry, dict) and entry:
            host, tags = next(iter(entry.items()))
            found[host] = texts(tags)
        elif isinstance(entry, str):
            found[entry] = ()
    return found


@dataclass(frozen=True)
class Accessory:
    """A container beside the app (Kamal::Configuration::Accessory).

    `service_name` is the name of its container, without the destination. `placements` are the keys
    that say where it runs: Kamal refuses any other number of them than one. `files` are pairs of
    local and container path; `mounts` come from `volumes:`, `directories:` and `options:`.
    """

    name: str
    service_name: str
    image: str | None = None
    registry: Registry | None = None
    hosts: tuple[str, ...] = ()
    placements: tuple[str, ...] = ()
    cmd: str | None = None
    files: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    env: Env = field(default_factory=Env)
    options: Mapping[str, Any] = field(default_factory=dict)
    proxy: Proxy | None = None
    port: str | None = None
    file: str = ""
    line: int = 0

    @property
    def user(self) -> str | None:
        """The user of the container where `options:` say one."""
        return text(self.options.get("user"))

    @property
    def started(self) -> str:
        """The command with the entrypoint before it, where `options:` have one."""
        return " ".join([*texts(self.options.get("entrypoint")), self.cmd or ""])

    @property
    def runs_litestream(self) -> bool:
        """Whether it is a Litestream, by its image or command; its name tells nothing."""
        image = re.sub(r"@.*|:[^/]*\Z", "", self.image or "").lower()
        return "litestream" in image or bool(re.search(r"\blitestream\b", self.started))

    def mount_of(self, path: str) -> Mount | None:
        """Return the mount that holds the absolute path `path` in its container."""
        return mount_of(self.mounts, path)


def accessories(
    config: Mapping[str, Any], roles: Mapping[str, Role], line: Line
) -> dict[str, Accessory]:
    """Return the accessories by name, in the order of the file."""
    found = {}
    for name, value in mapping(config.get("accessories")).items():
        own = mapping(value)
        path = ("accessories", name)
        service = f"{text(config.get('service')) or ''}-{name}"
        service = text(own.get("service")) or service
        options = mapping(own.get("options"))
        registry = Registry.of(own["registry"]) if own.get("registry") else None
        image = text(own.get("image"))
        if registry and registry.server and image:
            image = f"{registry.server}/{image}"
        served = own.get("proxy") not in (None, False, {})
        file, number = line(*path)
        found[name] = Accessory(
            name,
            service,
            image,
            registry,
            _hosts(own, config, roles),
            tuple(key for key in PLACEMENTS if key in own),
            text(own.get("cmd")),
            tuple(pair for pair, _ in map(_path, as_list(own.get("files"))) if all(pair)),
            _mounts(own, options, service, path, line),
            Env.of(own.get("env")),
            options,
            Proxy.of(own.get("proxy")) if served else None,
            text(own.get("port")),
            file,
            number,
        )
    return found


def _path(entry: Any) -> tuple[tuple[str, str], str]:
    """Return local path, remote path and options (Accessory#parse_path_config)."""
    if isinstance(entry, dict):
        local, remote, options = (text(entry.get(key)) or "" for key in _PATH_KEYS)
    else:
        local, remote, options = [*(text(entry) or "").split(":", 2), "", ""][:3]
    return (local, remote), options


_PATH_KEYS = ("local", "remote", "options")


def _mounts(
    own: Mapping[str, Any],
    options: Mapping[str, Any],
    service: str,
    path: tuple[str, ...],
    line: Line,
) -> tuple[Mount, ...]:
    found = []
    for index, written in enumerate(as_list(own.get("volumes"))):
        if text(written):
            found.append(volume(str(text(written)), *line(*path, "volumes", index)))
    for index, entry in enumerate(as_list(own.get("directories"))):
        (local, remote), how = _path(entry)
        if local and remote:
            # Accessory#expand_host_path_for_volume, Volume#docker_args
            source = local if local.startswith("/") else f"$PWD/{service}/{local}"
            place = line(*path, "directories", index)
            found.append(Mount(source, posixpath.normpath(remote), how, *place))
    return (*found, *mounts_of_options(options, lambda key: line(*path, "options", key)))


def _hosts(
    own: Mapping[str, Any], config: Mapping[str, Any], roles: Mapping[str, Role]
) -> tuple[str, ...]:
    """Return where an accessory runs (Accessory#hosts), without those that are not known."""
    found: list[str] = []
    if own.get("host") is not None:
        found += texts(own["host"])
    elif own.get("hosts") is not None:
        found += texts(own["hosts"])
    elif "role" in own or "roles" in own:
        for role in texts(own["role"] if "role" in own else own["roles"]):
            found += roles[role].hosts if role in roles else ()
    elif "tag" in own or "tags" in own:
        for tag in texts(own["tag"] if "tag" in own else own["tags"]):
            found += _hosts_with_tag(config.get("servers"), tag)
    return tuple(dict.fromkeys(found))


def _hosts_with_tag(servers: Any, tag: str) -> list[str]:
    """Accessory#extract_hosts_from_config_with_tag: sees tags in plain lists of roles alone."""
    found = []
    for role in mapping(servers).values():
        for entry in as_list(role):
            if isinstance(entry, dict) and entry:
                host, tags = next(iter(entry.items()))
                # Ruby's include? finds a part of a string, and an element of a list.
                if tag in (tags if isinstance(tags, str) else texts(tags)):
                    found.append(host)
    return found
