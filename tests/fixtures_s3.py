"""One scratch S3 server for all the tests of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kamalstream.prove.s3 import ScratchS3


@pytest.fixture(scope="session")
def s3() -> Iterator[ScratchS3]:
    with ScratchS3() as server:
        yield server
