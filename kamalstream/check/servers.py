"""One server for each deployment, and one deployment for each server."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from kamalstream.check.deployed import SIDECAR, Deployed, deployments
from kamalstream.check.finding import Finding
from kamalstream.inspect.adopted import App


def check(app: App) -> Iterator[Finding]:
    """Yield deployments over several servers, and those that get into each other's way."""
    found = [one for one in deployments(app) if not one.deployment.unreadable_at("servers")]
    for one in found:
        hosts = one.deployment.hosts
        if len(hosts) > 1:
            yield Finding(
                "servers.several",
                "error",
                *one.deployment.line("servers"),
                f"the app of {one.name} goes to {len(hosts)} servers ({', '.join(sorted(hosts))}), "
                "and each would have databases of its own: SQLite lives on the disk of one",
                "Keep one host in all roles.",
            )
        elif hosts:
            yield from _accessory(one, hosts[0])
    # Where code names a server, those that are written still count.
    for one, other in combinations(deployments(app), 2):
        yield from _collide(one, other)


def _accessory(one: Deployed, host: str) -> Iterator[Finding]:
    sidecar, deployment = one.sidecar, one.deployment
    if (
        sidecar is None
        or len(sidecar.placements) != 1
        or sidecar.hosts == (host,)
        or deployment.unreadable_at("accessories", SIDECAR)
    ):
        return
    [key] = sidecar.placements
    role, where = deployment.primary_role_name, ", ".join(sidecar.hosts) or "no server at all"
    # A key of another kind in a destination would be a second one.
    lines = {"host": f'host: "{host}"', "hosts": f'hosts:\n      - "{host}"'}
    lines["roles"], lines["role"] = f"roles:\n      - {role}", f"role: {role}"
    written = lines.get(key)
    yield Finding(
        "servers.accessory",
        "error",
        *deployment.line("accessories", SIDECAR, key),
        f"the app of {one.name} goes to {host}, the accessory {SIDECAR} to {where}: it sees none "
        "of the databases",
        f"In {deployment.file}:\naccessories:\n  {SIDECAR}:\n    {written}"
        if written
        else f"Write there instead of `{key}:`\n{lines['roles']}",
    )


def _collide(one: Deployed, other: Deployed) -> Iterator[Finding]:
    shared = sorted(set(one.deployment.hosts) & set(other.deployment.hosts))
    if not shared:
        return
    both = [each.sidecar.service_name for each in (one, other) if each.sidecar]
    volumes = sorted({source for source, _ in _files(one) & _files(other)})
    what, fix = [], []
    if len(both) == 2 and both[0] == both[1]:
        what.append(f"accessory {both[0]}")
        fix.append(f"accessories:\n  {SIDECAR}:\n    service: {both[0]}-{other.name}")
    for source in volumes:
        what.append(f"databases on the volume {source}")
        fix.append(
            f"volumes of its own, for the app and under accessories: {SIDECAR}: "
            f"{source}_{other.name}"
        )
    if what:
        key = "volumes" if volumes else "servers"
        file, line = other.deployment.line(key)
        yield Finding(
            "servers.collide",
            "error",
            other.deployment.file,
            line if file == other.deployment.file else 0,
            f"{one.name} and {other.name} share the server {', '.join(shared)} and the "
            f"{' and the '.join(what)}: Kamal gives these no name of the destination",
            f"Use a server of its own; or in {other.deployment.file}:\n" + "\n".join(fix),
        )


def _files(one: Deployed) -> set[tuple[str, str]]:
    """Return the databases: the volume or folder that each is on, and its path there."""
    found = set()
    for path in map(one.app.in_container, one.databases.values()):
        mount = one.deployment.mount_of(path)
        if mount and mount.source:
            found.add((mount.source, path.removeprefix(mount.target)))
    return found
