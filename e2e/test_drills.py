"""The drills: something breaks, and the rows are counted before and after."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from e2e import app
from e2e.record import Record
from e2e.stage import Stage, at
from e2e.steps import (
    SYNCED,
    TRIED_AGAIN,
    as_rows,
    container,
    lose_and_set_up,
    now,
    numbers,
    reboot_and_deploy,
    refused_setup,
    restore,
    setup,
    write,
    writes,
)
from kamalstream.prove.kills import kill_often


def test_the_volume_is_destroyed(deployed: Stage, drill: Callable[..., None]) -> None:
    write(deployed)
    before = deployed.site.rows()
    began = time.monotonic()
    after = lose_and_set_up(deployed)
    took = time.monotonic() - began
    drill(
        "Server lost with its volume, `kamal setup` on an empty one (sidecar first)",
        before,
        after,
        f"back {took:.0f} s after the loss, image build included",
    )


def test_two_containers_boot_at_once(deployed: Stage, drill: Callable[..., None]) -> None:
    write(deployed)
    before = deployed.site.rows()
    time.sleep(SYNCED)
    for step in (("app", "stop"), ("accessory", "stop", "litestream")):
        assert deployed.kamal(*step).code == 0
    mount = ("--volume", f"{app.NAME}_storage:/s", "kamalstream/debian")
    deployed.engine.docker("run", "--rm", *mount, "find", "/s", "-mindepth", "1", "-delete")
    # No server: whatever the container starts, the databases come first.
    count = "bin/rails runner 'print %q(rows ), Entry.count'"
    with ThreadPoolExecutor(2) as pool:
        booted = [pool.submit(deployed.kamal, "app", "exec", "--primary", count) for _ in range(2)]
    for one in booted:
        done = one.result()
        assert done.code == 0, done.text[-3000:]
        assert f"rows {len(before['primary'])}" in done.text, done.text[-3000:]
    for step in (("accessory", "start", "litestream"), ("app", "start")):
        assert deployed.kamal(*step).code == 0
    kept = deployed.engine.docker("run", "--rm", *mount, "ls", "/s")
    assert "restoring" not in kept
    write(deployed)
    live = deployed.site.rows()
    assert all(set(before[name]) <= set(live[name]) for name in before)
    drill(
        "Empty volume, two containers boot at once (`kamal app exec`)",
        live,
        lose_and_set_up(deployed),
        "both see all rows, neither replaces what the other uses; history goes on",
    )


def test_the_app_boots_before_the_sidecar(deployed: Stage, drill: Callable[..., None]) -> None:
    write(deployed)
    before = deployed.site.rows()
    time.sleep(SYNCED)
    deployed.server.lose()
    assert deployed.kamal("server", "bootstrap").code == 0
    done = deployed.kamal("deploy")
    assert done.code == 0, done.text[-3000:]
    assert deployed.kamal("accessory", "boot", "litestream").code == 0
    write(deployed, 5)
    first = deployed.site.rows()
    after = lose_and_set_up(deployed)
    assert all(set(before[name]) <= set(first[name]) for name in before)
    drill(
        "Empty server, app first, sidecar after it",
        first,
        after,
        "history goes on: lost again, back again",
    )


def test_the_sidecar_is_killed_and_started_again(
    deployed: Stage, drill: Callable[..., None]
) -> None:
    with writes(deployed) as confirmed:
        time.sleep(2)
        deployed.engine.docker("kill", "--signal", "KILL", container(deployed, "litestream"))
        time.sleep(3)
        assert deployed.kamal("accessory", "start", "litestream").code == 0
        time.sleep(3)
    after = lose_and_set_up(deployed)
    drill(
        "Sidecar killed with SIGKILL under writes, started again",
        as_rows(confirmed),
        after,
        "nothing written while it was down is missing",
    )


def test_the_app_is_killed_in_a_transaction(deployed: Stage, drill: Callable[..., None]) -> None:
    write(deployed)
    before = deployed.site.rows()
    held = threading.Thread(target=deployed.site.write, args=("never committed", 20))
    held.start()
    time.sleep(2)
    web = container(deployed, "web")
    deployed.engine.docker("kill", "--signal", "KILL", web)
    held.join()
    started = deployed.kamal("app", "start")
    assert started.code == 0, started.text[-3000:]
    after = deployed.site.rows()
    assert "never committed" not in after["primary"]
    verdict = deployed.engine.docker(
        "exec",
        container(deployed, "web"),
        "sqlite3",
        "/rails/storage/production.sqlite3",
        "PRAGMA integrity_check",
    )
    assert verdict == "ok"
    assert "never committed" not in lose_and_set_up(deployed)["primary"]
    drill(
        "App killed with SIGKILL in mid-transaction",
        before,
        after,
        "the open transaction is gone as a whole; integrity ok",
    )


def test_the_bucket_is_away_for_a_minute(deployed: Stage, drill: Callable[..., None]) -> None:
    with writes(deployed) as confirmed:
        time.sleep(2)
        deployed.s3.stop()
        time.sleep(60)
        deployed.s3.start()
        time.sleep(TRIED_AGAIN + SYNCED)
    after = lose_and_set_up(deployed)
    drill(
        "Bucket unreachable for 60 s under writes",
        as_rows(confirmed),
        after,
        "the app went on; all of it was uploaded afterwards",
    )


def test_a_second_deploy_during_writes(deployed: Stage, drill: Callable[..., None]) -> None:
    with writes(deployed) as confirmed:
        time.sleep(2)
        done = deployed.kamal("deploy")
        time.sleep(2)
    assert done.code == 0, done.text[-3000:]
    after = deployed.site.rows()
    restored = lose_and_set_up(deployed)
    assert all(set(confirmed) <= set(restored[name]) for name in restored)
    drill(
        "`kamal deploy` under writes",
        as_rows(confirmed),
        after,
        "no confirmed row is missing, live or restored",
    )


def test_wrong_keys_at_the_first_boot(deployed: Stage, drill: Callable[..., None]) -> None:
    write(deployed)
    before = deployed.site.rows()
    time.sleep(SYNCED)
    deployed.server.lose()
    said = refused_setup(deployed, LITESTREAM_SECRET_ACCESS_KEY="wrong")
    assert "its backup could not be read" in said
    files = deployed.engine.docker(
        "run", "--rm", "--volume", f"{app.NAME}_storage:/s", "kamalstream/debian", "ls", "/s"
    )
    assert "production.sqlite3" not in files.split()
    # As the message says; the accessory still has the wrong keys.
    reboot_and_deploy(deployed)
    assert deployed.site.rows() == before
    write(deployed)
    live = deployed.site.rows()
    after = lose_and_set_up(deployed)
    assert after == live, "the accessory replicates again"
    drill(
        "Wrong keys at the first boot of an empty server",
        live,
        after,
        "the app refuses to start and says why; no empty database; with the right keys all is back",
    )


def test_a_volume_that_belongs_to_root(deployed: Stage, drill: Callable[..., None]) -> None:
    write(deployed)
    before = deployed.site.rows()
    time.sleep(SYNCED)
    deployed.server.lose()
    mount = ("--volume", f"{app.NAME}_storage:/s", "kamalstream/debian")
    deployed.engine.docker("run", "--rm", *mount, "touch", "/s/by-root")
    said = refused_setup(deployed)
    remedy = re.search(r'kamal server exec "(docker run .*)"', said)
    assert remedy, said
    mended = deployed.kamal("server", "exec", remedy[1])
    assert mended.code == 0, mended.text
    done = deployed.kamal("deploy")
    assert done.code == 0, done.text[-3000:]
    drill(
        "Volume that root wrote to before the app",
        before,
        deployed.site.rows(),
        "the app refuses to start and prints the command that mends it; after that all is back",
    )


def test_the_disk_is_full_for_the_sidecar(deployed: Stage, drill: Callable[..., None]) -> None:
    time.sleep(SYNCED)
    deployed.server.lose()
    # A small disk of its own, kept in being by a container that holds it.
    options = (
        "--opt",
        "type=tmpfs",
        "--opt",
        "device=tmpfs",
        "--opt",
        "o=size=64m,uid=1000,gid=1000",
    )
    deployed.engine.docker("volume", "create", "--driver", "local", *options, f"{app.NAME}_storage")
    mount = ("--volume", f"{app.NAME}_storage:/s", "kamalstream/debian")
    holder = deployed.engine.docker("run", "--detach", *mount, "sleep", "900")
    setup(deployed)
    write(deployed)
    before = deployed.site.rows()
    deployed.engine.docker(
        "exec", holder, "sh", "-c", "dd if=/dev/zero of=/s/fill bs=64k 2>/dev/null; true"
    )
    refused = sum(not deployed.site.write(f"row {next(numbers)}") for _ in range(10))
    time.sleep(3)
    deployed.engine.docker("exec", holder, "rm", "/s/fill")
    time.sleep(5)
    write(deployed)
    live = deployed.site.rows()
    assert all(set(before[name]) <= set(live[name]) for name in before)
    time.sleep(10)
    after = lose_and_set_up(deployed)
    drill(
        "Disk full for sidecar and app, then room again",
        live,
        after,
        f"{refused} of 10 writes were refused, none was half done; replication went on by itself",
    )


def test_back_to_a_moment(deployed: Stage, drill: Callable[..., None]) -> None:
    write(deployed)
    before = deployed.site.rows()
    time.sleep(SYNCED)
    moment = now()
    time.sleep(SYNCED)
    write(deployed)
    said = restore(deployed, "--timestamp", moment)
    after = deployed.site.rows()
    assert after == before, said
    write(deployed)
    live = deployed.site.rows()
    assert lose_and_set_up(deployed) == live, "history goes on from the restored state"
    drill(
        "`bin/restore --timestamp`: both databases back to a moment",
        before,
        after,
        "exactly the rows of that moment; later rows are in the files kept aside; history goes on",
    )


def test_one_database_while_the_other_lives_on(deployed: Stage, drill: Callable[..., None]) -> None:
    write(deployed)
    old = deployed.site.rows()
    time.sleep(SYNCED)
    moment = now()
    time.sleep(SYNCED)
    write(deployed)
    live = deployed.site.rows()
    restore(deployed, "--database", "primary", "--timestamp", moment)
    after = deployed.site.rows()
    assert after == {"primary": old["primary"], "queue": live["queue"]}
    drill(
        "`bin/restore --database primary`, queue lives on",
        {"primary": old["primary"], "queue": live["queue"]},
        after,
        "primary is that of the moment, queue has lost nothing",
    )


def test_a_restore_is_undone_and_undone_from_a_later_commit(
    deployed: Stage, drill: Callable[..., None]
) -> None:
    write(deployed)
    time.sleep(SYNCED)
    moment = now()
    time.sleep(SYNCED)
    write(deployed)
    before = deployed.site.rows()
    # Kamal alone would start the version of this commit, which was never deployed.
    with a_later_commit(deployed):
        restore(deployed, "--timestamp", moment)
        assert deployed.site.rows() != before
        write(deployed)
        restore(deployed, "--undo")
    after = deployed.site.rows()
    assert after == before
    write(deployed)
    live = deployed.site.rows()
    assert lose_and_set_up(deployed) == live, "what was put back is replicated from here on"
    drill(
        "`bin/restore --undo`, run from a commit that is not deployed",
        before,
        after,
        "as it was before the restore, and replicated from there",
    )


@contextmanager
def a_later_commit(stage: Stage) -> Iterator[None]:
    who = ("-c", "user.name=Me", "-c", "user.email=me@example.com")
    git = ("git", "-C", str(stage.folder), *who)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "Not deployed"], check=True)
    try:
        yield
    finally:
        subprocess.run([*git, "reset", "--quiet", "--soft", "HEAD~1"], check=True)


def test_back_to_before_a_deploy(deployed: Stage, drill: Callable[..., None]) -> None:
    write(deployed)
    before = deployed.site.rows()
    time.sleep(SYNCED)
    done = deployed.kamal("deploy")
    assert done.code == 0, done.text[-4000:]
    write(deployed)
    said = restore(deployed, "--before-deploy")
    after = deployed.site.rows()
    assert after == before, said
    drill(
        "`bin/restore --before-deploy`",
        before,
        after,
        "exactly the rows of when the deploy began",
    )


def test_a_deploy_and_a_restore_keep_out_of_each_others_way(deployed: Stage) -> None:
    held = deployed.kamal("lock", "acquire", "-m", "A deploy")
    assert held.code == 0, held.text
    try:
        done = deployed.developer.run(deployed.folder, "bin/restore", "--yes")
        assert (done.code, "A deploy" in done.text) == (2, True), done.text
    finally:
        deployed.kamal("lock", "release")
    assert deployed.kamal("lock", "status").text.count("There is no deploy lock")


def test_a_restore_that_cannot_be_is_undone(deployed: Stage, drill: Callable[..., None]) -> None:
    write(deployed)
    before = deployed.site.rows()
    done = deployed.developer.run(
        deployed.folder, "bin/restore", "--yes", "--timestamp", "2001-01-01 00:00"
    )
    assert done.code != 0
    drill(
        "`bin/restore` to a moment before the first backup",
        before,
        deployed.site.rows(),
        "refused before anything was stopped",
    )


# How often bin/restore has called kamal when it is killed: lock status, prepare, version,
# maintenance, stop of the app, stop of the sidecar, lock, version, swap, unlock, start of both.
@pytest.mark.parametrize("calls", [2, 5, 7, 9, 10])
def test_a_restore_that_is_killed_and_run_again_ends_well(
    deployed: Stage, drill: Callable[..., None], calls: int
) -> None:
    write(deployed)
    before = deployed.site.rows()
    time.sleep(SYNCED)
    moment = now()
    time.sleep(SYNCED)
    write(deployed)
    with killed_after(deployed, calls):
        killed = deployed.developer.run(
            deployed.folder, "bin/restore", "--yes", "--timestamp", moment
        )
    assert killed.code == -signal.SIGKILL, killed.text
    restore(deployed, "--timestamp", moment)
    after = deployed.site.rows()
    assert after == before
    drill(
        f"`bin/restore` killed with SIGKILL after its call {calls} of kamal, then run again",
        before,
        after,
        "exactly the rows of that moment",
    )


@contextmanager
def killed_after(stage: Stage, calls: int) -> Iterator[None]:
    """Have the developer's kamal do its work, and at the call number `calls` kill who called it."""
    real = stage.developer.home / "bin" / "kamal"
    target = real.readlink()
    count = stage.developer.home / "calls"
    count.write_text("")
    real.unlink()
    real.write_text(
        "#!/bin/bash\n"
        # .kamal/secrets calls kamal too, from within kamal.
        f'[ -z "$COUNTED" ] || exec {target} "$@"\n'
        f'COUNTED=1 {target} "$@" </dev/null\n'
        "code=$?\n"
        f"echo >> {count}\n"
        f'if [ "$(wc -l < {count})" -ge {calls} ]; then kill -KILL "$PPID"; fi\n'
        "exit $code\n"
    )
    real.chmod(0o755)
    try:
        yield
    finally:
        real.unlink()
        real.symlink_to(target)


