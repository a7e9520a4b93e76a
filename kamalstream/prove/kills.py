"""Kills replication at many random moments and measures what is lost.

Run as `python -m kamalstream.prove.kills APP --kills 50`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kamalstream.errors import BadInput
from kamalstream.facts import RAILS_ROOT
from kamalstream.inspect.adopted import App
from kamalstream.prove.drill import DrillReport, lose_and_restore, staged
from kamalstream.prove.s3 import ScratchS3

# From then on replication is under way, which the promise takes for granted. A Litestream that
# has just started uploads first after 1 s (0.3) or 2 s (0.5); killed before, it loses what was
# written since its start, and 0.3 can leave a snapshot without the WAL it needs.
SETTLED = 2.5


@dataclass(frozen=True)
class Kills:
    """Every kill under one app's litestream.yml; of each, what its worst database lost."""

    series: str
    rounds: tuple[tuple[DrillReport, ...], ...]

    @property
    def seconds_lost(self) -> tuple[float, ...]:
        """For each kill, the age of the oldest commit it took."""
        return tuple(max(report.seconds_lost for report in reports) for reports in self.rounds)

    @property
    def reports(self) -> tuple[DrillReport, ...]:
        """One per kill and database."""
        return tuple(report for reports in self.rounds for report in reports)

    @property
    def problems(self) -> tuple[str, ...]:
        """What went wrong at any of the kills."""
        return tuple(
            f"{report.database}: {problem}"
            for report in self.reports
            for problem in report.problems
        )


def kill_often(
    app: Path,
    databases: Mapping[str, str],
    series: str,
    kills: int,
    server: ScratchS3,
    *,
    lanes: int = 4,
    earliest: float = SETTLED,
    rails_root: str = RAILS_ROOT,
) -> Kills:
    """Kill Litestream and the writers of `app` with SIGKILL at `kills` random moments.

    Takes `app`, `databases`, `series` and `rails_root` as `drill` does. The moments lie in the
    3.5 s that begin `earliest` seconds after the start. Each of the `lanes` that run side by side
    goes on with what came back to it, so a later kill also counts what an earlier one should have
    kept.

    Raises:
        BadInput: as `drill`.
    """
    scene_of = staged(app, databases, series, rails_root)

    def run(lane: int) -> list[tuple[DrillReport, ...]]:
        with tempfile.TemporaryDirectory(prefix="kamalstream-kills-") as folder:
            scene = scene_of(Path(folder), server, f"-kills-{series}-{lane}")
            return [
                lose_and_restore(scene, earliest + random.uniform(0.0, 3.5))
                for _ in range(lane, kills, lanes)
            ]

    with ThreadPoolExecutor(lanes) as pool:
        return Kills(series, tuple(one for lane in pool.map(run, range(lanes)) for one in lane))


def table(results: Sequence[Kills]) -> Table:
    """Return the figures of each series as a table of at most 80 columns."""
    shown = Table(title="Killed at random moments", title_justify="left")
    shown.add_column("Litestream")
    for heading in ("kills", "rows compared", "lost at most", "median", "bound", "broken"):
        shown.add_column(heading, justify="right")
    for result in results:
        shown.add_row(
            result.series,
            str(len(result.rounds)),
            f"{sum(report.rows_written for report in result.reports):,}",
            f"{max(result.seconds_lost):.2f} s",
            f"{statistics.median(result.seconds_lost):.2f} s",
            f"{max(report.loss_bound for report in result.reports):g} s",
            str(sum(not report.ok for report in result.reports)),
        )
    return shown


def main() -> int:
    """Run the kills for one app; return 1 where a promise was broken, 2 for bad input."""
    parser = argparse.ArgumentParser(description="Kill replication at random moments.")
    parser.add_argument("app", type=Path, metavar="APP")
    parser.add_argument("--kills", type=int, default=50, help="(default: 50)")
    parser.add_argument("--lanes", type=int, default=4, help="side by side (default: 4)")
    parser.add_argument("--earliest", type=float, default=SETTLED, metavar="SECONDS")
    options = parser.parse_args()
    console = Console()
    try:
        app = App(options.app)
        with ScratchS3() as server:
            result = kill_often(
                app.root,
                app.backed_up,
                app.series,
                options.kills,
                server,
                lanes=options.lanes,
                earliest=options.earliest,
                rails_root=app.rails_root,
            )
    except BadInput as problem:
        print(problem, file=sys.stderr)
        return 2
    console.print(table([result]))
    for said in result.problems:
        console.print(said, markup=False)
    return int(bool(result.problems))


if __name__ == "__main__":
    sys.exit(main())
