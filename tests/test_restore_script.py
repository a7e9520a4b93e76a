"""bin/restore before it touches anything: what it says, asks and refuses. e2e/ has the rest."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import requires


@pytest.fixture
def restore(fresh: Callable[..., Path]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the rendered bin/restore where a call of kamal would be seen."""
    app = fresh(destinations={"staging": {"databases": {"primary": "storage/staging.sqlite3"}}})
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
    assert "Restore queue to 2026-01-31T14:00:00Z." in done.stdout
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
        (("--timestamp", "2999-01-01"), "in the future"),
        (("--timestamp",), "--timestamp wants a value"),
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
