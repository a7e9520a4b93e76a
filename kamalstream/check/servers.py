"""One server for each deployment, and one deployment for each server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from kamalstream.check.finding import Finding
from kamalstream.facts import DEPLOY
from kamalstream.inspect.adopted import App, load_mapping
from kamalstream.inspect.deploy_yml import destinations


@dataclass(frozen=True)
class _Deployment:
    """What Kamal makes of deploy.yml and one destination's file over it."""

    name: str
    file: str
    hosts: frozenset[str]
    service: str
    volume: str | None
    accessory: frozenset[str]


def check(app: App) -> Iterator[Finding]:
    """Yield deployments over several servers, and those that get into each other's way."""
    base = app.deploy
    if base is None:
        return
    deployments = list(_deployments(app, base))
    for one in deployments:
        if len(one.hosts) > 1:
            yield Finding(
                "servers.several",
                "error",
                one.file,
                app.line_of(one.file, r"^servers:"),
                f"the app goes to {len(one.hosts)} servers ({', '.join(sorted(one.hosts))}), and "
                "each would have databases of its own: SQLite lives on the disk of one",
                "Keep one host in all roles.",
            )
        elif one.hosts and one.accessory and one.accessory != one.hosts:
            yield Finding(
                "servers.accessory",
                "error",
                one.file,
                app.line_of(one.file, r"^(servers|accessories):"),
                f"the app of {one.name} goes to {', '.join(one.hosts)}, the accessory litestream "
                f"to {', '.join(sorted(one.accessory))}: it sees none of the databases",
                f"In {one.file}: accessories: litestream: host: {', '.join(one.hosts)}",
            )
    for one, other in combinations(deployments, 2):
        shared = ", ".join(sorted(one.hosts & other.hosts))
        same = [
            *(["accessory " + one.service + "-litestream"] if one.service == other.service else []),
            *([f"volume {one.volume}"] if one.volume and one.volume == other.volume else []),
        ]
        if shared and same:
            yield Finding(
                "servers.collide",
                "error",
                other.file,
                app.line_of(other.file, r"^(servers|service|volumes):"),
                f"{one.name} and {other.name} share the server {shared} and the "
                f"{' and the '.join(same)}: Kamal gives these no name of the destination",
                f"Use a server of its own, or another service and volume name in {other.file}.",
            )


def _deployments(app: App, base: dict[str, Any]) -> Iterator[_Deployment]:
    names = destinations(app.root)
    if not base.get("require_destination") and "production" not in names:
        yield _deployment("production", DEPLOY, base)
    for name in names:
        file = f"config/deploy.{name}.yml"
        over = load_mapping(app.text(file))
        if over is not None:
            yield _deployment(name, file, _merged(base, over))


def _merged(base: Any, over: Any) -> Any:
    """Kamal::Configuration.create_from: deep_merge of ActiveSupport, lists are replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}
    return over


def _deployment(name: str, file: str, config: dict[str, Any]) -> _Deployment:
    servers = config.get("servers")
    roles = servers.values() if isinstance(servers, dict) else [servers]
    volumes = config.get("volumes")
    mounted = [str(v).split(":") for v in volumes] if isinstance(volumes, list) else []
    return _Deployment(
        name,
        file,
        frozenset(host for role in roles for host in _hosts(role)),
        str(config.get("service", "")),
        next((v[0] for v in mounted if v[1:2] and v[1].rstrip("/") == "/rails/storage"), None),
        frozenset(_hosts_of_accessory(config)),
    )


def _hosts_of_accessory(config: dict[str, Any]) -> list[str]:
    """Return the hosts that are written out; those of roles are the app's own."""
    accessories = config.get("accessories")
    accessory = accessories.get("litestream") if isinstance(accessories, dict) else None
    if not isinstance(accessory, dict):
        return []
    return [accessory["host"]] if "host" in accessory else list(_hosts(accessory))


def _hosts(role: Any) -> Iterator[str]:
    entries = role.get("hosts") if isinstance(role, dict) else role
    for entry in entries if isinstance(entries, list) else []:
        yield str(next(iter(entry), "") if isinstance(entry, dict) else entry)
