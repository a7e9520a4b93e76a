"""Whether an adopted app is sound: what Kamal, its shell and Rails make of it is as it has to be.

What is not sound is a `Problem`, and it is right where the adoption or `check` says so.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from kamalstream import facts, programs
from kamalstream.check.finding import Finding
from kamalstream.inspect.kamal.secrets_file import assignments

PIN = facts.VERSIONS["litestream"]
#: Stands for a value that only the server knows.
SECRET = "«secret»"
_PARSED_BY = {
    facts.DOCKERFILE: ("hadolint", "--format", "json"),
    **dict.fromkeys((facts.ENTRYPOINT, facts.BOOT_RESTORE, facts.RESTORE), ("bash", "-n")),
    **dict.fromkeys((facts.PRODUCTION_RB, facts.READ_SECRETS), ("ruby", "-c")),
}


def variables(said: dict[str, Any]) -> dict[str, str]:
    env = said.get("env", {"clear": {}, "secret": {}})
    return {**dict.fromkeys(env["secret"], SECRET), **env["clear"]}


def mounts_of(said: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is mounted in the app's containers: sources and targets."""
    if "error" in said:
        return []
    primary = next((r for r in said["roles"] if r["name"] == said["primary_role"]), None)
    options = primary["options"] if primary else []
    pairs = pairwise(options)
    written = [*said["volumes"], *(one.strip('"') for key, one in pairs if key == "--volume")]
    return [_mount(one) for one in written]


def _mount(written: str) -> tuple[str, str]:
    source, _, rest = written.partition(":")
    return source, rest.partition(":")[0]


def mount_of(mounts: list[tuple[str, str]], path: str) -> tuple[str, str] | None:
    holding = [(source, target) for source, target in mounts if path.startswith(f"{target}/")]
    return max(holding, key=lambda one: len(one[1]), default=None)