def test_a_restore_that_fails_in_the_middle_puts_everything_back(
    deployed: Stage, drill: Callable[..., None]
) -> None:
    write(deployed)
    time.sleep(SYNCED)
    moment = now()
    time.sleep(SYNCED)
    write(deployed)
    before = deployed.site.rows()
    # After the exchange of the files, kamal cannot start the sidecar any more.
    script = deployed.folder / "bin/restore"
    as_rendered = script.read_text()
    script.write_text(
        as_rendered.replace("  bring_up\n  down=", "  false # it breaks here\n  down=")
    )
    assert script.read_text() != as_rendered
    try:
        done = deployed.developer.run(
            deployed.folder, "bin/restore", "--yes", "--timestamp", moment
        )
    finally:
        script.write_text(as_rendered)
    assert done.code == 1, done.text
    assert "as they were before" in done.text
    after = deployed.site.rows()
    assert after == before
    assert lose_and_set_up(deployed) == before, "what was put back is replicated again"
    drill(
        "`bin/restore` fails after the files were exchanged",
        before,
        after,
        "put back by itself; the sidecar goes on from there",
    )


def test_production_comes_to_the_developers_machine(
    deployed: Stage, drill: Callable[..., None]
) -> None:
    write(deployed)
    before = deployed.site.rows()
    time.sleep(SYNCED)
    mine = deployed.folder / "storage/development.sqlite3"
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(b"mine")
    said = restore(deployed, "--to-local")
    [kept] = mine.parent.glob("development.sqlite3.before-restore-*")
    assert (kept.read_bytes(), kept.name in said) == (b"mine", True)
    with closing(sqlite3.connect(mine)) as database:
        rows = [body for (body,) in database.execute("SELECT body FROM entries ORDER BY id")]
    with closing(sqlite3.connect(mine.with_name("development_queue.sqlite3"))) as database:
        jobs = [
            json.loads(arguments)["arguments"][0]
            for (arguments,) in database.execute(
                "SELECT arguments FROM solid_queue_jobs WHERE class_name = 'EntryJob' ORDER BY id"
            )
        ]
    after = {"primary": rows, "queue": jobs}
    assert after == before
    drill(
        "`bin/restore --to-local`",
        before,
        after,
        "production's rows in development; the server untouched",
    )


