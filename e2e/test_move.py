"""`kamalstream move`, with two servers that have nothing in common but the bucket."""

from __future__ import annotations

import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e import app
from e2e.engine import Engine
from e2e.images import KAMAL_PROXY
from e2e.machines import ADDRESS, Server
from e2e.stage import Stage
from e2e.steps import Rows, write, writes
from kamalstream.facts import VERSIONS

NEW = "127.0.0.2"
# Kamal's registry, which is the developer's, and happens to run in the engine of the first server.
REGISTRY = 5555


@dataclass(frozen=True)
class Street:
    """The two houses."""

    stage: Stage
    new: Engine
    site: app.Site

    def move(self, to: str, *more: str, until: str = "") -> str:
        """Run the command, which has to succeed, or is killed once it says `until`."""
        program = Path(sys.executable).parent / "kamalstream"
        said = ""
        with subprocess.Popen(
            [program, "move", to, "--yes", *more],
            cwd=self.stage.folder,
            env={**self.stage.developer.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout
            for line in process.stdout:
                said += line
                if until and until in line:
                    # Kamal and ssh too, as when the machine goes down.
                    os.killpg(process.pid, signal.SIGKILL)
                    return said
        assert (process.returncode, until) == (0, ""), said[-4000:]
        return said


@contextmanager
def street(stage: Stage) -> Iterator[Street]:
    """Have an empty second server, that the developer's ssh leads to."""
    engine, developer = stage.engine, stage.developer
    config = developer.home / ".ssh/config"
    before = config.read_text()
    ssh = developer.home / "bin/ssh"
    relay = socketserver.ThreadingTCPServer(("127.0.0.1", REGISTRY), _relay(engine))
    threading.Thread(target=relay.serve_forever, daemon=True).start()
    try:
        with Engine() as new:
            images = [KAMAL_PROXY, f"litestream/litestream:{VERSIONS['litestream']['0.5']}"]
            images.append(f"rclone/rclone:{VERSIONS['rclone']}")
            for image in images:
                _copy(engine, new, image)
                new.offer(image)
            # Kamal opens the way to the registry on each server: in a network of its own.
            alone = "unshare --net sh -c 'ip link set lo up; exec \"$@\"' sshd"
            old = Server.__new__(Server)
            old.__dict__ = {**stage.server.__dict__, "_network": (alone,)}
            there = Server(new, NEW, tuple(new.network()))
            config.write_text(old.ssh_config() + there.ssh_config())
            # OpenSSH looks for it in the home that /etc/passwd has.
            known = f"-o UserKnownHostsFile={developer.home}/.ssh/known_of_move"
            ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {config} {known} "$@"\n')
            ssh.chmod(0o755)
            yield Street(stage, new, app.Site(f"127.0.0.1:{new.publish(443)}"))
    finally:
        relay.shutdown()
        relay.server_close()
        config.write_text(before)
        ssh.unlink(missing_ok=True)


def _copy(engine: Engine, new: Engine, image: str) -> None:
    file = engine.folder / "image.tar"
    engine.docker("save", "--output", file, image)
    new.docker("load", "--input", file)
    file.unlink()


def _relay(engine: Engine) -> type[socketserver.BaseRequestHandler]:
    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            there = ["busybox", "nc", "127.0.0.1", str(REGISTRY)]
            ends = {"stdin": self.request.fileno(), "stdout": self.request.fileno()}
            subprocess.run([*engine.network(), *there], check=False, **ends)

    return Relay


def _all(before: Rows, *more: list[str]) -> Rows:
    added = [body for bodies in more for body in bodies]
    return {name: rows + added for name, rows in before.items()}


def test_moved_by_one_command_killed_undone_and_moved_back(
    deployed: Stage, drill: Callable[..., None]
) -> None:
    write(deployed)
    before = deployed.site.rows()
    with street(deployed) as both:
        with writes(deployed) as confirmed:
            both.move(NEW, until="→ Closing")
        both.move(NEW, "--undo")
        drill(
            "`kamalstream move` killed with the app down, and `--undo`",
            _all(before, confirmed),
            deployed.site.rows(),
            "the app runs where it was, and its backups go on",
        )
        before = deployed.site.rows()
        with writes(deployed) as confirmed:
            both.move(NEW, until="→ Restoring on 127.0.0.2\n")
        both.move(NEW, until="→ Starting the app")
        said = both.move(NEW)
        assert "all there" in said
        assert f'"{NEW}"' in (deployed.folder / "config/deploy.yml").read_text()
        assert f'server_ip: "{NEW}"' in (deployed.folder / ".copier-answers.yml").read_text()
        drill(
            "`kamalstream move` to a new server, killed in the restore and at the start, run again",
            _all(before, confirmed),
            both.site.rows(),
            "no row lost; every table compared before the app started there",
        )
        _stays_out(deployed)
        again = [f"on the new server {number}" for number in range(20)]
        before = both.site.rows()
        assert all(map(both.site.write, again))
        with_both = _all(before, again)
        said = both.move(ADDRESS)
        took = next(line for line in said.splitlines() if "It was down for" in line)
        drill(
            "`kamalstream move` back to the server it came from",
            with_both,
            deployed.site.rows(),
            f"what the new one took came along; down for {took.rpartition(' for ')[2]}",
        )
        write(deployed)


def _stays_out(stage: Stage) -> None:
    """Whatever somebody starts on the old server does not come up."""
    docker = stage.engine.docker
    names = docker("ps", "--all", "--format", "{{.Names}}").split()
    [sidecar] = [name for name in names if name == f"{app.NAME}-litestream"]
    [web] = [name for name in names if name.startswith(f"{app.NAME}-web")]
    assert web not in docker("ps", "--format", "{{.Names}}").split()
    docker("start", sidecar, web)
    ends = time.monotonic() + 60
    while f"was moved to {NEW}" not in docker("logs", sidecar):
        assert time.monotonic() < ends, docker("logs", sidecar)
        time.sleep(0.5)
    while "The app does not start" not in docker("logs", web):
        assert time.monotonic() < ends, docker("logs", web)
        time.sleep(0.5)
    docker("stop", sidecar, web)
