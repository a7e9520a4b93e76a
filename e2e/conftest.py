"""One stage for all tests of a run: setting up costs minutes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from e2e.outside import played
from e2e.record import Drill, Record
from e2e.stage import Stage
from e2e.stage import stage as set_up
from e2e.steps import Rows, setup, verify
from kamalstream import programs

os.environ["PATH"] += os.pathsep + "/usr/sbin"


PROGRAMS = (
    "busybox",
    "chromedriver",
    "chromium",
    "docker-registry",
    "dockerd",
    "mmdebstrap",
    "slirp4netns",
    "sshd",
    "unshare",
)


def missing(needed: tuple[str, ...] = PROGRAMS) -> str:
    """Return what this machine lacks, empty where it lacks nothing."""
    lacking = [name for name in needed if programs.find(name) is None]
    if os.geteuid() != 0:
        lacking.append("root, for namespaces of its own")
    return ", ".join(lacking)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The subject with its rendered files on the developer's machine, and an empty server."""
    lacking = missing()
    if lacking and "docker" not in os.environ.get("KAMALSTREAM_REQUIRE", ""):
        pytest.skip(f"needs {lacking}")
    assert not lacking, f"needs {lacking} (KAMALSTREAM_REQUIRE)"
    with set_up() as ready:
        yield ready


@pytest.fixture(scope="session")
def ruby() -> None:
    """What apps of the real `rails new` take: see e2e/rails.py."""
    lacking = missing(("mmdebstrap", "unshare"))
    if lacking and "ruby" not in os.environ.get("KAMALSTREAM_REQUIRE", ""):
        pytest.skip(f"needs {lacking}")
    assert not lacking, f"needs {lacking} (KAMALSTREAM_REQUIRE)"


@pytest.fixture(scope="session")
def record(request: pytest.FixtureRequest) -> Iterator[Record]:
    """What this run saw, written where all of it was run and passed."""
    gathered = Record()
    yield gathered
    if gathered.complete and not request.config.option.keyword and not request.session.testsfailed:
        gathered.write()


@pytest.fixture
def drill(stage: Stage, record: Record) -> Callable[..., None]:
    """Add a row to the table; fails where a row is missing, or the backup does not verify."""

    def seen(title: str, before: Rows, after: Rows, what: str) -> None:
        missing = sum(len(set(before[name]) - set(after[name])) for name in before)
        rows_before, rows_after = (sum(map(len, rows.values())) for rows in (before, after))
        record.drills.append(Drill(title, rows_before, rows_after, missing, what))
        assert missing == 0, f"{missing} rows are missing"
        # A drill may have gone back to fewer rows.
        verified = verify(stage, "--accept")
        assert verified.code == 0, verified.text

    return seen


@pytest.fixture
def deployed(stage: Stage) -> Stage:
    """The stage with the app up and running, whatever the drill before has left."""
    try:
        stage.site.rows()
    except OSError:
        stage.server.lose()
        setup(stage)
    return stage


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what this run did not do with the real thing."""
    terminalreporter.section("played in this run")
    for part in played():
        terminalreporter.write_line(f"- {part}")
