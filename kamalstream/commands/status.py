"""`kamalstream status`: how the backups are, per deployment, on one screen."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kamalstream import facts
from kamalstream.check.deployed import SIDECAR, Deployed, deployments
from kamalstream.check.ssh import NoAnswerError, ask
from kamalstream.commands.verify import in_bytes, source_of
from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import App
from kamalstream.prove import real_bucket
from kamalstream.prove.stored import Stored, stored
from kamalstream.prove.verify import Source, age_of, lasting
from kamalstream.terminal import fold

# What the accessory's container is, its image, whether it refuses, its last error, free kibibytes,
# and the bytes of databases and their WAL.
_ASK = """\
docker inspect --format 'container {{.State.Status}} {{.Config.Image}}' NAME 2>&1 | tail -n 1
docker logs --tail 7 NAME 2>&1 | grep -a '^Not replicating: ' | sed 's/^/refused /'
docker logs --tail 200 NAME 2>&1 | grep -a level=ERROR | tail -n 1 | sed 's/^/error /'
df -Pk "$(docker info --format '{{.DockerRootDir}}' 2>/dev/null || echo /)" |
  tail -n 1 | sed 's/^/disk /'
docker exec NAME stat -c 'file %n %s' FILES 2>/dev/null
"""
# How far bin/copy-uploads is, or why that cannot be said.
_ASK_UPLOADS = """\
said=$(docker exec NAME copy-uploads status 2>&1) && word=uploads || word=behind
echo "$word $(echo "$said" | tr '\\n' ' ')"
"""


@dataclass(frozen=True)
class Database:
    """One database's backup; `age` in seconds, `here` and `wal` the bytes on the server."""

    name: str
    path: str
    stored: Stored
    age: float | None
    here: int | None
    wal: int | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Server:
    """The accessory's container and its machine; `problem` says what is wrong, `unknown` why.

    `uploads` is how far the copy of uploaded files is, `behind` why it is not as far as it may be.
    """

    host: str
    container: str = ""
    image: str = ""
    error: str = ""
    free: int | None = None
    problem: str = ""
    unknown: str = ""
    uploads: str = ""
    behind: str = ""


@dataclass(frozen=True)
class Status:
    """How the backups of one deployment are."""

    deployment: str
    databases: tuple[Database, ...]
    server: Server

    @property
    def ok(self) -> bool:
        """False where a backup is missing or older than it may be, or nothing replicates."""
        of_server = self.server.problem or self.server.behind
        return not of_server and all(not one.problems for one in self.databases)


def run(folder: Path, destination: str, as_json: bool, console: Console) -> bool:
    """Show the status of the app in `folder`, or of its `destination`; return whether all is well.

    Raises BadInput where there is no such deployment, or the keys or a program are missing.
    """
    app = App(folder)
    known = deployments(app)
    chosen = [one for one in known if not destination or one.name == destination]
    if not chosen:
        names = ", ".join(one.name for one in known) or "none that can be read"
        raise BadInput(f"{destination} is no deployment of this app. Deployments: {names}.")
    with console.status("looking into the bucket and at the server"):
        found = [_status(app, one) for one in chosen]
    if as_json:
        print(json.dumps(_as_json(app, found), indent=2))
    else:
        for one in found:
            _show(one, console)
        console.print(escape(fold(_versions(app), console)), soft_wrap=True)
    return all(one.ok for one in found)


def _status(app: App, one: Deployed) -> Status:
    source = source_of(app, one)
    entries = source.entries()
    server, files = _server(one, [entry.path for entry in entries])
    litestream = partial(real_bucket.run, source.litestream(), source.keys)
    databases = []
    for entry in entries:
        found = stored(litestream, source.series, source.config, entry.path)
        age = age_of(found.newest, datetime.now(timezone.utc))
        problems = tuple(_problems(one, source, found, age))
        here, wal = files.get(entry.path), files.get(f"{entry.path}-wal")
        name = source.name(entry.path)
        databases.append(Database(name, entry.path, found, age, here, wal, problems))
    return Status(one.name, tuple(databases), server)


def _problems(one: Deployed, source: Source, found: Stored, age: float | None) -> Iterator[str]:
    if found.problem:
        yield f"its backup cannot be read: {found.problem}. {real_bucket.remedy(found.problem)}"
    elif age is None:
        yield "nothing is backed up"
    elif source.oldest is not None and age > source.oldest:
        yield (
            f"the last upload was {lasting(age)} ago, and the server makes one every hour: "
            f"{one.kamal('accessory logs litestream')}"
        )


