"""One stage for all tests of a run: setting up costs minutes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from e2e.stage import Stage
from e2e.stage import stage as set_up

os.environ["PATH"] += os.pathsep + "/usr/sbin"


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The subject with its rendered files on the developer's machine, and an empty server."""
    with set_up() as ready:
        yield ready
