"""`kamalstream verify`: the real backups, restored somewhere else."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kamalstream import atomic, facts
from kamalstream.check.deployed import Deployed, deployments
from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import App
from kamalstream.inspect.kamal.values import text
from kamalstream.prove import real_bucket
from kamalstream.prove.cost import cost
from kamalstream.prove.fetch import Fetch
from kamalstream.prove.file_sample import FILES, LARGEST, Uploads
from kamalstream.prove.redirect import Replicated
from kamalstream.prove.verify import (
    OLDEST,
    Source,
    Verification,
    age_of,
    lasting,
    planned,
    verify,
)
from kamalstream.terminal import fold


@dataclass(frozen=True)
class Options:
    """What the command was called with; see `kamalstream verify --help`."""

    destination: str = ""
    check: str = ""
    evidence: Path | None = None
    keep: Path | None = None
    accept: bool = False
    json: bool = False


def run(folder: Path, options: Options, console: Console) -> bool:
    """Verify the backups of the app in `folder`; return whether all is well.

    Raises BadInput where there is nothing to verify, or the keys or a program are missing.
    """
    source = _source(App(folder), options.destination)
    evidence = options.evidence or folder / facts.VERIFIED
    last = _last(evidence)
    with console.status("looking what is in the bucket"):
        plan = planned(source)
    if not options.json:
        console.print(escape(fold(_announcement(source, plan), console)), soft_wrap=True)
    with console.status("fetching") as status:
        found = verify(
            source,
            plan,
            last=None if options.accept else last,
            check=options.check,
            keep=options.keep,
            on_progress=status.update,
        )
    if found.ok:
        evidence.parent.mkdir(parents=True, exist_ok=True)
        atomic.replace(evidence, (found.as_json() + "\n").encode())
    if options.json:
        print(found.as_json())
    else:
        _show(found, last, console)
    return found.ok


def _source(app: App, destination: str) -> Source:
    known = deployments(app)
    here = [one for one in known if one.name == destination or (one.is_main and not destination)]
    if not here:
        names = ", ".join(one.name for one in known if one.name) or "none"
        raise BadInput(
            f"{destination or 'config/deploy.yml'} is no deployment that can be read of this app.\n"
            f"Destinations: {names}."
        )
    return source_of(app, here[0])


def source_of(app: App, one: Deployed) -> Source:
    """Return where the backups of a deployment are; raise BadInput where keys are missing."""
    destination = "" if one.is_main else one.name
    started = text(one.sidecar.options.get("entrypoint")) if one.sidecar else None
    keys = real_bucket.keys(app.root, destination or "production")
    marked = app.series == "0.5" and posixpath.basename(facts.ONE_WRITER) in (started or "")
    return Source(
        str(app.answers.get("app_name")),
        destination,
        app.root / one.litestream,
        app.series,
        {app.in_container(path): name for name, path in one.databases.items()},
        keys,
        OLDEST if marked else None,
        _uploads(app, destination, keys),
        str(app.answers.get("storage_provider")),
    )


def _uploads(app: App, destination: str, keys: Mapping[str, str]) -> Uploads | None:
    if not app.copies_uploads:
        return None
    own = app.root / facts.rclone_of(destination)
    config = own if destination and own.is_file() else app.root / facts.RCLONE
    pair = dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), keys.values(), strict=True))
    return Uploads(config, app.inspected.storage_service, pair)


def _last(evidence: Path) -> dict[str, Any] | None:
    if not evidence.exists():
        return None
    try:
        read = json.loads(evidence.read_text("utf-8"))
        whole = isinstance(read, dict) and {"at", "databases"} <= read.keys()
    except (ValueError, OSError):
        whole = False
    if not whole:
        raise BadInput(f"{evidence} is not what `kamalstream verify` wrote. Remove it.")
    return dict(read)


def _announcement(source: Source, plan: tuple[tuple[Replicated, Fetch], ...]) -> str:
    files = sum(fetch.files for _, fetch in plan)
    size = sum(fetch.size for _, fetch in plan)
    fetched = f"{in_bytes(size)} in {files:,} files to fetch"
    buckets = ", ".join(sorted({entry.bucket for entry, _ in plan}))
    before = (
        f"Restoring the backups of {source.app}"
        f"{f' ({source.destination})' if source.destination else ''} from {buckets} to this "
        "machine, and looking at them: "
    )
    if not files:
        return f"{before}there is nothing to fetch."
    more = ""
    if source.uploads:
        more = f", and up to {FILES} uploaded files of {in_bytes(LARGEST)} at most"
        files, size = files + FILES, size + FILES * LARGEST
    charged = cost(source.provider, len(plan), files, size).in_words()
    return f"{before}{fetched}{more}. {charged}"


def _show(found: Verification, last: dict[str, Any] | None, console: Console) -> None:
    now = datetime.now(timezone.utc)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("database")
    for heading in ("newest change", "fetched", "size", "rows", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("integrity")
    for one in found.databases:
        if not one.size:
            continue
        age = age_of(one.newest, now)
        table.add_row(
            one.name,
            f"{lasting(age)} ago" if age is not None else "",
            in_bytes(one.fetched),
            in_bytes(one.size),
            f"{sum(one.tables.values()):,}",
            f"{one.seconds:.1f}",
            one.integrity[:20],
        )
    if table.rows:
        console.print(table)
    for said in (*_problems(found), *found.problems):
        console.print(escape(fold(said, console)), style="red", soft_wrap=True)
    if found.files and not found.files.problems:
        looked, named = found.files.looked_at, found.files.named
        console.print(f"Uploaded files: {looked} of {named:,} looked at, as they should be.")
    for one in found.databases:
        if one.unread:
            without = f"{one.name}: not counted, for want of an extension: {', '.join(one.unread)}"
            console.print(escape(fold(without, console)), soft_wrap=True)
    if found.ok:
        console.print(
            f"Verified: {len(found.databases)} of {len(found.databases)} databases came back whole."
        )
        return
    console.print("NOT verified." + (f" The last time it was: {last['at'][:10]}." if last else ""))
    if any("rows" in problem for one in found.databases for problem in one.problems):
        console.print("Is that as it should be? kamalstream verify --accept")


def _problems(found: Verification) -> list[str]:
    said = [f"{one.name}: {problem}" for one in found.databases for problem in one.problems]
    return said + [
        f"uploaded files: {one}" for one in (found.files.problems if found.files else ())
    ]


def in_bytes(size: float) -> str:
    """Return a size as people read it: "1.2 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