def _server(one: Deployed, paths: list[str]) -> tuple[Server, dict[str, int]]:
    """Return the server's part, and the sizes of what is on its volume."""
    host = one.deployment.server or ""
    name = one.sidecar.service_name if one.sidecar else SIDECAR
    files = shlex.join(file for path in paths for file in (path, f"{path}-wal"))
    script = _ASK.replace("NAME", shlex.quote(name)).replace("FILES", files)
    copies = one.deployment.accessories.get(facts.UPLOADS)
    if copies and one.app.copies_uploads:
        script += _ASK_UPLOADS.replace("NAME", shlex.quote(copies.service_name))
    try:
        answer = ask(host, one.deployment.ssh, script)
    except (NoAnswerError, FileNotFoundError) as failure:
        return Server(host, unknown=f"ssh does not get in: {failure}"), {}
    pairs = [line.partition(" ")[::2] for line in answer]
    said = dict(pairs)
    sizes = {
        path: int(size)
        for path, _, size in (rest.rpartition(" ") for word, rest in pairs if word == "file")
    }
    state, _, image = said.get("container", "missing").partition(" ")
    disk = said.get("disk", "").split()
    problem = said.get("refused", "")
    if not problem and state != "running":
        # What was never deployed has none either, and no app.
        remedy = "setup" if state == "missing" else "accessory reboot litestream"
        problem = f"the accessory {name} is {state}: {one.kamal(remedy)}"
    free = int(disk[3]) * 1024 if len(disk) > 3 and disk[3].isdigit() else None
    behind = said.get("behind", "").strip()
    if behind:
        behind = f"uploaded files: {behind} ({one.kamal('accessory logs uploads')})"
    uploads = said.get("uploads", "").strip()
    return Server(
        host, state, image, said.get("error", ""), free, problem, "", uploads, behind
    ), sizes


def _as_json(app: App, found: list[Status]) -> dict[str, Any]:
    return {
        "app": str(app.root),
        "ok": all(one.ok for one in found),
        "deployments": [{"ok": one.ok, **asdict(one)} for one in found],
        "template": app.answers.get("_commit"),
        "verified": _verified(app),
    }


def _verified(app: App) -> str | None:
    """Return when `kamalstream verify` last found all well on this machine."""
    try:
        return str(json.loads((app.root / facts.VERIFIED).read_text("utf-8"))["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _show(one: Status, console: Console) -> None:
    table = Table(title=one.deployment, title_justify="left", title_style="bold")
    table.add_column("database")
    for heading in ("last upload", "back to", "in the bucket", "here", "WAL", "files", "position"):
        table.add_column(heading, justify="right")
    for each in one.databases:
        there = each.stored
        files = sum(there.files.values())
        table.add_row(
            each.name,
            f"{lasting(each.age)} ago" if each.age is not None else "-",
            there.since.replace("T", " ")[:16] or "-",
            in_bytes(there.size) if there.files else "-",
            in_bytes(each.here) if each.here is not None else "?",
            in_bytes(each.wal) if each.wal is not None else "?",
            f"{files:,}",
            there.position.lstrip("0")[:8] or "-",
        )
    console.print(table)
    counts = "; ".join(
        f"{each.name}: "
        + ", ".join(f"{count:,} {level}" for level, count in each.stored.files.items())
        for each in one.databases
        if each.stored.files
    )
    if counts:
        console.print(escape(fold(f"files: {counts}", console)), soft_wrap=True)
    server = one.server
    parts = [
        f"{server.host}: {server.unknown}" if server.unknown else f"{server.host}:",
        f"litestream {server.container}, {server.image}" if server.container else "",
        f"{in_bytes(server.free)} free" if server.free is not None else "",
    ]
    line = " ".join(part for part in parts if part)
    console.print(escape(fold(line, console)), soft_wrap=True)
    if server.uploads:
        console.print(escape(fold(f"uploaded files: {server.uploads}", console)), soft_wrap=True)
    if server.error:
        last = f"the accessory's last error: {server.error}"
        console.print(escape(fold(last, console)), soft_wrap=True)
    problems = [f"{each.name}: {said}" for each in one.databases for said in each.problems]
    for said in (*problems, *filter(None, (server.problem, server.behind))):
        console.print(escape(fold(said, console)), style="red", soft_wrap=True)
    console.print("[green]ok[/]" if one.ok else "[red]NOT ok[/]")
    console.print()


def _versions(app: App) -> str:
    pinned = facts.VERSIONS["litestream"][app.series]
    verified = _verified(app)
    return (
        f"Template {app.answers.get('_commit') or 'not recorded'} (newer? kamalstream update "
        f"--check), Litestream {pinned}, last verified here: {verified or 'never'} "
        "(kamalstream verify)."
    )
