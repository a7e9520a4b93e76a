"""A Docker engine of our own, in namespaces of our own: it and another engine never meet."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from e2e import debian

# Where slirp4netns puts this machine's loopback, seen from the engine and from its containers
# (slirp4netns(1), "Filtering connections").
HOST_LOOPBACK = "10.0.2.2"
# The engine asks this registry for what would come from Docker Hub.
HUB = "127.0.0.1:5001"
# Docker 26 with BuildKit, whatever this machine's own Debian has. runc needs a root that is a mount
# point, with the cgroups and devices of this machine.
PACKAGES = ("docker-buildx", "docker.io", "iptables")
BUILDX = "usr/libexec/docker/cli-plugins/docker-buildx"
_ENTER = """\
set -e
ip link set lo up
mount --make-rprivate /
mkdir {folder}/upper {folder}/work {folder}/root
mount -t overlay -o lowerdir={tree},upperdir={folder}/upper,workdir={folder}/work none {folder}/root
cd {folder}/root
mkdir -p .{folder} old
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount --bind {folder} .{folder}
cp --remove-destination /etc/resolv.conf etc/resolv.conf
pivot_root . old
cd /
umount --lazy old
"""
_READY_WITHIN = 60.0


class Engine:
    """A context manager: dockerd with network, mounts and processes apart from this machine's.

    Its containers reach the network through slirp4netns (as a rootless Docker's do), and this
    machine's loopback at HOST_LOOPBACK. Killing its first process ends every container and mount.

    Attributes:
        host: what DOCKER_HOST has to be.
    """

    def __init__(self) -> None:
        """Choose a folder; nothing runs yet."""
        self.folder = Path(tempfile.mkdtemp(prefix="kamalstream-engine-"))
        self.host = f"unix://{self.folder}/docker.sock"
        self._cgroup = self.folder.name
        self._first: Path | None = None
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Engine:
        """Start and wait until it answers.

        Raises:
            RuntimeError: with the end of dockerd's log, when it does not come up.
        """
        try:
            self._start()
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
        """Kill everything and remove every trace."""
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for _ in _until_ready():
            # Once the first process of a namespace is gone, all of them are.
            if not (self._first and self._first.exists()):
                break
        for hierarchy in Path("/sys/fs/cgroup").glob(f"**/{self._cgroup}"):
            for folder, _, _ in os.walk(hierarchy, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
        shutil.rmtree(self.folder, ignore_errors=True)

    def docker(self, *arguments: str | Path, check: bool = True) -> str:
        """Run the docker client against this engine and return what it printed, stripped.

        Raises:
            RuntimeError: it failed, and `check` is set.
        """
        result = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check and result.returncode:
            command = " ".join(map(str, arguments))
            raise RuntimeError(f"docker {command}\n{result.stdout[-3000:]}")
        return result.stdout.strip()

    def offer(self, image: str) -> None:
        """Have the engine find `image` when it is told to pull it from Docker Hub."""
        self.docker("tag", image, f"{HUB}/{image}")
        self.docker("push", "--quiet", f"{HUB}/{image}")

    def network(self) -> list[str]:
        """Return how a command begins that reaches what the engine's containers reach."""
        return ["nsenter", f"--net={self._first}/ns/net"]

    def publish(self, port: int) -> int:
        """Let the engine's TCP port be reached at 127.0.0.1; return the port there."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            chosen = int(free.getsockname()[1])
        arguments = {
            "proto": "tcp",
            "host_addr": "127.0.0.1",
            "host_port": chosen,
            "guest_port": port,
        }
        with socket.socket(socket.AF_UNIX) as api:
            api.connect(str(self.folder / "slirp.sock"))
            api.sendall(json.dumps({"execute": "add_hostfwd", "arguments": arguments}).encode())
            api.shutdown(socket.SHUT_WR)
            answer = json.loads(api.recv(4096))
        if "error" in answer:
            raise RuntimeError(f"slirp4netns: {answer['error']}")
        return chosen

    def _start(self) -> None:
        mirror = self.folder / "mirror.yml"
        mirror.write_text(
            "version: 0.1\n"
            f"storage: {{filesystem: {{rootdirectory: {self.folder}/mirror}}}}\n"
            f"http: {{addr: '{HUB}'}}\n"
        )
        script = (
            _ENTER.format(folder=self.folder, tree=debian.unpacked(debian.tree(PACKAGES)))
            + f"exec dockerd --host {self.host} --data-root {self.folder}/data"
            f" --exec-root {self.folder}/exec --pidfile {self.folder}/pid"
            f" --cgroup-parent /{self._cgroup} --registry-mirror http://{HUB}"
        )
        spaces = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
        engine = self._spawn(["unshare", *spaces, "sh", "-c", script], "engine.log")
        children = Path(f"/proc/{engine.pid}/task/{engine.pid}/children")
        for _ in _until_ready():
            if engine.poll() is not None:
                break
            if first := children.read_text().strip():
                self._first = Path("/proc", first)
                api = f"--api-socket={self.folder}/slirp.sock"
                slirp = ["slirp4netns", "--configure", "--mtu=1500", api, first, "tap0"]
                self._spawn(slirp, "slirp.log")
                self._spawn([*self.network(), "docker-registry", "serve", mirror], "mirror.log")
                break
        for _ in _until_ready():
            if engine.poll() is not None:
                break
            if "Server Version" in self.docker("info", check=False):
                return
        log = (self.folder / "engine.log").read_text(errors="replace")
        raise RuntimeError(f"dockerd did not come up:\n{log[-2000:]}")

    def _spawn(self, command: Sequence[str | Path], log: str) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("wb") as output:
            process = subprocess.Popen(
                # However this process ends, nothing stays behind.
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process


def _until_ready() -> Iterator[None]:
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        yield
        time.sleep(0.1)
