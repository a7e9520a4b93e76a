"""Copy uploaded files, lose the disk, have them come back: proof for bin/copy-uploads."""

from __future__ import annotations

import configparser
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kamalstream.errors import BadInput
from kamalstream.facts import COPY_UPLOADS, RCLONE
from kamalstream.inspect.storage_yml import path_of
from kamalstream.prove.file_sample import rclone
from kamalstream.prove.s3 import ScratchS3

_FILES = 40
# What the rendered program promises is a minute; here it looks every second.
_WITHIN = 60.0


@dataclass(frozen=True)
class FilesReport:
    """What became of uploaded files. Times are in seconds; `problems` are sentences."""

    written: int
    back: int
    seconds_to_copy: float
    seconds_to_return: float
    problems: tuple[str, ...]


def drill_files(app: Path, server: ScratchS3, within: float = _WITHIN) -> FilesReport:
    """Prove that the rendered bin/copy-uploads of `app` brings files back.

    Files are stored as Active Storage's Disk service stores them, the copying is killed when all
    are in the bucket, the disk is lost, and an empty one is given to the same program.

    Args:
        app: root of the Rails app.
        server: an S3 server that runs.
        within: seconds that either way may take.

    Raises:
        BadInput: what is rendered is missing or unreadable, or there is no rclone here.
    """
    program = rclone()
    config = configparser.ConfigParser()
    try:
        config.read_string((app / RCLONE).read_text(encoding="utf-8"))
        _, _, path = config["uploads"]["remote"].partition(":")
    except (OSError, KeyError, UnicodeDecodeError, configparser.Error) as error:
        raise BadInput(f"{app / RCLONE} cannot be read: {error}") from None
    server.create_bucket(path.partition("/")[0])
    config["bucket"]["endpoint"] = server.endpoint
    # Nothing of a drill before on the same server.
    config["uploads"]["remote"] += f"-{os.urandom(4).hex()}"
    with tempfile.TemporaryDirectory(prefix="kamalstream-drill-") as name:
        folder = Path(name)
        (folder / "rclone.conf").touch(mode=0o600)
        with (folder / "rclone.conf").open("w") as file:
            config.write(file)
        return _lose_and_return(_Copier(app / COPY_UPLOADS, program, folder, server, within))


@dataclass(frozen=True)
class _Copier:
    """The rendered program, and the disk that it looks after."""

    program: Path
    rclone: Path
    folder: Path
    server: ScratchS3
    within: float

    @property
    def disk(self) -> Path:
        return self.folder / "disk"

    @contextmanager
    def watching(self) -> Iterator[subprocess.Popen[bytes]]:
        """Have it run, and kill it at the end."""
        with (self.folder / "said").open("ab") as log:
            process = subprocess.Popen(
                ["sh", self.program, "watch"],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def wait(self, process: subprocess.Popen[bytes], done: Callable[[], bool]) -> float | None:
        """Return after how many seconds it was `done`, None where it ended or took too long."""
        began = time.monotonic()
        while time.monotonic() < began + self.within and process.poll() is None:
            if done():
                return time.monotonic() - began
            time.sleep(0.2)
        return None

    def copied(self) -> int:
        """Return how many files are known to be in the bucket."""
        known = self.disk / ".uploads/known"
        return len(known.read_text().splitlines()) if known.exists() else 0

    def words(self) -> str:
        """Return the last that it said."""
        lines = (self.folder / "said").read_text(errors="replace").split("\n")
        return " ".join(line.strip() for line in lines[-3:]).strip() or "it said nothing"

    def _environment(self) -> dict[str, str]:
        server = self.server
        return {
            "PATH": f"{self.rclone.parent}:/usr/local/bin:/usr/bin:/bin",
            "LITESTREAM_ACCESS_KEY_ID": server.access_key,
            "LITESTREAM_SECRET_ACCESS_KEY": server.secret_key,
            "UPLOADS_ROOT": str(self.disk),
            "UPLOADS_SECONDS": "1",
            "UPLOADS_SPARE": "0",
            "RCLONE_CONFIG": str(self.folder / "rclone.conf"),
        }


def _lose_and_return(copier: _Copier) -> FilesReport:
    with copier.watching() as process:
        written = _store(copier.disk)
        took = copier.wait(process, lambda: copier.copied() == len(written))
    if took is None:
        said = f"{copier.copied()} of {len(written)} files were copied: {copier.words()}"
        return FilesReport(len(written), 0, copier.within, 0.0, (said,))
    shutil.rmtree(copier.disk)
    copier.disk.mkdir()
    with copier.watching() as process:
        returned = copier.wait(process, lambda: copier.copied() == len(written))
    back = {path: path.read_bytes() for path in written if path.is_file()}
    same = sum(back.get(path) == content for path, content in written.items())
    problems = []
    if same < len(written):
        problems.append(f"{same} of {len(written)} files are as they were: {copier.words()}")
    return FilesReport(len(written), same, took, returned or copier.within, tuple(problems))


def _store(disk: Path) -> dict[Path, bytes]:
    """Write files; return path and content."""
    written = {}
    for number in range(_FILES):
        path = disk / path_of(os.urandom(14).hex())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 997))
        written[path] = path.read_bytes()
    return written
