"""The steps of a move. Each looks at what is there, so that all of them may be run again.

What is known of a move is on the servers: Kamal's lock on the one that is left says where to, from
before the app is stopped there until somebody comes back; the fence on its volume says that all is
uploaded; a container of the app on the new one, that what came there was compared.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

from kamalstream import git, programs
from kamalstream.check.deployed import SIDECAR
from kamalstream.facts import UPLOADS
from kamalstream.move import scripts
from kamalstream.move.server import LOCKED, Failed, Server, Volume

#: Seconds for what is not measured: stopping, and Kamal's own steps.
BESIDES = 25.0
#: Seconds between two looks at files that come back.
PAUSE = 5.0
#: Seconds without any, after which they are not waited for.
STUCK = 600.0


@dataclass(frozen=True)
class Rehearsed:
    """What the restore on the new server took before anything was stopped."""

    seconds: float
    size: int


@dataclass(frozen=True)
class Move:
    """A move of the app in `root` from `source` to `target`, of the `version` in `image`.

    `configs` has config/deploy.yml for each of the two by host; `say` is told what is done.
    """

    root: Path
    source: Server
    target: Server
    configs: dict[str, Path]
    image: str
    version: str
    say: Callable[[str], None]

    # Before anything is stopped

    def prepare(self) -> Rehearsed:
        """Have the new server ready for the app, and restore there for trial.

        Raises Failed: then the app runs where it was.
        """
        self.say(f"Preparing {self.target.host}: Docker, the image, the proxy")
        self.unlock(self.target)
        self._kamal(self.target, "server", "bootstrap")
        self._fetch_image()
        self._kamal(self.target, "proxy", "boot")
        for name in self.target.accessories:
            pulled = self.target.one.deployment.accessories[name].image or ""
            self.target.run('docker pull --quiet "$1" || :', pulled)
        there = self.target.volume(self.image)
        if left := sorted({*there.sizes} - {*there.fenced}):
            raise Failed(f"{self.target.host} has data of this app already: {', '.join(left)}")
        self.say(f"Restoring on {self.target.host} for trial; the app runs on")
        began = time.monotonic()
        files = [file for file in self.source.files if file in self.at_source.sizes]
        said = self.target.in_app(self.image, scripts.REHEARSE, *files, keys=self._keys)
        size = sum(int(line.split()[1]) for line in said.splitlines() if line.startswith("bytes "))
        return Rehearsed(time.monotonic() - began, size)

    def _fetch_image(self) -> None:
        try:
            self._kamal(self.target, "build", "pull", "--version", self.version)
        except Failed:
            if git.git(self.root, "rev-parse", "HEAD").strip() != self.version:
                raise Failed(
                    f"the image of {self.version}, which runs on {self.source.host}, is in no "
                    f"registry that {self.target.host} reaches, and is not your last commit.\n"
                    "Deploy first (kamal deploy), or check out that commit"
                ) from None
            self.say("No registry has the image: building it")
            self._kamal(self.target, "build", "deliver", "--version", self.version)

    def lock(self) -> None:
        """Let no deploy begin where the app is left; from here on it says that there is a move."""
        message = LOCKED.format(self.target.host, self.version)
        self._kamal(self.source, "lock", "acquire", "--message", message)
        now = self.source.seen()
        if not now.containers or now.containers[0].version != self.version:
            self.unlock(self.source)
            raise Failed(f"a deploy to {self.source.host} came in between: run this again")

    # While the app is down

    def transfer(self) -> int:
        """Stop the app, and have its databases on the new server as they are; return their rows.

        Raises Failed: then `put_back` has the app where it was.
        """
        source, target = self.source, self.target
        if not self.at_source.fenced:
            self.say(f"Stopping the app on {source.host}, and uploading its last change")
            source.run(scripts.STOP, *self._of_app, source.proxied)
            if others := source.seen().others:
                names = ", ".join(others)
                raise Failed(f"{names} on {source.host} has the databases open: end it")
            self._upload()
            # Before the fence: from then on, an app on the new server was started by this move.
            self.clear_target()
        before = source.in_app(self.image, scripts.ROWS, *source.files)
        self.say(f"Closing {source.host} to litestream: it cannot write to the bucket any more")
        source.in_app(self.image, scripts.FENCE, target.host, source.uploads, *source.files)
        self.say(f"Restoring on {target.host}")
        boot = "exec bin/boot-restore true"
        target.in_app(self.image, boot, keys=self._keys)
        after = target.in_app(self.image, scripts.ROWS, *target.files)
        if missing := _differences(before, after):
            raise Failed("what was restored is not what was there:\n" + "\n".join(missing[:8]))
        counts = [int(line.rpartition("\t")[2]) for line in before.splitlines()]
        self.say(f"Compared: {sum(counts):,} rows in {len(counts)} tables, all there")
        return sum(counts)

    def _upload(self) -> None:
        source, series = self.source, self.source.one.app.series
        files = [*self.at_source.sizes]
        source.run(scripts.UPLOAD, source.accessories[SIDECAR], series, *files)
        if series == "0.5":
            said = source.in_app(self.image, scripts.POSITIONS, *files, keys=self._keys)
            for line in said.splitlines():
                here, there, file = line.split(" ", 2)
                if here != there:
                    raise Failed(f"{file} is at change {here}, its backup at {there}")
        if source.uploads:
            self.say("Uploading the last files")
            given = (source.accessories[UPLOADS], source.keys(UPLOADS), source.one.user)
            source.run(scripts.UPLOAD_FILES, *given, source.uploads)

    @property
    def started(self) -> bool:
        """Whether the app was started on the new server, so that it may have been written to."""
        return bool(self.at_source.fenced and self.target.seen().containers)

    def clear_target(self) -> None:
        """Have the new server without the deployment; databases that it had are kept there."""
        there, target = self.target.volume(self.image), self.target
        if there.sizes or there.fenced:
            stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
            target.in_app(self.image, scripts.CLEAR, stamp, target.uploads, *target.files)
        # Kamal boots no accessory that has a container.
        old = [*target.accessories.values(), *(one.id for one in target.seen().containers)]
        target.run('docker rm --force "$@" >/dev/null 2>&1 || :', *old)

    def start(self) -> None:
        """Start accessories and app on the new server, as `kamal setup` does."""
        self.say(f"Starting the app on {self.target.host}")
        self.unlock(self.target)
        # Kamal boots none that has a container, though it was killed before it started that.
        boot = 'for one; do docker start "$one" >/dev/null 2>&1 || :; done'
        self.target.run(boot, *self.target.accessories.values())
        # Where the app was moved away before, kamal-proxy still has the maintenance page.
        resume = 'docker exec kamal-proxy kamal-proxy resume "$1" >/dev/null 2>&1 || :'
        self.target.run(resume, self.target.proxied)
        # Nothing comes after it: an app that runs says that this is done.
        self._kamal(self.target, "setup", "--skip-push", "--version", self.version)

    # Afterwards

    def files(self) -> tuple[int, int]:
        """Wait until all uploaded files are on the new server; return how many, and their bytes.

        Raises Failed where some are nowhere.
        """
        known = 'cat "$1/.uploads-moved/known" 2>/dev/null || :'
        wanted = self.source.in_app(self.image, known, self.source.uploads)
        sidecar, said, since = self.target.accessories[UPLOADS], "", time.monotonic()
        while "are here and in the bucket" not in said:
            now = self.target.run('docker exec "$1" copy-uploads status 2>&1 || :', sidecar)
            now = now.strip().partition("\n")[0]
            if now != said:
                self.say(f"Uploaded files: {now}")
                said, since = now, time.monotonic()
            elif time.monotonic() - since > STUCK:
                raise Failed(f"no uploaded file came for ten minutes: {said}")
            else:
                time.sleep(PAUSE)
        files, size, lacking = self.target.counted(self.image, wanted)
        if lacking:
            raise Failed(f"{lacking} of {files} uploaded files did not come to {self.target.host}")
        return files, size

    # The way back, while nothing was started on the new server

    def put_back(self) -> None:
        """Have the app run where it was, and go on with its backups."""
        source = self.source
        self.say(f"Putting back: the app runs on {source.host}")
        try:
            self.clear_target()
        except Failed as failure:
            self.say(f"Left on {self.target.host}: {failure}")
        lift = (scripts.LIFT, source.uploads, *source.files)
        source.in_app(self.image, *lift, keys=self._keys)
        version = [one for one in source.seen().containers if one.version == self.version]
        first = sorted(version, key=lambda one: one.role != source.one.deployment.primary_role_name)
        role = source.one.deployment.primary_role
        port = str((role.proxy and role.proxy.app_port if role else None) or 80)
        accessories = source.accessories.values()
        ids = [one.id for one in first]
        source.run(scripts.START, source.proxied, port, *accessories, "--", *ids)
        self.unlock(source)

    def unlock(self, server: Server) -> None:
        """Take Kamal's lock away that a move, or a Kamal that was killed in it, has left."""
        server.run('rm -rf "$1"', f".kamal/lock-{server.name}")

    # Parts

    @cached_property
    def at_source(self) -> Volume:
        """What was on the volume of the server that is left when this began."""
        return self.source.volume(self.image)

    @cached_property
    def _keys(self) -> str:
        """The keys of the bucket, which go from one server to the other by a pipe."""
        return self.source.run('cat "$1"', self.source.keys(SIDECAR))

    @property
    def _of_app(self) -> tuple[str, str]:
        return self.source.one.deployment.service or "", self.source.one.deployment.name or ""

    def _kamal(self, server: Server, *words: str) -> None:
        name = server.one.deployment.name
        more = ["--config-file", str(self.configs[server.host]), *(("-d", name) if name else ())]
        kamal(self.root, [*words, *more])


def kamal(root: Path, words: Sequence[str]) -> None:
    """Run Kamal in the app at `root`; raise Failed with the end of what it said."""
    program = programs.find("kamal")
    if program is None:
        raise Failed("kamal is not installed here: gem install kamal")
    done = subprocess.run(
        [program, *words],
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = "\n".join(done.stdout.strip().splitlines()[-12:])
        raise Failed(f"kamal {' '.join(words[:2])}:\n{said}")


def _differences(before: str, after: str) -> list[str]:
    """Return the tables whose rows are not as many; each line is FILE, table and count."""

    def counts(text: str) -> dict[str, str]:
        return {
            key: count for key, _, count in (line.rpartition("\t") for line in text.splitlines())
        }

    old, new = counts(before), counts(after)
    return [
        f"{key.replace(chr(9), ' ')}: {old.get(key, 'none')}, and {new.get(key, 'none')} restored"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
