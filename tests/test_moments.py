"""A moment comes back as the guide says: exact while uploads are kept, then as last merged."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pytest
import yaml

from kamalstream import programs
from kamalstream.facts import REPLICATION
from kamalstream.prove import writer
from kamalstream.prove.s3 import ScratchS3

from .conftest import requires

pytestmark = requires("weed", "litestream-0.5")

# The rendered intervals of an hour in a minute, so five minutes are five seconds.
_FASTER = 60
_SECONDS = {"h": 3600, "m": 60}
_FOR = 40
MERGED = 5.0


def shorter(duration: str) -> str:
    (number, unit) = re.fullmatch(r"(\d+)([hm])", duration).groups()  # type: ignore[union-attr]
    return f"{int(number) * _SECONDS[unit] / _FASTER:g}s"


@dataclass(frozen=True)
class Written:
    """A database in use: when each row was committed, and how to have a moment of it back."""

    commits: tuple[float, ...]
    command: tuple[str | Path, ...]
    environment: dict[str, str]
    folder: Path

    def newest_at(self, moment: float) -> float:
        """Restore `moment`; return when the newest row that came back was written."""
        target = self.folder / f"{moment}.sqlite3"
        stamp = datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        command = [*self.command[:-1], "-timestamp", stamp, "-o", target, self.command[-1]]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)
        connection = sqlite3.connect(target)
        ((integrity,),) = connection.execute("PRAGMA integrity_check")
        ((newest, rows),) = connection.execute("SELECT max(written_at), count(*) FROM rows_of_it")
        connection.close()
        assert integrity == "ok"
        # Nothing is missing before the newest.
        assert rows == sum(commit <= newest for commit in self.commits)
        return float(newest)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, s3: ScratchS3) -> Iterator[Written]:
    folder = tmp_path_factory.mktemp("moments")
    pace = REPLICATION["0.5"]
    database = folder / "app.sqlite3"
    config = folder / "litestream.yml"
    replica = {"type": "s3", "bucket": "moments", "path": "app", "endpoint": s3.endpoint}
    config.write_text(
        yaml.safe_dump(
            {
                "snapshot": {"interval": shorter(pace["snapshot"]), "retention": "1h"},
                "levels": [{"interval": shorter(one)} for one in pace["levels"]],
                # Ten minutes, so that most of the run is older.
                "l0-retention": "10s",
                "l0-retention-check-interval": shorter(pace["l0-retention-check-interval"]),
                "dbs": [{"path": str(database), "monitor-interval": "750ms", "replica": replica}],
            }
        )
    )
    s3.create_bucket("moments")
    writer.create(str(database), "rows_of_it")
    program = programs.litestream("0.5")
    assert program
    environment = s3.environment()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "replicate", "-config", config], stdout=log, stderr=log, env=environment
        )
    try:
        connection = writer.connect(str(database))
        until = time.time() + _FOR
        while time.time() < until:
            writer.write(connection, "rows_of_it", 0)
            time.sleep(0.2)
        commits = tuple(
            when for (when,) in connection.execute("SELECT written_at FROM rows_of_it ORDER BY id")
        )
        connection.close()
        time.sleep(2)
        # What goes on being merged tidies up what the tests look for.
        process.kill()
        command = (program, "restore", "-config", config, database)
        yield Written(commits, command, environment, folder)
    finally:
        process.kill()
        process.wait()


def test_an_old_moment_comes_back_as_it_was_when_last_merged_and_never_later(
    written: Written,
) -> None:
    first = written.commits[0]
    for after in (12.0, 17.3, 21.9):
        newest = written.newest_at(first + after)
        assert newest <= first + after
        assert first + after - newest <= MERGED + 2.0


def test_a_moment_of_which_the_uploads_are_kept_comes_back_exactly(written: Written) -> None:
    moment = written.commits[-1] - 4.0
    newest = written.newest_at(moment)
    assert newest <= moment
    assert moment - newest <= 2.0
