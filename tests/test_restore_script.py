"""bin/restore before it touches anything: what it says, asks and refuses. e2e/ has the rest."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from .conftest import requires


@pytest.fixture
def restore(fresh: Callable[..., Path]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the rendered bin/restore where a call of kamal would be seen."""
    app = fresh(destinations={"staging": {"databases": {"primary": "storage/staging.sqlite3"}}})
    (app / "config/deploy.staging.yml").write_text("")
    kamal = app / "kamal"
    kamal.write_text("#!/bin/sh\ntouch called\n")
    kamal.chmod(0o755)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [app / "bin/restore", *arguments],
            env={"PATH": f"{app}:/usr/local/bin:/usr/bin:/bin", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not (app / "called").exists(), "kamal was called"
        return done

    return run


@requires("ruby")
def test_a_dry_run_shows_the_steps_and_does_none(
    restore: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = restore("--dry-run", "--database", "queue", "--timestamp", "2026-01-31 14:00")
    assert done.returncode == 0, done.stderr
    assert "Restore queue to 2026-01-31T14:00:00Z (Sat 31 Jan 2026 14:00:00 UTC)." in done.stdout
    assert "stop the app and the litestream accessory" in done.stdout


def test_without_a_terminal_nothing_is_done_unless_yes_is_said(
    restore: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = restore()
    assert (done.returncode, "say --yes" in done.stderr) == (2, True)


def test_a_destination_has_databases_of_its_own(
    restore: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert restore("--dry-run").stdout.startswith("Restore primary queue to")
    staging = restore("--dry-run", "--destination", "staging")
    assert staging.stdout.startswith("Restore primary to")
    # One without a configuration of its own has the main one's.
    assert restore("--dry-run", "--destination", "production").stdout.startswith(
        "Restore primary queue to"
    )


@requires("ruby")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--database", "cache"), 'no backed-up database "cache": choose one of primary queue'),
        (("--timestamp", "soon"), '"soon" is not a time'),
        # Ruby's own Time.parse takes these for 14:00 of today and for the third of March.
        (("--timestamp", "two days ago 14:00"), "is not a time. Write it like"),
        (("--timestamp", "2026-02-31 10:00"), "is not a time"),
        (("--timestamp", "25:00"), "is not a time"),
        (("--timestamp", "2026-01-31 14:00 or so"), "is not a time"),
        # An option of ruby's, which reads that file.
        (("--timestamp", "-r./evil.rb"), "is not a time"),
        (("--timestamp", "--version"), "is not a time"),
        (("--timestamp", "2999-01-01"), "in the future"),
        (("--destination", "-x"), "no name of a destination"),
        (("--undo", "--take-over"), "--take-over go with --database alone"),
        (("--take-over", "--before-deploy"), "--take-over go with --database alone"),
        (("--undo", "--timestamp", "10:00"), "--take-over go with --database alone"),
        (("--before-deploy", "--timestamp", "10:00"), "not both"),
        (("--timestamp",), "--timestamp wants a value"),
        (("--from", "production"), "--from wants --destination"),
        (("--from", "prod", "--destination", "staging"), 'no destination "prod"'),
        (("--from", "production", "--destination", "qa"), "(no config/deploy.qa.yml)"),
        (("--from", "../x", "--destination", "staging"), 'no destination "../x"'),
        (("--from", "staging", "--destination", "staging"), "have the same backup"),
        (("--from", "staging", "--destination", "production"), "production's data is not repl"),
        (("--from", "production", "--destination", "staging", "--undo"), "--from goes with"),
        (
            ("--from", "production", "--destination", "staging", "--database", "queue"),
            'no backed-up database "queue" of both: choose one of primary',
        ),
        (("--force",), "unknown argument --force"),
    ],
)
def test_bad_arguments_are_refused_in_a_line(
    restore: Callable[..., subprocess.CompletedProcess[str]],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    done = restore("--yes", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@requires("ruby")
@pytest.mark.parametrize(
    ("zone", "said", "moment"),
    [
        ("Europe/Berlin", "2026-01-31 14:00", "2026-01-31T13:00:00Z"),
        ("Europe/Berlin", "2026-07-31", "2026-07-30T22:00:00Z"),
        ("Europe/Berlin", "2026-01-31T13:00:00Z", "2026-01-31T13:00:00Z"),
        ("UTC", "2026-01-31 13:00 +02:00", "2026-01-31T11:00:00Z"),
        ("UTC", "2026-01-31 13:00:01-0230", "2026-01-31T15:30:01Z"),
        # As `kamal backups` prints them.
        ("UTC", "2026-01-31T13:00:00.25Z", "2026-01-31T13:00:00.250Z"),
    ],
)
def test_a_time_is_read_as_it_is_meant(app: Path, zone: str, said: str, moment: str) -> None:
    done = run(app, "--dry-run", "--timestamp", said, TZ=zone)
    assert done.stdout.startswith(f"Restore primary queue to {moment} ("), done.stderr


@requires("ruby")
def test_relative_times_are_those_that_they_say(app: Path) -> None:
    def moment(said: str) -> str:
        shown = run(app, "--dry-run", "--timestamp", said).stdout
        return shown.removeprefix("Restore primary queue to ").split(" ")[0]

    date = subprocess.run(
        ["date", "-u", "-d", "yesterday", "+%Y-%m-%d"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert moment("yesterday 14:00") == f"{date}T14:00:00Z"
    assert moment("1 day ago 14:00") == f"{date}T14:00:00Z"
    assert moment("1 day ago")[:13] == moment("24 hours ago")[:13]


@requires("ruby")
def test_a_time_that_the_clocks_skip_is_refused(app: Path) -> None:
    done = run(app, "--dry-run", "--timestamp", "2026-03-29 02:30", TZ="Europe/Berlin")
    assert (done.returncode, "does not exist in your time zone" in done.stderr) == (2, True)


# --- With a server that is a folder: Kamal and Litestream are played. e2e/ has the real ones. ---

KAMAL = """\
#!/bin/sh
# Plays Kamal: says what it was called for, and is the server that FAKE_* describe.
echo "$*" >> "$APP/calls"
case "$*" in
  "lock status"*) cat "$APP/lock" 2>/dev/null || echo "There is no deploy lock" ;;
  "lock acquire"*)
    if [ -e "$APP/lock" ]; then echo "Deploy lock already in place!" >&2; exit 1; fi
    printf 'Locked by: Me\nVersion: abc\nMessage: %s\n' "$4" > "$APP/lock" ;;
  "lock release"*) rm -f "$APP/lock" ;;
  "app version"*) cat "$APP/running" 2>/dev/null || true ;;
  "audit"*) cat "$APP/audit" 2>/dev/null || true ;;
  "app stop"*)
    if [ -n "${FAKE_HELD:-}" ] && [ -e "$APP/lock" ]; then exit 1; fi
    rm -f "$APP/running" ;;
  "app start"*) [ -z "${FAKE_NO_START:-}" ] || exit 1; echo abc > "$APP/running" ;;
  "app exec"*)
    if [ -n "${FAKE_NEVER_UP:-}" ]; then
      case "$*" in *--version*) ;; *) echo "No such image" >&2; exit 1 ;; esac
    fi
    for last; do :; done
    # shellcheck disable=SC2086
    cd "$APP" && exec $last ;;
esac
"""
LITESTREAM = """\
#!/bin/sh
if [ "$1" != restore ]; then exit; fi
while [ "$1" != -o ]; do shift; done
sqlite3 "$2" "CREATE TABLE t (x); INSERT INTO t VALUES ('restored')"
"""
AUDIT = """\
[2026-01-30T08:00:00Z] [Me] [web] Booted app version 0ld
[2026-01-30T08:01:00Z] [Me] Tagging shop:0ld as the latest image
[2026-01-30T09:00:00Z] [Me] [web] Booted app version abc
[2026-01-30T09:01:00Z] [Me] Tagging localhost:5555/shop:abc as the latest image
[2026-01-31T09:00:00Z] [Me] [web] Booted app version abc
[2026-01-31T09:00:09Z] [Me] [job] Booted app version abc
[2026-01-31T09:01:00Z] [Me] Tagging localhost:5555/shop:abc as the latest image
"""


@pytest.fixture
def app(fresh: Callable[..., Path]) -> Path:
    """Return an app whose server is the same folder, up with version abc."""
    return served(fresh())


def served(folder: Path) -> Path:
    for name, text in {"kamal": KAMAL, "litestream": LITESTREAM}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    config = folder / "config/litestream.yml"
    config.write_text(config.read_text().replace("/rails/", f"{folder}/"))
    (folder / "storage").mkdir(exist_ok=True)
    for name in ("production", "production_queue"):
        path = folder / f"storage/{name}.sqlite3"
        with closing(sqlite3.connect(path)) as database:
            database.executescript("CREATE TABLE t (x); INSERT INTO t VALUES ('live')")
        (folder / f"storage/.{name}.sqlite3-litestream").mkdir()
    (folder / "running").write_text("abc\n")
    (folder / "audit").write_text(AUDIT)
    return folder


def run(app: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [app / "bin/restore", *arguments],
        env={
            "PATH": f"{app}:/usr/local/bin:/usr/bin:/bin",
            "TZ": "UTC",
            "APP": str(app),
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def rows(app: Path) -> dict[str, str]:
    said = {}
    for path in sorted((app / "storage").glob("*.sqlite3")):
        with closing(sqlite3.connect(path)) as database:
            [(said[path.stem],)] = database.execute("SELECT x FROM t").fetchall()
    return said


def calls(app: Path) -> list[str]:
    return (app / "calls").read_text().splitlines()


LIVE = {"production": "live", "production_queue": "live"}
RESTORED = dict.fromkeys(LIVE, "restored")
needs_sqlite3 = requires("sqlite3")


@needs_sqlite3
def test_the_version_that_was_up_is_started_again_under_the_lock(app: Path) -> None:
    done = run(app, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(app) == RESTORED
    # Kamal's own default is the version of the last commit, which may never have been deployed.
    assert "app start --version abc" in calls(app)
    at = [line.split(" -m")[0] for line in calls(app)]
    swapped = next(i for i, line in enumerate(at) if "--on-server swap" in line)
    assert at.index("app stop") < at.index("lock acquire") < swapped < at.index("lock release")
    assert not (app / "lock").exists()


@needs_sqlite3
def test_a_restore_is_undone_by_one_command(app: Path) -> None:
    run(app, "--yes", "--database", "primary")
    assert rows(app) == {**LIVE, "production": "restored"}
    done = run(app, "--yes", "--undo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(app) == LIVE
    # Nothing was uploaded meanwhile: it goes on from what Litestream knew.
    assert (app / "storage/.production.sqlite3-litestream").exists()
    assert (app / "storage/.production_queue.sqlite3-litestream").exists()
    again = run(app, "--yes", "--undo")
    assert (again.returncode, "no restore is there to undo" in again.stderr) == (2, True)


@needs_sqlite3
def test_a_copy_of_production_goes_to_staging_without_its_jobs(app: Path) -> None:
    ours = (app / "config/litestream.yml").read_text()
    (app / "config/litestream.staging.yml").write_text(ours)
    production = ours.replace("storage/production.sqlite3", "storage/main.sqlite3")
    (app / "config/litestream.yml").write_text(production)
    (app / "config/deploy.staging.yml").write_text("")
    copy = ("--yes", "--from", "production", "--destination", "staging")

    done = run(app, *copy, LITESTREAM_CONFIG="config/litestream.staging.yml")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Copy primary of production to staging: the latest state" in done.stdout
    assert "Not copied: queue. (Jobs would run in staging, too: " in done.stdout
    assert rows(app) == {**LIVE, "production": "restored"}
    restored = next(line for line in calls(app) if "--on-server copy" in line)
    assert restored.endswith(
        f"config/litestream.yml {app}/storage/production.sqlite3 {app}/storage/main.sqlite3"
    )
    assert all("staging" in line for line in calls(app))
    run(app, *copy, "--database", "queue", LITESTREAM_CONFIG="config/litestream.staging.yml")
    assert rows(app) == RESTORED

    (app / "running").unlink()
    (app / "audit").unlink()
    never = run(app, *copy, FAKE_NEVER_UP="1")
    assert (never.returncode, "kamal setup -d staging" in never.stderr) == (1, True)


@needs_sqlite3
def test_taking_over_stops_litestream_alone_and_starts_it_again(app: Path) -> None:
    done = run(app, "--yes", "--take-over")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Taken over. Where the app did not start: kamal deploy" in done.stdout
    said = calls(app)
    stopped, started = (said.index(f"accessory {step} litestream") for step in ("stop", "start"))
    assert any("--on-server take-over" in line for line in said[stopped:started])
    assert "app stop" not in said
    assert rows(app) == LIVE
    assert not (app / "storage/.production.sqlite3-litestream").exists()


@needs_sqlite3
def test_an_undo_that_fails_leaves_what_was_restored(app: Path) -> None:
    run(app, "--yes")
    done = run(app, "--yes", "--undo", FAKE_NO_START="1")
    assert done.returncode == 1
    assert "stopped before the end" in done.stderr
    assert rows(app) == RESTORED


def test_a_deploy_in_progress_is_not_disturbed(app: Path) -> None:
    lock = "Locked by: CI at 2026-01-31T14:00:00Z\nVersion: abc\nMessage: Automatic deploy lock\n"
    (app / "lock").write_text(lock)
    done = run(app, "--yes")
    assert done.returncode == 2
    assert "Locked by: CI" in done.stderr
    assert "kamal lock release" in done.stderr
    assert calls(app) == ["lock status"]
    assert rows(app) == LIVE


@needs_sqlite3
def test_the_lock_of_a_restore_that_was_killed_is_taken_over(app: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    here = os.uname().nodename
    for process, code in ((gone.pid, 0), (os.getpid(), 2)):
        message = f"bin/restore on {here}, process {process}"
        (app / "lock").write_text(f"Locked by: Me\nVersion: abc\nMessage: {message}\n")
        assert run(app, "--yes").returncode == code


@needs_sqlite3
def test_after_a_kill_the_last_version_that_came_up_is_started(app: Path) -> None:
    (app / "running").unlink()
    assert run(app, "--yes").returncode == 0
    assert "app start --version abc" in calls(app)


@needs_sqlite3
def test_a_server_where_the_app_never_came_up_is_served_by_the_image_of_that_deploy(
    app: Path,
) -> None:
    (app / "running").unlink()
    (app / "audit").write_text("[2026-01-31T09:00:00Z] [Me] [web] Booted app version abc\n")
    done = run(app, "--yes", FAKE_NEVER_UP="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(app) == RESTORED
    assert "The app was never up on this server: kamal deploy" in done.stdout
    assert not any(line.startswith("app start") for line in calls(app))


@requires("ruby", "sqlite3")
def test_before_the_last_deploy_is_a_moment(app: Path) -> None:
    done = run(app, "--dry-run", "--before-deploy")
    assert "to 2026-01-31T09:00:00Z (" in done.stdout
    assert "before the deploy of abc." in done.stdout
    shown = run(app, "--list").stdout
    assert shown.split("deploys began:\n")[1].split() == [
        *("2026-01-30T08:00:00Z", "0ld", "2026-01-30T09:00:00Z", "abc"),
        *("2026-01-31T09:00:00Z", "abc"),
    ]
    (app / "audit").unlink()
    refused = run(app, "--dry-run", "--before-deploy")
    assert (refused.returncode, "no deploy is on record" in refused.stderr) == (2, True)


def test_a_full_disk_is_seen_before_anything_is_stopped(app: Path) -> None:
    full = app / "stat"
    full.write_text('#!/bin/sh\nif [ "$1" = -f ]; then echo "1 * 1"; else echo 4096; fi\n')
    full.chmod(0o755)
    done = run(app, "--yes")
    assert done.returncode == 1
    assert f"There is no room for a second {app}/storage/production.sqlite3" in done.stderr
    assert not any(line.startswith("app stop") for line in calls(app))


# --- Uploaded files ------------------------------------------------------------------------------


@pytest.fixture
def attached(fresh: Callable[..., Path]) -> Path:
    """Return such an app with two uploaded files, one of which is not there."""
    app = served(fresh(uploads=True))
    with closing(sqlite3.connect(app / "storage/production.sqlite3")) as database:
        database.executescript(BLOBS)
    (app / "storage/aa/bb").mkdir(parents=True)
    (app / "storage/aa/bb/aabbhere").write_text("here")
    return app


BLOBS = """
    CREATE TABLE active_storage_blobs (
      id INTEGER PRIMARY KEY, key, filename, byte_size, checksum, service_name);
    INSERT INTO active_storage_blobs VALUES
      (1, 'aabbhere', 'a.png', 4, 'bJIoX6bT6CexmNEg6jrGdA==', 'local'),
      (2, 'ccddgone', 'b' || char(27) || '[31m.png', 7, NULL, 'local');
"""
needs_both = requires("ruby", "sqlite3")


def uploaded(app: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(app, *arguments, UPLOADS_ROOT=str(app / "storage"))


@needs_both
def test_files_that_rows_name_are_checked_by_size_and_checksum(attached: Path) -> None:
    done = uploaded(attached, "--check-files")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "1 of 2 uploaded files are here and whole.",
        "  ccddgone (b?[31m.png, 7 bytes) lacks",
        "1 uploaded files are not here, and are brought back: kamal uploads",
    ]
    assert (attached / "storage/.uploads/asked").read_text() == "7 cc/dd/ccddgone\n"

    (attached / "storage/cc/dd").mkdir(parents=True)
    (attached / "storage/cc/dd/ccddgone").write_text("12345678")
    (attached / "storage/aa/bb/aabbhere").write_text("hera")
    said = uploaded(attached, "--check-files").stdout
    assert "0 of 2 uploaded files" in said
    assert "aabbhere (a.png, 4 bytes) has another checksum" in said
    assert "has 8 bytes instead of 7" in said
    # What the accessory was asked for is on its way.
    assert "1 are still coming: kamal uploads" in said

    (attached / "storage/cc/dd/ccddgone").write_text("1234567")
    (attached / "storage/aa/bb/aabbhere").write_text("here")
    done = uploaded(attached, "--check-files", "--database", "primary")
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        "All 2 uploaded files are here and whole.",
    )


@needs_both
def test_rows_of_another_service_have_their_files_elsewhere(attached: Path) -> None:
    (attached / "config/environments").mkdir(exist_ok=True)
    production = attached / "config/environments/production.rb"
    production.write_text("  config.active_storage.service = :amazon\n")
    done = uploaded(attached, "--check-files")
    assert done.stdout == "All 0 uploaded files are here and whole.\n"


@needs_both
def test_what_a_restored_row_names_is_asked_for_and_said_to_lack(attached: Path) -> None:
    litestream = (attached / "litestream").read_text()
    (attached / "litestream").write_text(litestream + f'sqlite3 "$2" "{BLOBS}"\n')
    (attached / "bin/uploaded-files").write_text(
        (attached / "bin/uploaded-files").read_text().replace("sleep(2)", "nil")
    )
    done = uploaded(attached, "--yes", "--database", "primary")
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(attached)["production"] == "restored"
    assert "1 of 2 uploaded files are here and whole." in done.stdout
    assert "ccddgone" in done.stdout
    assert (attached / "storage/.uploads/asked").exists()


@needs_both
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--with-files",), "--with-files goes with --to-local"),
        (("--check-files", "--undo"), "--check-files goes with --database"),
        (("--check-files", "--timestamp", "10:00"), "--check-files goes with --database"),
    ],
)
def test_what_does_not_go_with_files_is_refused(
    attached: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = uploaded(attached, "--yes", *arguments)
    assert (done.returncode, said in done.stderr, (attached / "calls").exists()) == (2, True, False)
