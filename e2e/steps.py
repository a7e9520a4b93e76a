"""The steps that drills are made of."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from e2e import app
from e2e.machines import Ran
from e2e.stage import Stage

# One sync interval (1 s) and a second: what was committed before that may not be missing.
SYNCED = 2.5
# Litestream 0.5 gives an upload ten tries, at most 20 s apart (s3/replica_client.go and the AWS
# SDK's default), which is more than the minute that the bucket is away.
TRIED_AGAIN = 20.0
numbers = iter(range(10**9))
KAMALSTREAM = Path(sys.executable).parent / "kamalstream"

Rows = dict[str, list[str]]


def setup(stage: Stage) -> None:
    """Run `kamal setup`, which has to succeed."""
    done = stage.kamal("setup")
    assert done.code == 0, done.text[-4000:]


def refused_setup(stage: Stage, **environment: str) -> str:
    """Run a `kamal setup` that has to fail; return what the app's container says."""
    file = stage.folder / "config/deploy.yml"
    as_rendered = file.read_text()
    # Kamal waits as long as it may for the app to answer; the answer does not change.
    file.write_text(re.sub(r"deploy_timeout: \d+", "deploy_timeout: 20", as_rendered))
    try:
        done = stage.kamal("setup", **environment)
    finally:
        file.write_text(as_rendered)
    assert done.code != 0
    names = stage.engine.docker("ps", "--all", "--format", "{{.Names}}").split()
    web = next(name for name in names if name.startswith(f"{app.NAME}-web"))
    said = stage.engine.docker("logs", web)
    assert "does not start" in said
    return said


def reboot_and_deploy(stage: Stage) -> None:
    """Have sidecar and app started anew with what is rendered now."""
    for step in (("accessory", "reboot", "litestream"), ("deploy",)):
        done = stage.kamal(*step)
        assert done.code == 0, done.text[-3000:]


def write(stage: Stage, count: int = 20) -> None:
    """Write `count` rows to each database."""
    for _ in range(count):
        assert stage.site.write(f"row {next(numbers)}")


@contextmanager
def writes(stage: Stage) -> Iterator[list[str]]:
    """Write all the time; yields the bodies that the app confirmed."""
    confirmed: list[str] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            body = f"row {next(numbers)}"
            if stage.site.write(body):
                confirmed.append(body)
            time.sleep(0.05)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield confirmed
    finally:
        stop.set()
        thread.join()


def as_rows(bodies: list[str]) -> Rows:
    """Return the rows that are there once `bodies` are committed."""
    return {"primary": list(bodies), "queue": list(bodies)}


def lose_and_set_up(stage: Stage) -> Rows:
    """Wait for the promise to hold, lose the server, deploy to an empty one, and read."""
    time.sleep(SYNCED)
    stage.server.lose()
    setup(stage)
    return stage.site.rows()


def container(stage: Stage, role: str) -> str:
    """Return the name of the running container of the app's `role`."""
    names = stage.engine.docker("ps", "--format", "{{.Names}}").split()
    return next(name for name in names if name.startswith(f"{app.NAME}-{role}"))


def now() -> str:
    """Return this moment as `bin/restore --timestamp` takes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def verify(stage: Stage, *arguments: str, **environment: str) -> Ran:
    """Run `kamalstream verify` on the developer's machine, with the app's own keys."""
    command = (*stage.engine.network(), KAMALSTREAM, "verify", *arguments)
    return stage.developer.run(stage.folder, *command, **environment)


def restore(stage: Stage, *arguments: str) -> str:
    """Run `bin/restore`, which has to succeed; return what it said."""
    done = stage.developer.run(stage.folder, "bin/restore", "--yes", *arguments)
    assert done.code == 0, done.text[-4000:]
    return done.text
