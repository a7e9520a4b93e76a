"""How many requests a litestream.yml makes: the real Litestream on an S3 server that counts.

The bucket holds from the start as many objects as after the whole retention. Hours are compressed:
what Litestream does by minutes and hours (levels, retention, snapshots) runs so many times faster
and counts for so much less, while what is written is uploaded at its own pace.
"""

from __future__ import annotations

import http.client
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from kamalstream.prove import writer
from kamalstream.prove.redirect import Replicated, on_disk, redirect, replicated
from kamalstream.prove.s3 import ScratchS3

# Long enough for what Litestream does once, when it starts.
_SETTLED = 20.0
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
# Litestream's own, where a file does not say (store.go).
_DEFAULT_LEVELS = ("30s", "5m", "1h")
_DEFAULT = "24h"
_L0_RETENTION = "5m"

#: A change that was uploaded, and all else.
UPLOAD = ("PUT", "0000")


class _Counting(ThreadingHTTPServer):
    """Passes requests on to an S3 server and counts them by kind and level."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.behind = urlsplit(behind).netloc
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        self.seen: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """Pass over connections of a Litestream that was killed."""

    def count(self, method: str, path: str) -> None:
        url = urlsplit(path)
        query = parse_qs(url.query, keep_blank_values=True)
        listing = method == "GET" and "list-type" in query
        kind = "LIST" if listing else "DELETE" if "delete" in query else method
        level = re.search(r"/(000[0-9])/", query["prefix"][0] if listing else unquote(url.path))
        with self._lock:
            self.seen[kind, level[1] if level else ""] += 1


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Counting

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.count(self.command, self.path)
        behind = http.client.HTTPConnection(self.server.behind, timeout=60)
        behind.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            behind.putheader(name, value)
        behind.endheaders(body)
        answer = behind.getresponse()
        content = answer.read()
        behind.close()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def _counting(server: ScratchS3) -> Iterator[_Counting]:
    counting = _Counting(server.endpoint)
    thread = threading.Thread(target=counting.serve_forever)
    thread.start()
    try:
        yield counting
    finally:
        counting.shutdown()
        thread.join()
        counting.server_close()


def a_minute(
    litestream: Path,
    text: str,
    load: Mapping[str, float],
    server: ScratchS3,
    folder: Path,
    *,
    seconds: float,
    faster: float = 1,
) -> dict[tuple[str, str], float]:
    """Return the requests a minute of the litestream.yml `text`: (kind, level) → how many.

    `load` says how often a second each database (by its path in `text`) is written; `faster` how
    much the hours are compressed.
    """
    folder.mkdir()
    disk, config = folder / "disk", folder / "litestream.yml"
    for entry in replicated(text):
        server.create_bucket(entry.bucket)
        for level, count in _after_the_retention(text, entry, load[entry.path]).items():
            _fill(server, f"{entry.bucket}/{entry.key}/{level}", count)
        Path(on_disk(disk, entry.path)).parent.mkdir(parents=True, exist_ok=True)
        writer.create(on_disk(disk, entry.path), "load")
    stop = threading.Event()
    writing = [
        threading.Thread(target=_write, args=(on_disk(disk, path), often, stop))
        for path, often in load.items()
        if often and path in {entry.path for entry in replicated(text)}
    ]
    with _counting(server) as counting, (folder / "log").open("wb") as log:
        keys = server.access_key, server.secret_key
        config.write_text(redirect(_faster(text, faster), disk, counting.endpoint, *keys))
        process = subprocess.Popen(
            [litestream, "replicate", "-config", config],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=server.environment(),
        )
        try:
            for thread in writing:
                thread.start()
            time.sleep(_SETTLED)
            before = counting.seen.copy()
            time.sleep(seconds)
            seen = counting.seen - before
        finally:
            stop.set()
            process.kill()
            process.wait()
            for thread in writing:
                thread.join()
    return {
        what: count * 60 / seconds / (1 if what == UPLOAD else faster)
        for what, count in seen.items()
    }


def _seconds(duration: str) -> float:
    return sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"([\d.]+)(h|m|s)", duration))


def _levels(config: Mapping[str, object]) -> list[str]:
    levels = config.get("levels")
    return [one["interval"] for one in levels] if isinstance(levels, list) else [*_DEFAULT_LEVELS]


def _faster(text: str, times: float) -> str:
    """Return the litestream.yml with all that goes by minutes and hours so many times faster."""
    config = yaml.safe_load(text)

    def shorter(duration: str) -> str:
        return f"{_seconds(duration) / times:g}s"

    snapshot = config.get("snapshot", {})
    slow = {
        "levels": [{"interval": shorter(interval)} for interval in _levels(config)],
        "l0-retention": shorter(config.get("l0-retention", _L0_RETENTION)),
        "l0-retention-check-interval": shorter(config.get("l0-retention-check-interval", "15s")),
        # What is there must stay for the whole run.
        "snapshot": {
            "interval": shorter(snapshot.get("interval", _DEFAULT)),
            "retention": snapshot.get("retention", _DEFAULT),
        },
    }
    return yaml.safe_dump({**config, **slow})


def _after_the_retention(text: str, entry: Replicated, often: float) -> dict[str, int]:
    """Return how many objects each level of a database in use holds."""
    config = yaml.safe_load(text)
    if not often:
        return {}
    kept = _seconds(config.get("snapshot", {}).get("retention", _DEFAULT))
    levels = enumerate(_levels(config), 1)
    uploads = min(often, 1 / (entry.loss_bound - 1)) * _seconds(
        config.get("l0-retention", _L0_RETENTION)
    )
    merged = {f"{level:04}": int(kept / _seconds(interval)) for level, interval in levels}
    return {"0000": int(uploads), **merged}


def _fill(server: ScratchS3, folder: str, count: int) -> None:
    """Put `count` objects into a folder that Litestream lists, and passes over by their names."""
    host = urlsplit(server.filer).netloc

    def put(numbers: range) -> None:
        connection = http.client.HTTPConnection(host, timeout=60)
        for number in numbers:
            connection.request("PUT", f"/buckets/{folder}/.filled-{number:08}", b"-")
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 400:
                raise OSError(f"{folder}: HTTP {answer.status}")
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, (range(lane, count, 4) for lane in range(4))))


def _write(database: str, often: float, stop: threading.Event) -> None:
    connection = writer.connect(database)
    due = time.monotonic()
    while not stop.wait(max(0.0, due - time.monotonic())):
        writer.write(connection, "load", 0)
        due += 1 / often
    connection.close()
