"""What the drills saw, written to docs/reliability.md at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from e2e import app
from e2e.outside import played

PAGE = Path(__file__).parent.parent / "docs" / "reliability.md"

_HEAD = """\
<!-- Written by `make e2e`. -->
# Reliability

What happens to the data when something breaks, from one run of `make e2e`: the real Kamal over
ssh, a Docker engine, the real Litestream, an S3 server and an app that `rails new` of Rails {rails}
made, with its Gemfile and lockfile as they came and a few files laid over it (`e2e/subject`). It is
deployed with nothing but the files that the template renders, through Thruster. Rows are those that
the app confirmed as committed, in both of the databases that are backed up: its own, and Solid
Queue's, whose jobs run in Puma.

## What a person sees

In Chromium, through the proxy: a note with a picture is written in one tab and comes up in another
by itself (Solid Queue runs the job, Turbo's stream comes over Solid Cable, libvips makes the
variant). Then the server is lost, and `kamal setup` deploys to an empty one.

| before | after |
|---|---|
| ![Before the loss](images/page-before.png) | ![After it](images/page-after.png) |

The notes are back, and so is the picture, which the accessory `uploads` had copied. What is left
out of the backups on purpose is not: the visits, which Solid Cache counted. A picture that is
purged comes back with the moment that knows it (`bin/restore --timestamp`), and outlives the next
server too.

## Drills

| drill | rows before | rows after | missing | what was seen |
|---|--:|--:|--:|---|
"""

_DEPLOYS = """
## Deploys under load

`kamal deploy` of a new version, again and again, while two writers and two readers never stop.
Rows are looked for live and, the server lost after the last deploy, restored. The assets of the
version before still answer.

| deploys | seconds | rows confirmed | missing | reads and writes | failed | integrity |
|--:|--:|--:|--:|--:|--:|---|
"""

_KILLS = """
## Killed at random moments

`python -m kamalstream.prove.kills`: writers and Litestream killed with SIGKILL, the disk removed,
restored and compared row by row. Nothing committed more than the bound before the kill may be
missing.

| Litestream | kills | rows compared | lost at most | median | bound | kills that broke the bound |
|---|--:|--:|--:|--:|--:|--:|
"""

_PROOFS = """
## A backup that is wrong

`kamalstream verify`, on the developer's machine, found all well after each drill above. Where
something is wrong:

| what | what it says |
|---|---|
"""

_VARIANTS = """
## Other kinds of app

Built with the rendered Dockerfile, deployed, asked for their page and its assets, lost with their
server and deployed to an empty one.

| made by | image built in | size | rows before | rows after |
|---|--:|--:|--:|--:|
"""

_PLAYED = """
## What was played

Not the real thing in this run, and what was in its place:

"""

_LIMITS = """
## What is known to be left

- **Uploaded files** are copied within a minute, not within two seconds: a server lost before takes
  a new one with it, and `bin/restore --check-files` names it.
- **A lost server replaced within one second, with Litestream 0.3.** It restores the generation that
  was written last, and S3 tells times in whole seconds: of two that end in the same second it takes
  the first by name, and the row after the loss is absent until the next write. 0.5 counts
  transactions instead.
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

## Ended half way, and attacked

Beside `make e2e`, tests of the command itself (`make test`; `KAMALSTREAM_KILLS=300` tries every
moment):

- `init` and `remove` ended at each of the 77 calls that change the disk, by SIGKILL, Ctrl-C,
  SIGTERM and a failing call (308 runs, tests/test_killed.py): every file was the old or the new
  one, and the next run took back what was half done, or all of it was there.
- Pipes in place of an app's files, links out of it, a note of a half-done run that a repository
  came with (tests/test_odd_files.py, test_killed.py): nothing waited, nothing was written
  outside.
- A repository whose settings name fifteen programs: hooks, filters, merge drivers,
  `core.fsmonitor` (tests/test_hostile_repository.py): none ran in a check and an update.
- 20,000 sets of answers, good and odd ones mixed (tests/test_answers_as_an_attack.py): each was
  refused in one line, or accepted (5,761); of those 412 were rendered, and Kamal, Litestream,
  hadolint, YAML and bash read back what was given.
- Keys put into credentials, environment, files and prompts, and looked for in output, files, git,
  the build context, process lists and temporary folders, after kills and crashes too
  (tests/test_leaks.py). Found once and mended: `destination` copied key files to a temporary
  folder. 1,020 random keys came out of `kamal secrets print` as they went in. Left: a secret that
  its owner wrote out in .kamal/secrets or deploy.yml is in such a folder after a SIGKILL, closed to
  others.
- Any text on its way to the terminal (tests/test_shown.py, by hypothesis): nothing a terminal
  acts on.
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
        self.deploys: list[str] = []
        self.proofs: list[str] = []
        self.variants: list[str] = []

    @property
    def complete(self) -> bool:
        """Whether there is something of every kind: a run of one file is not the whole."""
        return all((self.drills, self.kills, self.deploys, self.proofs, self.variants))

    def write(self, page: Path = PAGE) -> None:
        """Write the page, once every drill was run."""
        rows = [
            f"| {d.title} | {d.before} | {d.after} | {d.missing} | {d.seen} |\n"
            for d in self.drills
        ]
        kills = [_KILLS, *(f"| {row} |\n" for row in self.kills)]
        deploys = [_DEPLOYS, *self.deploys]
        proofs = [_PROOFS, *(f"| {row} |\n" for row in self.proofs)]
        variants = [_VARIANTS, *self.variants]
        parts = [_PLAYED, *(f"- {part}\n" for part in played())]
        head = _HEAD.replace("{rails}", app.RAILS)
        page.write_text(
            "".join([head, *rows, *deploys, *kills, *proofs, *variants, *parts, _LIMITS]), "utf-8"
        )
