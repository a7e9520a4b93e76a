"""bin/boot-restore, and the entrypoint that calls it: what is restored, and when nothing starts."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kamalstream import programs
from kamalstream.facts import VERSIONS

from .conftest import requires

# Called as the real one is, and says so; does what FAKE says.
LITESTREAM = """\
#!/bin/sh
echo "litestream $*" >> "$CALLS"
case $1 in ltx | snapshots) cat "$CALLS.uploaded" 2>/dev/null; [ "$FAKE" != broken ]; exit ;; esac
case $FAKE in
  backup) echo restored > "$6" ;;
  slow)
    while [ "$(grep -c "^litestream restore" "$CALLS")" -lt "${TOGETHER:-1}" ]; do sleep 0.1; done
    sleep 1; echo restored > "$6" ;;
  for-ever) echo half > "${6%/*}/database.tmp"; exec sleep 60 ;;
  broken) echo "cannot read the bucket" >&2; exit 1 ;;
  none) ;;
esac
"""
LOOKS = ("litestream ltx", "litestream snapshots")
SAYS = '#!/bin/sh\necho "{name} $*" >> "$CALLS"\n'
SERVER = ("./bin/thrust", "./bin/rails", "server")
BRINGS_BACK = "No {} on this server: looking for its backup.\n"


class Container:
    """An app's files in a folder that stands for its container, and what is started there."""

    def __init__(self, app: Path) -> None:
        """Put the fakes beside the rendered files."""
        self.app = app
        self.calls = app / "calls"
        self.fakes = app / "fakes"
        for file, text in {
            "fakes/litestream": LITESTREAM,
            "bin/rails": SAYS.format(name="rails"),
            "bin/thrust": SAYS.format(name="thrust"),
        }.items():
            (app / file).parent.mkdir(exist_ok=True)
            (app / file).write_text(text)
            (app / file).chmod(0o755)
        (app / "storage").mkdir()
        self.primary = app / "storage/production.sqlite3"
        self.queue = app / "storage/production_queue.sqlite3"

    def start(
        self, *command: str, fake: str = "backup", shell: tuple[str, ...] = (), **env: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*shell, self.app / command[0], *command[1:]],
            cwd=self.app,
            env={
                "PATH": f"{self.fakes}:/usr/bin:/bin",
                "CALLS": str(self.calls),
                "FAKE": fake,
                "LD_PRELOAD": "",
                **env,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *command: str, fake: str = "backup", shell: tuple[str, ...] = (), **env: str
    ) -> tuple[int, str, str]:
        """Return the exit code, and what was said on stdout and stderr."""
        process = self.start(*command, fake=fake, shell=shell, **env)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    def boot(self, *command: str, fake: str = "backup", **env: str) -> tuple[int, str, str]:
        return self.run("bin/boot-restore", *command, fake=fake, **env)

    @property
    def called(self) -> list[str]:
        """What was called; of a restore only the database, and no look at what is uploaded."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        called = [line for line in lines if not line.startswith(LOOKS)]
        return [line.split()[-1] if line.startswith("litestream") else line for line in called]

    @property
    def stored(self) -> set[str]:
        return {path.name for path in (self.app / "storage").iterdir()}


@pytest.fixture
def made(fresh: Callable[..., Path], tmp_path: Path) -> Callable[..., Container]:
    """Make a container of an app with these answers."""
    root = tmp_path / "fresh"
    volumes = [f"notes_storage:{root}/storage"]
    return lambda **more: Container(fresh(rails_root=str(root), volumes=volumes, **more))


@pytest.fixture
def container(made: Callable[..., Container]) -> Container:
    return made(destinations={"staging": {}})


@pytest.mark.parametrize("shell", [("sh",), ("dash",), ("busybox", "sh"), ("bash", "--posix")])
def test_what_is_missing_is_restored_one_after_the_other(
    container: Container, shell: tuple[str, ...]
) -> None:
    if not programs.find(shell[0]):
        pytest.skip(f"needs {shell[0]}")
    code, out, err = container.run("bin/boot-restore", *SERVER, shell=shell)
    assert (code, err) == (0, "")
    assert out == BRINGS_BACK.format(container.primary) + BRINGS_BACK.format(container.queue)
    assert container.called == [str(container.primary), str(container.queue)]
    assert container.stored == {container.primary.name, container.queue.name}
    assert container.primary.read_text() == "restored\n"


def test_litestream_is_told_its_configuration_and_a_place_of_its_own(container: Container) -> None:
    container.boot(*SERVER)
    called = container.calls.read_text().splitlines()
    first = next(line for line in called if line.startswith("litestream restore")).split()
    assert first[:4] == [
        "litestream",
        "restore",
        "-config",
        f"{container.app}/bin/../config/litestream.yml",
    ]
    assert first[4:6] == ["-if-replica-exists", "-o"]
    assert first[6].startswith(f"{container.primary}.restoring-")


@pytest.mark.parametrize("command", [("bin/rails", "console"), SERVER, ("bash",), ()])
def test_where_the_databases_are_it_is_looked_at_their_backups_and_nothing_said(
    container: Container, command: tuple[str, ...]
) -> None:
    container.primary.write_text("mine")
    container.queue.write_text("mine")
    assert container.boot(*command) == (0, "", "")
    assert len(container.calls.read_text().splitlines()) == 2
    assert container.boot(*command, SKIP_RESTORE="1") == (0, "", "")
    assert len(container.calls.read_text().splitlines()) == 2
    code, out, err = container.boot(*command, fake="broken")
    assert (code, out) == (0, "")
    # Once: one that is away may take long to say so.
    assert len(container.calls.read_text().splitlines()) == 3
    assert err.endswith("The app starts; the litestream accessory goes on once it can be read.\n")
    assert container.called == []
    assert container.primary.read_text() == "mine"


@pytest.mark.parametrize("command", [("bin/rails", "console"), ("bin/jobs",), ("puma", "-C", "x")])
def test_it_is_restored_whatever_is_started(container: Container, command: tuple[str, ...]) -> None:
    assert container.boot(*command)[0] == 0
    assert container.primary.read_text() == "restored\n"


def test_what_was_never_backed_up_is_left_to_rails(container: Container) -> None:
    code, _, err = container.boot(*SERVER, fake="none")
    assert (code, err) == (0, "")
    assert container.stored == set()


def test_an_unreadable_backup_lets_nothing_start(container: Container) -> None:
    code, _, err = container.boot(*SERVER, fake="broken")
    assert code == 1
    assert container.called == [str(container.primary)]
    assert container.stored == set()
    assert f"The app does not start: {container.primary} is not on this server" in err
    assert "kamal accessory reboot litestream && kamal deploy\n" in err
    assert "SKIP_RESTORE: 1 under env: clear: in config/deploy.yml" in err


def test_a_destination_has_its_own_configuration_and_is_named_in_what_is_said(
    container: Container,
) -> None:
    env = {"LITESTREAM_CONFIG": "config/litestream.staging.yml", "KAMAL_DESTINATION": "staging"}
    code, _, err = container.boot(*SERVER, fake="broken", **env)
    assert code == 1
    assert "bin/../config/litestream.staging.yml -if-replica" in container.calls.read_text()
    for said in (
        "endpoint in config/litestream.staging.yml",
        "kamal accessory reboot litestream -d staging && kamal deploy -d staging",
        "in config/deploy.staging.yml for one deploy",
    ):
        assert said in err


def test_a_missing_configuration_lets_nothing_start(container: Container) -> None:
    (container.app / "config/litestream.yml").unlink()
    code, _, err = container.boot(*SERVER)
    assert code == 1
    assert "config/litestream.yml cannot be read" in err
    assert container.boot(*SERVER, SKIP_RESTORE="1") == (0, "", "")


def test_quoted_paths_and_paths_with_a_comment_are_read(container: Container) -> None:
    config = container.app / "config/litestream.yml"
    config.write_text(
        f"dbs:\n  - path: \"{container.primary}\" # the one\n-   path: '{container.queue}'\n"
    )
    assert container.boot(*SERVER)[0] == 0
    assert container.called == [str(container.primary), str(container.queue)]


def test_the_restore_can_be_skipped(container: Container) -> None:
    code, out, err = container.boot(*SERVER, SKIP_RESTORE="1")
    assert (code, err, container.called) == (0, "", [])
    assert f"SKIP_RESTORE is set: the backup of {container.primary} is not looked at." in out


@pytest.mark.parametrize("form", ["bin/restore", "./bin/restore", "/rails/bin/restore"])
def test_a_restore_by_hand_is_left_alone(container: Container, form: str) -> None:
    assert container.boot(form, "--on-server", "list", fake="broken") == (0, "", "")


def test_a_folder_that_is_missing_is_made(container: Container) -> None:
    config = container.app / "config/litestream.yml"
    config.write_text(f"dbs:\n  - path: {container.app}/storage/a/b/c.sqlite3\n")
    assert container.boot(*SERVER)[0] == 0
    assert (container.app / "storage/a/b/c.sqlite3").read_text() == "restored\n"


@pytest.mark.parametrize("fake", ["backup", "none"])
def test_what_a_lost_database_left_behind_is_set_aside(container: Container, fake: str) -> None:
    for ending in ("-wal", "-shm"):
        container.primary.with_name(container.primary.name + ending).write_text("old")
    assert container.boot(*SERVER, fake=fake)[0] == 0
    [wal] = (container.app / "storage").glob("production.sqlite3-wal*")
    assert wal.name.startswith("production.sqlite3-wal.before-restore-2")
    assert wal.read_text() == "old"
    assert not (container.app / "storage/production.sqlite3-shm").exists()


# --- ENTRYPOINT ["…/bin/boot-restore", "exec"] ----------------------------------------------------


def test_exec_starts_the_command_once_all_is_there(container: Container) -> None:
    assert container.boot("exec", "./bin/rails", "server", "-p", "80")[0] == 0
    assert container.called == [str(container.primary), str(container.queue), "rails server -p 80"]


def test_exec_keeps_words_together_and_the_exit_code(container: Container) -> None:
    code, out, _ = container.boot(
        "exec", "sh", "-c", 'echo "$0:$1"; exit 7', "a b", "c", fake="none"
    )
    assert (code, out.splitlines()[-1]) == (7, "a b:c")


def test_exec_starts_nothing_without_the_backup(container: Container) -> None:
    assert container.boot("exec", "./bin/rails", "server", fake="broken")[0] == 1
    assert container.called == [str(container.primary)]


def test_exec_of_a_restore_by_hand_starts_it_alone(container: Container) -> None:
    (container.app / "bin/restore").write_text(SAYS.format(name="restore"))
    assert container.boot("exec", "bin/restore", "--on-server", "list") == (0, "", "")
    assert container.called == ["restore --on-server list"]


# --- The rendered bin/docker-entrypoint -----------------------------------------------------------


def test_12_2_the_server_starts_once_the_databases_are_there(container: Container) -> None:
    assert container.run("bin/docker-entrypoint", *SERVER)[0] == 0
    assert container.called == [
        str(container.primary),
        str(container.queue),
        "rails db:prepare",
        "thrust ./bin/rails server",
    ]


def test_12_2_the_server_does_not_start_without_its_backup(container: Container) -> None:
    code, _, err = container.run("bin/docker-entrypoint", *SERVER, fake="broken")
    assert (code, container.called) == (1, [str(container.primary)])
    assert "The app does not start" in err


def test_12_2_other_commands_prepare_no_database(container: Container) -> None:
    assert container.run("bin/docker-entrypoint", "./bin/rails", "console")[0] == 0
    assert container.called == [str(container.primary), str(container.queue), "rails console"]


def test_the_entrypoint_calls_it_in_one_line(container: Container) -> None:
    text = (container.app / "bin/docker-entrypoint").read_text()
    assert f'\n{container.app}/bin/boot-restore "$@" || exit 1\n' in text
    assert text.count("boot-restore") == 1


# --- Two at once, and interruptions ---------------------------------------------------------------


def test_two_containers_that_boot_at_once_do_not_get_into_each_others_way(
    container: Container,
) -> None:
    started = [
        container.start("bin/boot-restore", *SERVER, fake="slow", TOGETHER="4") for _ in range(4)
    ]
    ended = [(process.communicate(timeout=60)[0], process.returncode) for process in started]
    assert [code for _, code in ended] == [0, 0, 0, 0]
    late = f"Another container has brought {container.primary} back."
    assert sum(late in out for out, _ in ended) == 3
    assert container.stored == {container.primary.name, container.queue.name}
    assert container.primary.stat().st_nlink == 1


def test_a_database_that_is_in_use_meanwhile_is_not_replaced(container: Container) -> None:
    container.queue.write_text("mine")
    late = container.start("bin/boot-restore", *SERVER, fake="slow")
    while not [name for name in container.stored if ".restoring-" in name]:
        time.sleep(0.01)
    container.primary.write_text("in use")
    wal = container.primary.with_name(container.primary.name + "-wal")
    wal.write_text("in use")
    out, err = late.communicate(timeout=30)
    assert (late.returncode, err) == (0, "")
    assert f"Another container has brought {container.primary} back." in out
    assert container.stored == {container.primary.name, container.queue.name, wal.name}
    assert (container.primary.read_text(), wal.read_text()) == ("in use", "in use")


def test_one_that_fails_while_another_brings_it_back_starts(container: Container) -> None:
    container.queue.write_text("mine")
    late = container.start("bin/boot-restore", *SERVER, fake="slow")
    while not [name for name in container.stored if ".restoring-" in name]:
        time.sleep(0.01)
    assert container.boot(*SERVER)[0] == 0
    assert late.wait(timeout=30) == 0
    assert container.stored == {container.primary.name, container.queue.name}


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_boot_that_is_stopped_ends_at_once_and_leaves_nothing(
    container: Container, signum: int
) -> None:
    process = container.start("bin/boot-restore", "exec", *SERVER, fake="for-ever")
    while not container.called:
        time.sleep(0.01)
    began = time.monotonic()
    process.send_signal(signum)
    assert process.wait(timeout=30) == 143
    assert time.monotonic() - began < 15
    _, err = process.communicate()
    assert f"Stopped while {container.primary} was being restored (1 MB so far)." in err
    assert "  bin/restore && kamal deploy\n" in err
    assert container.stored == set()
    assert container.called == [str(container.primary)]


def test_what_a_killed_boot_left_behind_is_removed_by_the_next(container: Container) -> None:
    half = container.primary.with_name(container.primary.name + ".restoring-abc123")
    half.mkdir()
    (half / "database.tmp").write_text("half")
    assert container.boot(*SERVER)[0] == 0
    assert container.stored == {container.primary.name, container.queue.name}


@requires("sqlite3")
def test_of_0_3_what_was_restored_is_looked_at_with_sqlite3(
    made: Callable[..., Container],
) -> None:
    old = made(litestream_version="0.3")
    code, _, err = old.boot(*SERVER)
    assert code == 1
    assert "What was restored is damaged: " in err
    assert "bin/restore --timestamp" in err
    assert not old.primary.exists()


# --- With the real Litestream ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "series",
    [pytest.param(one, marks=requires(f"litestream-{one}")) for one in VERSIONS["litestream"]],
)
def test_the_real_litestream_brings_rows_back_in_two_containers_at_once(
    made: Callable[..., Container], tmp_path: Path, series: str
) -> None:
    container = made(litestream_version=series)
    litestream = programs.litestream(series)
    assert litestream
    replica = f"type: file\n{' ' * 8}path: {tmp_path}/bucket/production.sqlite3"
    entry = f"replicas:\n      - {replica}" if series == "0.3" else f"replica:\n        {replica}"
    config = container.app / "config/litestream.yml"
    config.write_text(f"dbs:\n  - path: {container.primary}\n    {entry}\n")
    (container.fakes / "litestream").unlink()
    (container.fakes / "litestream").symlink_to(litestream)
    # Nothing is backed up yet: nothing is restored.
    code, _, err = container.boot(*SERVER, HOME=str(tmp_path))
    assert (code, container.primary.exists()) == (0, False), err
    with sqlite3.connect(container.primary) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.execute("CREATE TABLE notes (body)")
        database.executemany("INSERT INTO notes VALUES (?)", [(str(n),) for n in range(2000)])
    database.close()
    replicating = subprocess.Popen(
        [litestream, "replicate", "-config", config],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    uploaded, ends = tmp_path / "bucket", time.monotonic() + 60
    while not [path for path in uploaded.rglob("*") if path.is_file()]:
        assert time.monotonic() < ends
        time.sleep(0.1)
    time.sleep(4)
    replicating.terminate()
    replicating.wait(timeout=40)
    for path in (container.app / "storage").rglob("*"):
        if path.is_file():
            path.unlink()
    started = [container.start("bin/boot-restore", *SERVER, HOME=str(tmp_path)) for _ in range(2)]
    for process in started:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    with sqlite3.connect(container.primary) as database:
        assert database.execute("SELECT count(*) FROM notes").fetchone() == (2000,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    assert not [name for name in container.stored if "restoring" in name]
