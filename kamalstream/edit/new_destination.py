"""The files of a destination that is new: what it has otherwise than config/deploy.yml."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from kamalstream.errors import BadInput
from kamalstream.facts import DEPLOY
from kamalstream.inspect.kamal.deployment import Deployment
from kamalstream.inspect.kamal.files import destination_file
from kamalstream.inspect.kamal.secrets_file import assignments
from kamalstream.inspect.kamal.values import as_list


def deploy_file(main: Deployment, name: str, server: str, domain: str) -> str:
    """Return the text of config/deploy.NAME.yml: its server, its domain, volumes of its own.

    `main` is the deployment that it is like. Raises BadInput where code decides what that has.
    """
    for part in ("servers", "volumes", "proxy"):
        if main.unreadable_at(part):
            raise BadInput(
                f"code decides about {part}: in {main.line(part)[0]}, so what is its own of {name} "
                f"is not known.\nWrite {destination_file(name)} by hand, then run kamalstream init."
            )
    volumes = [_own(str(one), name) for one in as_list(main.get("volumes"))]
    blocks = [
        [
            f"# The destination {name}, laid over {DEPLOY}: kamal deploy -d {name}",
            *_servers(main.get("servers"), server),
        ],
        _proxy(main, domain),
        ["# Its own: databases and files of no other deployment.", "volumes:"]
        + [f"  - {json.dumps(one)}" for one in volumes]
        if volumes
        else [],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _servers(servers: Any, server: str) -> Iterator[str]:
    """Yield `servers:` in the form that config/deploy.yml has: Kamal lays mappings over another."""
    written = json.dumps(server)
    yield "servers:"
    if not isinstance(servers, dict):
        yield f"  - {written}"
        return
    for role, of_role in servers.items():
        yield f"  {role}:"
        if isinstance(of_role, dict):
            yield "    hosts:"
            yield f"      - {written}"
        else:
            yield f"    - {written}"


def _proxy(main: Deployment, domain: str) -> list[str]:
    if not main.proxy.hosts:
        return []
    if main.get("proxy", "hosts"):
        return ["proxy:", "  hosts:", f"    - {json.dumps(domain)}"]
    return ["proxy:", f"  host: {json.dumps(domain)}"]


def _own(volume: str, name: str) -> str:
    """Return a volume with a source of its own; what is only read may be anyone's."""
    source, _, rest = volume.partition(":")
    if "ro" in rest.partition(":")[2].split(","):
        return volume
    return f"{source}_{name}:{rest}"


def secrets_file(main: str) -> tuple[str, tuple[str, ...]]:
    """Return the secrets of a destination, fetched as those of `main`, and the names left out.

    A secret that stands there itself is that deployment's own: it is copied nowhere, and Kamal
    says what is missing.
    """
    literal = [one for one in assignments(main) if one.is_literal]
    gone = {line for one in literal for line in range(one.line, one.end_line + 1)}
    kept = [line for number, line in enumerate(main.splitlines(), 1) if number not in gone]
    return "\n".join(kept) + "\n", tuple(one.name for one in literal)