def of_kamal(said: dict[str, Any], only: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return all of a deployment that is not ours, or of `only`, which was there before."""
    only = only or said
    raw = {key: said["raw"].get(key) for key in only["raw"] if key not in ("env", "accessories")}
    raw["volumes"] = [one for one in raw.get("volumes") or [] if one in only["volumes"]]
    raw["aliases"] = {name: said["aliases"].get(name) for name in only["aliases"]}
    for kind in ("clear", "secret"):
        raw[kind] = {name: said["env"][kind].get(name) for name in only["env"][kind]}
    others = (one for one in said["accessories"] if one["name"] not in ("litestream", "uploads"))
    raw["accessories"] = list(others)
    for key in ("hosts", "roles", "tags", "proxy", "registry", "ssh", "builder"):
        raw[f"as {key}"] = said[key]
    return raw


def differing(one: dict[str, Any], other: dict[str, Any]) -> Iterator[Any]:
    for key in one.keys() | other.keys():
        if one.get(key) != other.get(key):
            yield key, one.get(key), other.get(key)


@dataclass(frozen=True)
class Problem:
    """What is not as it has to be: findings with these ids, in these files, say it."""

    what: str
    files: tuple[str, ...]
    ids: tuple[str, ...]


@dataclass
class Adopted:
    """An app after its adoption.

    `opens` tells which databases Rails opens in a container with these variables: name → absolute
    path. `root` is where Rails lives in the image, `destinations` has None for the base.
    """

    app: Path
    root: str
    destinations: Sequence[str | None]
    opens: Callable[[Mapping[str, str]], Mapping[str, str]]
    findings: Sequence[Finding]
    answers: Mapping[str, Any]

    def says(self, problem: Problem) -> bool:
        """Whether `check` says it in a file that it is about."""
        return any(
            one.file in problem.files and one.id.startswith(problem.ids)
            for one in self.findings
            if one.level != "note"
        )

    def text(self, file: str) -> str:
        return (self.app / file).read_text("utf-8") if (self.app / file).is_file() else ""

    def problems(self, found: dict[str | None, Any]) -> Iterator[Problem]:
        """Yield what is not sound in the deployments that Kamal says it has `found`."""
        if "production" in self.destinations:
            found = {name: said for name, said in found.items() if name}
        paths: dict[str, str] = {}
        for name, said in found.items():
            for problem in (*self._sidecar(name, said), *self._keys(name, said)):
                hidden = ("deploy.erb", "yaml.invalid")
                yield Problem(f"{name}: {problem.what}", problem.files, problem.ids + hidden)
            for path in self._replica_paths(name):
                if path in paths:
                    ids = ("litestream.", "destination.")
                    yield Problem(f"{path} is {paths[path]}'s too", self._files(name), ids)
                paths[path] = str(name)
        yield from self._together(found)
        yield from self._image()

    def _files(self, name: str | None) -> tuple[str, ...]:
        own = (f"config/deploy.{name}.yml",) if name else ()
        return ("config/deploy.yml", *own, self._litestream(name))

    def _litestream(self, name: str | None) -> str:
        main = name in (None, "production")
        return facts.LITESTREAM if main else facts.litestream_of(str(name))

    def _databases(self, name: str | None, said: dict[str, Any]) -> set[str]:
        opened = self.opens(variables(said))
        return set(facts.backed_up(opened, bool(self.answers.get("backup_ephemeral"))).values())

    def _config(self, name: str | None) -> list[dict[str, Any]]:
        loaded = yaml.safe_load(self.text(self._litestream(name))) or {}
        return loaded.get("dbs") or []

    def _replica_paths(self, name: str | None) -> list[str]:
        return [(one.get("replica") or one["replicas"][0])["path"] for one in self._config(name)]

    def _sidecar(self, name: str | None, said: dict[str, Any]) -> Iterator[Problem]:
        files = self._files(name)
        sidecar = next((a for a in said["accessories"] if a["name"] == "litestream"), None)
        databases = self._databases(name, said)
        mounts = mounts_of(said)
        for path in databases:
            if mount_of(mounts, path) is None:
                yield Problem(f"{path} is on no volume", files, ("volume.missing",))
        targets = [target for _, target in mounts]
        if len(set(targets)) < len(targets):
            yield Problem(f"Docker refuses {mounts}", files, ())
        configured = {one["path"] for one in self._config(name)}
        if configured != databases:
            ids = ("databases.", "destination.path", "litestream.missing")
            where = (*files, facts.DATABASE_YML, facts.ANSWERS)
            yield Problem(f"{configured} instead of {databases}", where, ids)
        config = self._litestream(name)
        if config != facts.LITESTREAM:
            told = variables(said).get("LITESTREAM_CONFIG", "")
            if told.removeprefix(f"{self.root}/") != config:
                yield Problem(f"the app is told {told!r}", files, ("destination.path",))
        if len(set(said["hosts"])) > 1:
            yield Problem(str(said["hosts"]), files, ("servers.several",))
        if sidecar is None:
            yield Problem("there is no accessory", files, ("accessory.missing",))
            return
        if set(said["hosts"]) != set(sidecar["hosts"]):
            where = f"{said['hosts']} {sidecar['hosts']}"
            yield Problem(where, files, ("servers.several", "servers.accessory"))
        seen = [_mount(one) for one in sidecar["volumes"]]
        for path in databases:
            mine, theirs = mount_of(mounts, path), mount_of(seen, path)
            if mine and mine != theirs:
                ids = ("volume.path", "volume.place", "volume.differs")
                yield Problem(f"{path} is on {mine}, in the sidecar {theirs}", files, ids)
        own = said["raw"]["accessories"]["litestream"]
        files_of_it = [str(one).removesuffix(":ro") for one in own.get("files") or []]
        given = [one for one in files_of_it if one.endswith(":/etc/litestream.yml")]
        if not given or given[-1] != f"{config}:/etc/litestream.yml":
            yield Problem(f"the accessory gets {given}", files, ("accessory.config",))
        if not re.match(r"replicate(?! -config(?! /etc/litestream\.yml))", own.get("cmd") or ""):
            yield Problem("it is not told to replicate", files, ("accessory.c",))
        if own.get("image") not in {f"litestream/litestream:{pin}" for pin in PIN.values()}:
            yield Problem(str(own.get("image")), files, ("accessory.unpinned", "accessory.series"))
        sources = {source for path in databases if (source := (mount_of(mounts, path) or "")[:1])}
        for other in said["accessories"]:
            seen_there = {_mount(one)[:1] for one in other["volumes"]}
            if "litestream" in other["image"] and other is not sidecar and seen_there & sources:
                yield Problem(f"{other['name']} replicates too", files, ("replicators.two",))

    def _keys(self, name: str | None, said: dict[str, Any]) -> Iterator[Problem]:
        wanted = set(facts.BUCKET_KEYS)
        parts = [said, *(a for a in said["accessories"] if a["name"] == "litestream")]
        for part in parts:
            if not wanted <= set(part["env"]["secret"]):
                yield Problem(f"{part['env']} lacks keys", self._files(name), ("secrets.keys",))
        texts = [self.text(file) for file in said["secrets_files"]]
        if not wanted <= {one.name for text in texts for one in assignments(text)}:
            files = (*said["secrets_files"], *self._files(name))
            yield Problem("the files of secrets lack keys", files, ("secrets.",))

    def _together(self, found: dict[str | None, Any]) -> Iterator[Problem]:
        """Two deployments on one server."""
        seen: dict[tuple[str, str], str | None] = {}
        for name, said in found.items():
            here = {a["service_name"] for a in said["accessories"] if a["name"] == "litestream"}
            mounts = mounts_of(said)
            holding = (mount_of(mounts, path) for path in self._databases(name, said))
            here |= {mount[0] for mount in holding if mount}
            for host in said["hosts"]:
                for what in here:
                    if (host, what) in seen:
                        other = seen[host, what]
                        files = (*self._files(name), *self._files(other))
                        yield Problem(f"{name}, {other}: {what}", files, ("servers.collide",))
                    seen[host, what] = name

    def _image(self) -> Iterator[Problem]:
        dockerfile = self.text(facts.DOCKERFILE)
        final = dockerfile[dockerfile.rindex("\nFROM " if "\nFROM " in dockerfile else "FROM ") :]
        if not re.search(
            r"^COPY --from=docker.io/litestream/litestream:0\.\S+ /usr", final, re.MULTILINE
        ):
            yield Problem("no Litestream", (facts.DOCKERFILE,), ("dockerfile.", "replicators."))
        files: tuple[str, ...] = (facts.DOCKERFILE, facts.ENTRYPOINT)
        said = re.findall(r"^ENTRYPOINT (.*)", final, re.MULTILINE)
        program = f"{self.root}/bin/boot-restore"
        if said and said[-1].startswith("["):
            words = json.loads(said[-1])
            if words[:2] == [program, "exec"]:
                return
            script = words[-1].removeprefix("./").removeprefix(f"{self.root}/")
            copied = re.search(rf"^COPY (\S+) {re.escape(script)}$", final, re.MULTILINE)
            script = copied[1] if copied else script
            if self._restores_first(program, script):
                return
            files = (*files, script)
        yield Problem(f"nothing restores: {said}", files, ("entrypoint.", "replicators."))

    def _restores_first(self, program: str, file: str) -> bool:
        """Whether the entrypoint, run by its shell, restores first, and stops where that fails."""
        script = self.text(file)
        shell = ["sh" if script.startswith("#!/bin/sh") else "bash"]
        if not re.match(r"#!.*\b(ba)?sh\b", script):
            return False
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "bin").mkdir()
            (folder / "tmp").mkdir()
            stub = '#!/bin/sh\necho "${0##*/} $*" >>log\n'
            stub += '[ "${0##*/}" != boot-restore ] || exit $FAIL\n'
            for name in ("rails", "boot-restore", "gosu", "litestream", "chown"):
                (folder / "bin" / name).write_text(stub)
                (folder / "bin" / name).chmod(0o755)
            shell += ["-e"] if " -e" in script.split("\n", 1)[0] else []
            ours = script.replace(program, f"{folder}/bin/boot-restore")
            theirs = "".join(one for one in script.splitlines(keepends=True) if program not in one)
            path = f"{folder}/bin{os.pathsep}{os.environ['PATH']}"
            logs = []
            for text, fail in ((ours, "0"), (ours, "1"), (theirs, "0")):
                (folder / "script").write_text(text)
                (folder / "log").write_text("")
                ran = subprocess.run(
                    [*shell, "script", "./bin/rails", "server"],
                    cwd=folder,
                    env={"PATH": path, "FAIL": fail},
                    capture_output=True,
                    check=False,
                )
                logs.append((ran.returncode != 0, (folder / "log").read_text().splitlines()))
        call = "boot-restore ./bin/rails server"
        (failed, log), (refused, alone), (fails_anyway, without) = logs
        # What the owner's own script stops for is not to be had here.
        goes_on = log[1:] == without and (not failed or fails_anyway)
        return log[:1] == [call] and goes_on and refused and alone == [call]


_CERTAIN = (
    *(
        "accessory.",
        "volume.p",
        "volume.d",
        "volume.m",
        "secrets.keys",
        "destination.",
        "entrypoint.",
    ),
    *("dockerfile.no", "servers.", "databases.", "litestream."),
)


def is_false(one: Finding, problems: list[Problem]) -> bool:
    """Whether a finding is of a kind that is looked for here, and nothing of it was found."""
    return one.id.startswith(_CERTAIN) and not any(one.id.startswith(p.ids) for p in problems)


def lost_line(old: str, new: str) -> str | None:
    """Return the first line of `old` that is not in `new` behind those before it.

    A line may have got more words. Litestream's version and the server of an accessory may differ.
    """
    there = iter([_words(line) for line in new.splitlines()])
    for line in old.splitlines():
        words = _words(line)
        if not any(_are_in(words, other) and bool(other) == bool(words) for other in there):
            return line
    return None


def _words(line: str) -> list[str]:
    line = re.sub(r"(litestream/litestream)\S*", r"\1", line)
    return re.findall(r"[\w./@$-]+|[^\w\s./@$\[\],\"'-]+", re.sub(r"(host: ).*", r"\1", line))


def _are_in(words: list[str], others: list[str]) -> bool:
    left = iter(others)
    return all(word in left for word in words)


def unparsed(app: Path) -> Iterator[str]:
    """Yield what hadolint, bash and Ruby say of files that they cannot parse."""
    for file in filter(lambda file: (app / file).is_file(), _PARSED_BY):
        program, *options = _PARSED_BY[file]
        if program == "bash" and not re.match(r"#!.*\b(ba)?sh\b", (app / file).read_text("utf-8")):
            continue
        found = programs.find(program)
        assert found, program
        said = subprocess.run(
            [found, *options, file], cwd=app, capture_output=True, text=True, check=False
        )
        wrong = "DL1000" in said.stdout if program == "hadolint" else said.returncode
        if wrong:
            yield f"{program} {file}: {(said.stdout + said.stderr).strip()}"
