"""A folder that is gone when its maker is, however that ends."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """Give an empty folder, and remove it at the end; after a SIGKILL a process of its own does."""
    folder = tempfile.mkdtemp(prefix=prefix)
    # Reads until the other end of its pipe is closed, which the kernel does for whoever dies.
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; rm -rf -- "$0"', folder],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        keeper.communicate()