def test_what_can_be_restored_is_shown(deployed: Stage) -> None:
    write(deployed, 3)
    done = deployed.kamal("backup-now")
    assert done.code == 0, done.text[-2000:]
    shown = deployed.kamal("backups")
    assert shown.code == 0, shown.text[-2000:]
    for name in ("primary", "queue"):
        line = next(line for line in shown.text.splitlines() if line.strip().startswith(name))
        assert len(re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line)) == 2, shown.text


def test_from_litestream_0_3_to_0_5(stage: Stage, drill: Callable[..., None]) -> None:
    stage.server.lose()
    answers = app.answers(at(stage.s3), "0.3").replace(app.BUCKET, "upgraded")
    stage.s3.create_bucket("upgraded")
    app.render(stage.folder, stage.developer, answers)
    setup(stage)
    write(stage)
    old = stage.site.rows()
    time.sleep(SYNCED)
    moment = now()
    time.sleep(SYNCED)
    write(stage)
    app.render(stage.folder, stage.developer, answers.replace("'0.3'", "'0.5'"))
    reboot_and_deploy(stage)
    write(stage)
    before = stage.site.rows()
    after = lose_and_set_up(stage)
    restore(stage, "--timestamp", moment)
    assert stage.site.rows() == old, "a backup that 0.3 made"
    drill(
        "Litestream 0.3 replaced by 0.5",
        before,
        after,
        "all rows back after a loss; a moment of 0.3's time restores too",
    )


@pytest.mark.parametrize("series", ["0.5", "0.3"])
def test_no_commit_older_than_the_bound_is_lost_over_fifty_kills(
    stage: Stage, record: Record, series: str
) -> None:
    app.render(stage.folder, stage.developer, app.answers("http://127.0.0.1:8333", series))
    try:
        result = kill_often(stage.folder, app.BACKED_UP, series, 50, stage.s3)
    finally:
        # What comes next begins with the subject as it was made.
        stage.server.lose()
        app.render(stage.folder, stage.developer, stage.answers)
    record.kills.append(
        f"{series} | {len(result.rounds)} | {sum(r.rows_written for r in result.reports):,} "
        f"| {max(result.seconds_lost):.2f} s | {statistics.median(result.seconds_lost):.2f} s "
        f"| {max(r.loss_bound for r in result.reports):g} s "
        f"| {sum(not r.ok for r in result.reports)}"
    )
    assert len(result.rounds) == 50
    assert result.problems == ()
