"""One server of a move: what there is of the deployment, and what is run there, over ssh."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kamalstream.check import ssh
from kamalstream.check.deployed import SIDECAR, Deployed
from kamalstream.facts import UPLOADS
from kamalstream.move import scripts

#: What the lock of Kamal says on a server that is left: where to, and of which version.
LOCKED = "kamalstream move to {} of {}"
_LOCKED = re.compile(r"kamalstream move to (\S+) of (\S+)")


class Failed(Exception):
    """A step that did not succeed; its text says which, and with what words."""


@dataclass(frozen=True)
class Container:
    """A container of the app; `finished` is when it ended, as Docker writes it."""

    finished: str
    state: str
    role: str
    image: str
    version: str
    id: str

    @property
    def running(self) -> bool:
        """Whether it runs, or Docker has it run again."""
        return self.state in ("running", "restarting")


@dataclass(frozen=True)
class Seen:
    """What there is of the deployment on a server.

    `lock` is what Kamal's lock says, `boot` how many seconds the last start of the app took.
    `containers` of the app begin with what runs, then what ended last. `accessories` maps those of
    ours that are there to their state; `others` are strangers that have one of the volumes open.
    """

    lock: str = ""
    boot: float | None = None
    containers: tuple[Container, ...] = ()
    accessories: dict[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    @property
    def leaving(self) -> tuple[str, str] | None:
        """Where the deployment goes, or went, and with which version; None where it stays."""
        found = _LOCKED.search(self.lock)
        return (found[1], found[2]) if found else None


@dataclass(frozen=True)
class Volume:
    """Databases, path → bytes, and those that are fenced; how many `uploads` there are."""

    sizes: dict[str, int]
    fenced: tuple[str, ...]
    uploads: int = 0


@dataclass(frozen=True)
class Server:
    """A server that `one` is on, or is to be on."""

    host: str
    one: Deployed

    @property
    def files(self) -> list[str]:
        """The databases that are backed up, as containers see them."""
        return [self.one.app.in_container(path) for path in self.one.backed_up.values()]

    @property
    def accessories(self) -> dict[str, str]:
        """Ours: name → container."""
        there = self.one.deployment.accessories
        ours = [SIDECAR, *([UPLOADS] if self.one.app.copies_uploads else [])]
        return {name: there[name].service_name for name in ours if name in there}

    @property
    def uploads(self) -> str:
        """The folder of uploaded files that are copied, empty where there is none."""
        return self.uploads_root if UPLOADS in self.accessories else ""

    @property
    def uploads_root(self) -> str:
        """The folder of uploaded files on a volume, empty where there is none."""
        service, answers = self.one.app.inspected.uploads, self.one.app.answers
        there = service.root if service and service.on_disk else None
        answered = answers.get("uploads_root") if self.one.app.copies_uploads else None
        return str(there or answered or "")

    @property
    def name(self) -> str:
        """What Kamal calls the deployment in its files on the server (Configuration#service…)."""
        return "-".join(filter(None, [self.one.deployment.service, self.one.deployment.name]))

    @property
    def proxied(self) -> str:
        """What kamal-proxy calls it (Kamal::Configuration::Role#container_prefix)."""
        deployment = self.one.deployment
        parts = [deployment.service, deployment.primary_role_name, deployment.name]
        return "-".join(filter(None, parts))

    def keys(self, accessory: str) -> str:
        """Return the file with the secrets of an accessory (Kamal::Configuration#env_directory)."""
        return f".kamal/apps/{self.name}/env/accessories/{accessory}.env"

    def run(self, script: str, *arguments: str, stdin: str = "") -> str:
        """Run a script of `scripts` and return what it prints; raise Failed with what it says."""
        command = shlex.join(["sh", "-c", script, "move", *arguments])
        try:
            done = ssh.run(self.host, self.one.deployment.ssh, command, stdin, None)
        except (ssh.NoAnswerError, FileNotFoundError) as failure:
            raise Failed(f"ssh does not get in to {self.host}: {failure}") from None
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()
            raise Failed(f"on {self.host}: " + "\n".join(said[-12:]))
        return done.stdout

    def in_app(self, image: str, script: str, *arguments: str, keys: str = "") -> str:
        """Run a script in a container of the app's, with its volumes; `keys` are for its bucket."""
        given = [*self._container(), "--env-file", "/dev/stdin", image, "-c", script, "move"]
        return self.run('exec "$@"', *given, *arguments, stdin=keys)

    def counted(self, image: str, wanted: str) -> tuple[int, int, int]:
        """Return how many files `wanted` (lines of SIZE PATH) has, and their bytes.

        The third number is of those that neither came nor were deleted here.
        """
        given = [*self._container("--interactive"), image, "-c", scripts.FILES, "move"]
        files, size, lacking = self.run('exec "$@"', *given, self.uploads, stdin=wanted).split()
        return int(files), int(size), int(lacking)

    def _container(self, *options: str) -> list[str]:
        config = ["--env", f"LITESTREAM_CONFIG={self.one.litestream}"]
        if self.one.deployment.name:
            config += ["--env", f"KAMAL_DESTINATION={self.one.deployment.name}"]
        volumes = [word for mount in self._mounts() for word in ("--volume", mount)]
        run = ["docker", "run", "--rm", *options, "--user", self.one.user, *volumes, *config]
        return [*run, "--entrypoint", "sh"]

    def _mounts(self) -> list[str]:
        places = [*self.files, *([self.uploads_root] if self.uploads_root else [])]
        found = [self.one.deployment.mount_of(place) for place in places]
        held = (f"{mount.source}:{mount.target}" for mount in found if mount and mount.source)
        return list(dict.fromkeys(held))

    def seen(self) -> Seen:
        """Look at the server."""
        sources = [mount.partition(":")[0] for mount in self._mounts()]
        lock, audit = f".kamal/lock-{self.name}", f".kamal/{self.name}-audit.log"
        of_app = (self.one.deployment.service or "", self.one.deployment.name or "")
        ours = self.accessories.values()
        said = self.run(scripts.LOOK, lock, audit, *of_app, *sources, "--", *ours)
        found: dict[str, list[str]] = {}
        for line in said.splitlines():
            word, _, rest = line.partition(" ")
            found.setdefault(word, []).append(rest)
        containers = [Container(*line.split()[:6]) for line in found.get("app", ())]
        states = {line.split()[1]: line.split()[0] for line in found.get("accessory", ())}
        known = {*ours, of_app[0]}
        holders = [line.split(" ") for line in found.get("open", ())]
        return Seen(
            " ".join(found.get("lock", ())),
            _boot(found.get("boot", ())),
            tuple(sorted(containers, key=lambda each: (each.running, each.finished), reverse=True)),
            states,
            tuple(sorted({each[0] for each in holders if not known & {*each}})),
        )

    def volume(self, image: str) -> Volume:
        """Look at the databases; the app's `image` is there."""
        said = self.in_app(image, scripts.VOLUME, self.uploads_root, *self.files)
        sizes, fenced, uploads = {}, [], 0
        for line in said.splitlines():
            word, value, *path = line.split(" ", 2)
            if word == "file":
                sizes[path[0]] = int(value)
            elif word == "fenced":
                fenced.append(path[0])
            elif word == "uploads":
                uploads = int(value)
        return Volume(sizes, tuple(fenced), uploads)


def _boot(lines: Sequence[str]) -> float | None:
    """Return the seconds between two lines of Kamal's audit: the start, and the tag after it."""
    stamped = [one for one in lines if re.match(r"\[\d{4}-\d\d-\d\dT", one)]
    times = [datetime.fromisoformat(one[1:20]) for one in stamped]
    if len(times) != 2 or "Booted" not in lines[0] or "Tagging" not in lines[1]:
        return None
    return (times[1] - times[0]).total_seconds()
