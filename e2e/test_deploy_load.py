"""Deploys in a row, with people reading and writing all the while."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from e2e import app
from e2e.record import Record
from e2e.stage import Stage
from e2e.steps import container, lose_and_set_up, numbers

DEPLOYS = int(os.environ.get("KAMALSTREAM_DEPLOYS", "4"))


@dataclass
class Load:
    """What readers and writers saw."""

    confirmed: list[str] = field(default_factory=list)
    requests: int = 0
    failed: list[str] = field(default_factory=list)

    def write(self, site: app.Site) -> None:
        """Write a row, and remember it where the app said so."""
        body = f"row {next(numbers)}"
        if site.write(body):
            self.confirmed.append(body)
        else:
            self.failed.append(f"{time.strftime('%X')} write {body}")

    def read(self, site: app.Site) -> None:
        """Read the page, and what it looks like."""
        try:
            site.get(stylesheet(site))
        except OSError as error:
            self.failed.append(f"{time.strftime('%X')} read: {error}")


@contextmanager
def load(site: app.Site, each: int = 2) -> Iterator[Load]:
    """Have `each` writers and readers at the site all the time."""
    seen, stop = Load(), threading.Event()

    def again(act: Callable[[app.Site], None]) -> None:
        while not stop.wait(0.1):
            act(site)
            seen.requests += 1

    people = [threading.Thread(target=again, args=(act,)) for act in (seen.write, seen.read) * each]
    for person in people:
        person.start()
    try:
        yield seen
    finally:
        stop.set()
        for person in people:
            person.join()


def stylesheet(site: app.Site) -> str:
    """Return the path of the stylesheet, with its fingerprint, that the page asks for."""
    found = re.search(r"/assets/notes-\w+\.css", site.get("/"))
    assert found
    return found[0]


def new_version(stage: Stage, number: int) -> None:
    """Commit a change of the stylesheet: its fingerprint is another one."""
    with (stage.folder / "app/assets/stylesheets/notes.css").open("a") as file:
        file.write(f"/* version {number} */\n")
    commit = ["git", "commit", "--quiet", "--all", "--message", f"Version {number}"]
    assert stage.developer.run(stage.folder, *commit).code == 0


def integrity(stage: Stage) -> set[str]:
    """Return what SQLite says of the databases that are backed up."""
    web = container(stage, "web")
    check = ("sqlite3", "-cmd", ".timeout 5000")
    return {
        stage.engine.docker("exec", web, *check, f"/rails/{path}", "PRAGMA integrity_check")
        for path in app.BACKED_UP.values()
    }


def test_deploys_in_a_row_lose_no_row_and_no_request(deployed: Stage, record: Record) -> None:
    began = time.monotonic()
    with load(deployed.site) as seen:
        for number in range(DEPLOYS):
            before = stylesheet(deployed.site)
            new_version(deployed, number)
            done = deployed.kamal("deploy")
            assert done.code == 0, done.text[-3000:]
            assert stylesheet(deployed.site) != before
            # A page that was loaded before the deploy still gets what belongs to it.
            deployed.site.get(before)
    took = time.monotonic() - began
    live, verdict = deployed.site.rows(), integrity(deployed)
    restored = lose_and_set_up(deployed)
    verdict |= integrity(deployed)
    missing = {
        body
        for rows in (*live.values(), *restored.values())
        for body in set(seen.confirmed) - set(rows)
    }
    record.deploys.append(
        f"| {DEPLOYS} | {took:.0f} | {len(seen.confirmed):,} | {len(missing)} "
        f"| {seen.requests:,} | {len(seen.failed)} | {' '.join(sorted(verdict))} |\n"
    )
    assert missing == set()
    assert verdict == {"ok"}
    assert seen.failed == []
