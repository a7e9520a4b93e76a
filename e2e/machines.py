"""The two machines of a deployment: the server that ssh leads to, and the developer's."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from e2e import debian
from e2e.engine import BUILDX, PACKAGES, Engine
from kamalstream import programs

ADDRESS = "127.0.0.1"


class Server:
    """What is reached by ssh: a home folder, and an engine that its sessions find in DOCKER_HOST.

    The developer's ssh configuration starts `sshd -i`, the real one over a pipe, for each
    connection: no port is taken, and config/deploy.yml needs no `ssh:` section.
    """

    def __init__(
        self, engine: Engine, address: str = ADDRESS, network: tuple[str, ...] = ()
    ) -> None:
        """Lay out the keys, the configuration of sshd and an empty home.

        `network` is what has sshd run in another network than this machine's.
        """
        self.engine, self.address, self._network = engine, address, network
        self.folder = engine.folder / "server"
        self.home = self.folder / "home"
        self.home.mkdir(parents=True)
        self.key = self.folder / "developer_key"
        self._config = self.folder / "sshd_config"
        host_key = self.folder / "host_key"
        for key in (self.key, host_key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        # sshd refuses to start without it (privilege separation; path compiled in by Debian).
        Path("/run/sshd").mkdir(exist_ok=True)
        self._config.write_text(
            f"HostKey {host_key}\n"
            f"AuthorizedKeysFile {self.key}.pub\n"
            "PermitRootLogin prohibit-password\n"
            "PasswordAuthentication no\n"
            "StrictModes no\n"
            f"SetEnv DOCKER_HOST={engine.host} HOME={self.home} PATH={os.environ['PATH']}\n"
            f'ForceCommand cd {self.home} && exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n'
        )

    def ssh_config(self) -> str:
        """Return the section of ~/.ssh/config that leads to this server."""
        log = self.folder / "sshd.log"
        sshd = " ".join([*self._network, shutil.which("sshd") or "sshd"])
        return (
            f"Host {self.address}\n"
            f"  User {getpass.getuser()}\n"
            f"  IdentityFile {self.key}\n"
            "  IdentitiesOnly yes\n"
            f"  ProxyCommand {sshd} -i -f {self._config} -E {log}\n"
        )

    def lose(self) -> None:
        """Make it an empty server: no container, no volume, no file. The bucket is elsewhere."""
        docker = self.engine.docker
        # Kamal's registry is the developer's; it only happens to run in the same engine.
        containers = docker("ps", "--all", "--format", "{{.Names}}").split()
        mine = [name for name in containers if name != "kamal-docker-registry"]
        if mine:
            docker("rm", "--force", "--volumes", *mine)
        kept = docker("inspect", "kamal-docker-registry", check=False)
        volumes = [name for name in docker("volume", "ls", "--quiet").split() if name not in kept]
        if volumes:
            docker("volume", "rm", *volumes)
        docker("network", "rm", "kamal", check=False)
        shutil.rmtree(self.home)
        self.home.mkdir()


@dataclass(frozen=True)
class Ran:
    """A finished command: exit code, and stdout and stderr as one text."""

    code: int
    text: str


class Developer:
    """The machine Kamal runs on: a home of its own, and the engine for building images."""

    def __init__(self, server: Server) -> None:
        """Lay out the home: ssh configuration and docker's buildx plugin."""
        self.home = Path(tempfile.mkdtemp(prefix="developer-", dir=server.engine.folder))
        (self.home / ".ssh").mkdir(mode=0o700)
        (self.home / ".ssh" / "config").write_text(server.ssh_config())
        plugin = self.home / ".docker" / "cli-plugins" / "docker-buildx"
        plugin.parent.mkdir(parents=True)
        source = (Path(__file__).parent / "docker_buildx.py").read_text()
        plugin.write_text(source.replace("/usr/bin/env python3", sys.executable, 1))
        plugin.chmod(0o755)
        (self.home / ".gitconfig").write_text(
            "[user]\nname = Dev\nemail = dev@example.com\n[init]\ndefaultBranch = main\n"
        )
        (self.home / "tmp").mkdir()
        # Alone, because bin/restore would take a Litestream that is beside them.
        (self.home / "bin").mkdir()
        for name in ("kamal", "copier"):
            (self.home / "bin" / name).symlink_to(programs.find(name) or name)
        # For the plugin.
        (self.home / "bin" / "buildx").symlink_to(debian.unpacked(debian.tree(PACKAGES)) / BUILDX)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "LITESTREAM_", "RAILS_", "GIT_", "DOCKER_"))
        }
        self.environment = {
            **kept,
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "DOCKER_HOST": server.engine.host,
            # .kamal/secrets calls kamal by name.
            "PATH": f"{self.home}/bin:{os.environ['PATH']}",
        }

    def run(self, app: Path, *command: str | Path, **more: str) -> Ran:
        """Run a command in the app's folder, with `more` in its environment.

        Raises:
            subprocess.TimeoutExpired: it takes longer than a quarter of an hour.
        """
        done = subprocess.run(
            command,
            cwd=app,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        return Ran(done.returncode, done.stdout)
