"""Reads a file that may be anything in its place. The standard library only: hooks use it too.

A reader waits for ever at a FIFO, a device never ends, and what is larger than any file that people
write fills the memory.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_MOST_BYTES = 20_000_000


def read_bytes(path: Path) -> bytes:
    """Return what the file `path` holds.

    Raises OSError where it cannot be read, is no file, or has more than 20 MB.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, not a file", str(path))
        if found.st_size > _MOST_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        return file.read(_MOST_BYTES)


def read_text(path: Path, errors: str = "strict") -> str:
    """Return the text in the file `path`, with "\\n" at the end of lines, as Path.read_text does.

    Raises OSError as `read_bytes`, and UnicodeDecodeError where `errors` is "strict".
    """
    text = read_bytes(path).decode("utf-8", errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")
