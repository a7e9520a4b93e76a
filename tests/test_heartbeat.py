"""The heartbeat of the rendered configuration, with the real Litestream."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from kamalstream import programs
from kamalstream.prove.redirect import on_disk, redirect, replicated
from kamalstream.prove.s3 import ScratchS3

from .conftest import requires

# Litestream looks every 15 s whether a call is due (store.go: DefaultHeartbeatCheckInterval).
WITHIN = 40.0


@requires("litestream-0.5", "weed")
def test_litestream_calls_the_heartbeat_url_while_backups_are_alive(
    fresh: Callable[..., Path], s3: ScratchS3, tmp_path: Path
) -> None:
    called = threading.Event()

    class Watch(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            called.set() if self.path == "/ping" else None
            self.send_response(200)
            self.end_headers()

        def log_message(self, *said: object) -> None:
            pass

    watch = HTTPServer(("127.0.0.1", 0), Watch)
    threading.Thread(target=watch.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{watch.server_port}/ping"
    rendered = (fresh(heartbeat_url=url) / "config/litestream.yml").read_text()
    [line] = re.findall(r"^heartbeat-url:.*$", rendered, re.MULTILINE)

    disk = tmp_path / "disk"
    text = redirect(rendered, disk, s3.endpoint, s3.access_key, s3.secret_key)
    # A drill must not call; this test is about the call.
    text = re.sub(r"^heartbeat-url:.*$", line, text, flags=re.MULTILINE)
    config = tmp_path / "litestream.yml"
    config.write_text(text)
    s3.create_bucket("notes-backups")
    for entry in replicated(rendered):
        path = Path(on_disk(disk, entry.path))
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode = wal")
            database.execute("CREATE TABLE entries (id INTEGER PRIMARY KEY)")
            database.commit()

    program = programs.litestream("0.5")
    assert program
    litestream = subprocess.Popen(
        [program, "replicate", "-config", config],
        env=s3.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert called.wait(WITHIN), f"no call within {WITHIN} s"
    finally:
        litestream.kill()
        litestream.wait()
        watch.shutdown()
        watch.server_close()
