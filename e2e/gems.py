"""Where gems come from: RubyGems, or where it cannot be reached, a folder of them served instead.

Whatever is told the port does as with a mirror of RubyGems: Gemfile and lockfile stay as they are.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from e2e.outside import RUBYGEMS, reachable

BESIDE_THE_CHECKOUT = Path(__file__).parent.parent.parent / "shared" / "gems"


@contextlib.contextmanager
def served() -> Iterator[int | None]:
    """Yield the port on 127.0.0.1 where gems are served, or None where RubyGems can be reached.

    The folder, with the index that `gem generate_index` and the compact index make, is the
    environment's KAMALSTREAM_GEMS, else `shared/gems` beside the checkout.

    Raises:
        RuntimeError: neither is there.
    """
    if reachable(RUBYGEMS):
        yield None
        return
    folder = Path(os.environ.get("KAMALSTREAM_GEMS", BESIDE_THE_CHECKOUT))
    if not (folder / "versions").is_file():
        raise RuntimeError(
            f"no gems: {RUBYGEMS} cannot be reached, {folder} (KAMALSTREAM_GEMS) is no index"
        )
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""
