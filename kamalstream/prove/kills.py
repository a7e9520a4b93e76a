"""Kills replication at many random moments and measures what is lost.

Run as `python -m kamalstream.prove.kills --kills 50`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kamalstream import programs
from kamalstream.errors import BadInput
from kamalstream.prove.drill import DrillReport, Scene, lose_and_restore
from kamalstream.prove.s3 import ScratchS3

_PATH = "/rails/storage/production.sqlite3"
_CONFIG = {
    "0.5": """\
dbs:
  - path: {path}
    replica:
      type: s3
      bucket: kills
      path: lane{lane}-{series}/production.sqlite3
""",
    "0.3": """\
dbs:
  - path: {path}
    replicas:
      - type: s3
        bucket: kills
        path: lane{lane}-{series}/production.sqlite3
""",
}


@dataclass(frozen=True)
class Kills:
    """Every kill of one Litestream release series at its default settings."""

    series: str
    reports: tuple[DrillReport, ...]

    @property
    def seconds_lost(self) -> float:
        """The age of the oldest commit that any kill took, in seconds."""
        return max(report.seconds_lost for report in self.reports)

    @property
    def problems(self) -> tuple[str, ...]:
        """What went wrong at any of the kills."""
        return tuple(problem for report in self.reports for problem in report.problems)


def kill_often(
    series: str,
    kills: int,
    server: ScratchS3,
    *,
    lanes: int = 5,
) -> Kills:
    """Kill Litestream `series` and its writers with SIGKILL at `kills` random moments.

    Each lane has one database and goes on with what came back, so a later kill also counts what
    an earlier one should have kept. The moments lie 0.3 to 4 s after the start.

    Raises:
        BadInput: a program is missing.
    """
    litestream = programs.litestream(series)
    if litestream is None:
        raise BadInput(f"Litestream {series} is not on this machine.")

    def run(lane: int) -> list[DrillReport]:
        text = _CONFIG[series].format(path=_PATH, lane=lane, series=series)
        reports: list[DrillReport] = []
        with tempfile.TemporaryDirectory(prefix="kamalstream-kills-") as folder:
            scene = Scene(litestream, Path(folder), text, {"primary": _PATH}, server)
            for _ in range(lane, kills, lanes):
                reports += lose_and_restore(scene, random.uniform(0.3, 4.0))
        return reports

    with ThreadPoolExecutor(lanes) as pool:
        return Kills(series, tuple(one for lane in pool.map(run, range(lanes)) for one in lane))


def table(results: Sequence[Kills]) -> Table:
    """Return the figures of each series as a table of at most 80 columns."""
    shown = Table(title="Killed at random moments", title_justify="left")
    for heading in (
        "Litestream",
        "kills",
        "rows compared",
        "lost at most",
        "median",
        "bound",
        "broken",
    ):
        shown.add_column(heading, justify="left" if heading == "Litestream" else "right")
    for result in results:
        lost = [report.seconds_lost for report in result.reports]
        shown.add_row(
            result.series,
            str(len(lost)),
            str(sum(report.rows_written for report in result.reports)),
            f"{max(lost):.2f} s",
            f"{statistics.median(lost):.2f} s",
            f"{result.reports[0].loss_bound:.0f} s",
            str(sum(not report.ok for report in result.reports)),
        )
    return shown


def main() -> int:
    """Run the kills for the asked series; return 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description="Kill replication at random moments.")
    parser.add_argument("--kills", type=int, default=50, help="per series (default: 50)")
    parser.add_argument("--litestream", choices=sorted(_CONFIG), action="append")
    parser.add_argument("--lanes", type=int, default=5, help="side by side (default: 5)")
    options = parser.parse_args()
    console = Console()
    with ScratchS3() as server:
        results = [
            kill_often(series, options.kills, server, lanes=options.lanes)
            for series in options.litestream or ("0.5", "0.3")
        ]
    console.print(table(results))
    for result in results:
        for problem in result.problems:
            console.print(f"{result.series}: {problem}", markup=False)
    return int(any(result.problems for result in results))


if __name__ == "__main__":
    sys.exit(main())
