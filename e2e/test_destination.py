"""Two deployments, or two servers, that could write over each other's backup."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e import app
from e2e.machines import ADDRESS
from e2e.stage import Stage
from e2e.steps import SYNCED, container, lose_and_set_up, restore, setup, write, writes

NAME = "staging"
DOMAIN = f"{NAME}.example.com"
MOVE = (
    ("app", "maintenance"),
    ("app", "stop"),
    ("backup-now",),
    ("accessory", "stop", "litestream"),
)
COPY = ("--from", "production", "--destination", NAME)


@contextmanager
def staging(stage: Stage) -> Iterator[app.Site]:
    """Have `kamalstream destination` add one on the server of production, not deployed yet."""
    git = ("git", "-C", str(stage.folder))
    before = subprocess.run([*git, "rev-parse", "HEAD"], stdout=subprocess.PIPE, check=True).stdout
    command = (Path(sys.executable).parent / "kamalstream", "destination", NAME, "--yes")
    given = ("--data", f"server_ip={ADDRESS}", "--data", f"domain={DOMAIN}")
    try:
        made = stage.developer.run(stage.folder, *command, *given)
        assert made.code == 0, made.text[-4000:]
        for step in (("add", "--all"), ("commit", "--quiet", "--message", "Staging")):
            assert stage.developer.run(stage.folder, "git", *step).code == 0
        yield app.Site(stage.site.address, DOMAIN)
    finally:
        subprocess.run([*git, "reset", "--quiet", "--hard", before.strip()], check=True)
        time.sleep(SYNCED)
        # The next drill sets up production alone.
        stage.server.lose()


def lose_staging(stage: Stage) -> None:
    docker = stage.engine.docker
    names = docker("ps", "--all", "--format", "{{.Names}}").split()
    docker("rm", "--force", *[name for name in names if NAME in name])
    docker("volume", "rm", f"{app.NAME}_storage_{NAME}")


def test_staging_beside_production_on_one_server(
    deployed: Stage, drill: Callable[..., None]
) -> None:
    write(deployed)
    production = deployed.site.rows()
    with staging(deployed) as site:
        early = deployed.developer.run(deployed.folder, "bin/restore", "--yes", *COPY)
        assert early.code == 1
        assert f"Where there was none: kamal setup -d {NAME}" in early.text
        done = deployed.kamal("setup", "-d", NAME)
        assert done.code == 0, done.text[-4000:]
        assert site.rows() == {"primary": [], "queue": []}
        assert site.write("of staging")
        with writes(deployed) as confirmed:
            time.sleep(SYNCED)
            restore(deployed, *COPY)
        copied = site.rows()
        assert copied["queue"] == ["of staging"]
        assert copied["primary"][: len(production["primary"])] == production["primary"]
        assert "of staging" not in copied["primary"]
        assert site.write("after the copy")
        before = site.rows()
        time.sleep(SYNCED)
        lose_staging(deployed)
        done = deployed.kamal("setup", "-d", NAME)
        assert done.code == 0, done.text[-4000:]
        drill(
            "Staging on production's server: `bin/restore --from production`, then staging lost",
            before,
            site.rows(),
            "staging's own backup went on with the copy",
        )
        now = deployed.site.rows()
        drill(
            "Production meanwhile, written to all the time",
            {name: rows + confirmed for name, rows in production.items()},
            now,
            "not stopped, and nothing of staging in it",
        )
        assert now == {name: rows + confirmed for name, rows in production.items()}
    setup(deployed)
    assert deployed.site.rows() == now, "production's backup is its own"


def test_a_move_to_a_new_server_and_the_old_one_that_comes_back(
    deployed: Stage, drill: Callable[..., None]
) -> None:
    before = deployed.site.rows()
    with writes(deployed) as confirmed:
        while len(confirmed) < 100:
            time.sleep(0.1)
        began = time.monotonic()
        # docs/DEPLOYMENT.md: no wait before what stops.
        for step in MOVE:
            done = deployed.kamal(*step)
            assert done.code == 0, done.text[-3000:]
    docker = deployed.engine.docker
    disk = deployed.engine.folder / "old-disk"
    mounts = ("--volume", f"{app.NAME}_storage:/from", "--volume", f"{disk}:/to")
    docker("run", "--rm", *mounts, "kamalstream/debian", "cp", "--archive", "/from/.", "/to")
    deployed.server.lose()
    setup(deployed)
    took = time.monotonic() - began
    moved = deployed.site.rows()
    drill(
        "Moved to a new server (docs/DEPLOYMENT.md), written to until the app is stopped",
        {name: rows + confirmed for name, rows in before.items()},
        moved,
        f"no row lost; down for {took:.0f} s, image build included",
    )
    write(deployed)
    time.sleep(SYNCED)

    web, sidecar = container(deployed, "web"), container(deployed, "litestream")
    keys = deployed.server.home / f".kamal/apps/{app.NAME}/env"

    def comes_back(of: str, env: str, *options: str, does: tuple[str, ...] = ()) -> str:
        image = docker("inspect", "--format", "{{.Config.Image}}", of)
        disks = ("--volumes-from", of, "--volume", f"{disk}:/rails/storage")
        common = ("--name", f"old-{Path(env).stem}", "--network", "kamal", "--env-file", keys / env)
        docker("run", "--detach", *common, *disks, *options, image, *does)
        waited = time.monotonic() + 60
        while "another server has written" not in (said := docker("logs", f"old-{Path(env).stem}")):
            assert time.monotonic() < waited, said
            time.sleep(0.5)
        return said

    entrypoint = ("--user", "1000:1000", "--entrypoint", "/usr/local/bin/one-writer")
    said = comes_back(sidecar, "accessories/litestream.env", *entrypoint, does=("replicate",))
    assert "Nothing was changed here or there." in said
    assert "The app does not start" in comes_back(web, "roles/web.env")
    write(deployed)
    live = deployed.site.rows()
    drill(
        "The old server comes back, with its disk",
        live,
        lose_and_set_up(deployed),
        "neither its app nor its litestream starts, and both say why; the new one goes on",
    )
