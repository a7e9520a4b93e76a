"""One stage for all tests of a run: setting up costs minutes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from e2e.stage import Stage
from e2e.stage import stage as set_up
from kamalstream import programs

os.environ["PATH"] += os.pathsep + "/usr/sbin"


PROGRAMS = ("busybox", "docker-registry", "dockerd", "mmdebstrap", "slirp4netns", "sshd", "unshare")


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
