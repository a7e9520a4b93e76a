"""What the drills saw, written to docs/reliability.md at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "reliability.md"

_HEAD = """\
<!-- Written by `make e2e`. -->
# Reliability

What happens to the data when something breaks, from one run of `make e2e`: the real Kamal over
ssh, a Docker engine, the real Litestream, an S3 server and a Rails app, deployed with nothing but
the files that the template renders. Rows are those that the app confirmed as committed, in both of
its databases.

What had to be played by something else in that run (Docker Hub's images, rubygems.org, BuildKit,
Thruster) is listed at the top of `e2e/__init__.py`.

| drill | rows before | rows after | missing | what was seen |
|---|--:|--:|--:|---|
"""

_KILLS = """
## Killed at random moments

`python -m kamalstream.prove.kills`: writers and Litestream killed with SIGKILL, the disk removed,
restored and compared row by row. Nothing committed more than the bound before the kill may be
missing.

| Litestream | kills | rows compared | lost at most | median | bound | kills that broke the bound |
|---|--:|--:|--:|--:|--:|--:|
"""

_LIMITS = """
## What is known to be left

- **The first seconds of Litestream 0.3.** Killed between its very first snapshot and the first
  upload after it, 0.3.13 restores the snapshot alone, and it may restore half a transaction. The
  kills above come when it has been replicating for 2.5 seconds. 0.5 with the rendered
  `monitor-interval: 750ms` kept the bound in 240 kills from 0.3 seconds after its start, too.
- **Jobs.** The drills and kills above are with `queue_loss: 2s`. Its default lets a lost server
  take five or ten seconds of the queue database, for the sake of the bill: [bill.md](bill.md).
- **A moment that is older than an hour** comes back as it was at the last full five minutes before
  it.
- **Do not lower `monitor-interval` to 500ms.** Litestream 0.5.17 may then upload a snapshot before
  the change it covers; killed in that instant and gone on from the restored state, a later restore
  failed with "nonsequential page numbers": 65 of 240 at 500ms, none of 160 at 750ms and at 1s.
- **After an outage of the bucket, Litestream 0.5 does not go on at once.** It tries again after at
  most 20 seconds, and where the bucket was away for more than ten minutes, after at most five
  minutes; until then a lost server costs what was written since the outage began. `kamal
  backup-now` shortens the wait to 20 seconds. 0.3 went on within a second.
- **Uploaded files** (Active Storage on the volume) are not databases; Litestream leaves them.
"""


@dataclass(frozen=True)
class Drill:
    """One row of the table: rows before the trouble, rows after it, and what was seen."""

    title: str
    before: int
    after: int
    missing: int
    seen: str


class Record:
    """Gathers the drills of a run."""

    def __init__(self) -> None:
        """Begin empty."""
        self.drills: list[Drill] = []
        self.kills: list[str] = []

    def write(self, page: Path = PAGE) -> None:
        """Write the page, once every drill was run."""
        rows = [
            f"| {d.title} | {d.before} | {d.after} | {d.missing} | {d.seen} |\n"
            for d in self.drills
        ]
        kills = [_KILLS, *(f"| {row} |\n" for row in self.kills)] if self.kills else []
        page.write_text("".join([_HEAD, *rows, *kills, _LIMITS]), "utf-8")
