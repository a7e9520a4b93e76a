"""Adoptions of apps put together from the forms that occur: sound, or said; and nothing lost.

What a deployment comes to is asked of Kamal itself, what an entrypoint does of the shell that runs
it, and whether a Dockerfile is one of hadolint.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, event, given, settings

from kamalstream import facts, programs
from kamalstream.ask.adoption import known_answers, uncertain_databases
from kamalstream.ask.answers import earlier, settle
from kamalstream.ask.questions import Asking
from kamalstream.check import check_files
from kamalstream.check.finding import Finding
from kamalstream.edit.adoption import Adoption
from kamalstream.edit.edited import ByHand
from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import App
from kamalstream.inspect.app import inspect_app
from kamalstream.inspect.kamal.secrets_file import assignments
from kamalstream.render.apply import apply
from kamalstream.render.plan import Plan, plan
from kamalstream.render.with_copier import Template, in_place, render

from .conftest import requires
from .kamal_oracle import Oracle
from .shapes import Shape, shapes

#: How many apps are tried; KAMALSTREAM_SHAPES=1000 tries that many others.
LONG = int(os.environ.get("KAMALSTREAM_SHAPES", "0"))
GIVEN = {"server_ip": "203.0.113.7", "domain": "shop.example.com", "bucket": "shop-backups"}
GIVEN |= {"registry_username": "acme"}
PIN = facts.VERSIONS["litestream"]


@requires("kamal", "hadolint", "bash")
@settings(
    max_examples=LONG or 40,
    derandomize=not LONG,
    database=None,
    suppress_health_check=list(HealthCheck),
    # An app takes a third of a second, so one that fails is shown as it was drawn.
    phases=[Phase.generate],
    print_blob=True,
)
@given(shape=shapes())
def test_an_adoption_is_sound_or_says_where_not_and_loses_nothing(
    shape: Shape, oracle: Oracle, template: Path
) -> None:
    with tempfile.TemporaryDirectory(prefix="shape-") as scratch:
        folder = Path(scratch)
        app = shape.create(folder / "shop")
        before = {name: oracle(app, name) for name in shape.destinations}
        try:
            planned, answers = _adopt(app, folder, in_place(template))
        except BadInput as error:
            refused = str(error)
        else:
            refused = ""
        if refused:
            event("refused")
            assert _may_be_refused(shape, before, refused), refused
            return
        _whole_or_edited(shape, planned, answers)
        apply(planned, datetime.now())
        adopted = Adopted(shape, app, planned.by_hand, check_files(App(app)), answers)
        for name, said in before.items():
            after = oracle(app, name)
            said_so = any(one.file.endswith(f".{name}.yml") for one in planned.by_hand)
            assert not said.get("hosts") or "error" not in after or said_so, (name, after)
            if said.get("hosts") and "error" not in after:
                changed = _of_kamal(said), _of_kamal(after, said)
                assert changed[0] == changed[1] or said_so, (name, *_differing(*changed))
        found = {n: oracle(app, n) for n, said in before.items() if said.get("hosts")}
        found = {n: said for n, said in found.items() if "error" not in said}
        problems = [*adopted.problems(found)]
        event(f"{len(planned.by_hand)} by hand")
        unsaid = [one for one in problems if not adopted.says(one)]
        assert not unsaid, (unsaid, planned.by_hand, adopted.findings)
        if all("error" not in said for said in before.values()):
            errors = [one for one in adopted.findings if one.level == "error"]
            false = [one for one in errors if _is_false(one, problems)]
            assert not false or not found, false
        _again(app, folder, in_place(template), answers)
        _parse(app)


def _adopt(app: Path, folder: Path, source: Template) -> tuple[Plan, dict[str, Any]]:
    read = inspect_app(app)
    known = known_answers(read, {}, earlier(app))
    known.given |= {name: one for name, one in GIVEN.items() if name not in known.offered}
    uncertain_databases(read, known, True)
    settle(known, True, app.name)
    rendered = folder / "now" / app.name
    answers = render(source, rendered, Asking(known.given, known.offered))
    return plan(Adoption(app, answers, rendered, None, read.kamal)), answers


def _may_be_refused(shape: Shape, said: dict[str | None, Any], why: str) -> bool:
    """Whether the app has databases that are on no volume, or that cannot be read."""
    if "which databases production opens cannot be read" in why:
        return True
    outside = "is on no volume" in why or "is outside the volume" in why
    return outside and any(
        mount_of(mounts_of(one), path) is None
        for one in said.values()
        for path in shape.opens(variables(one)).values()
    )


# --- What Kamal makes of it -----------------------------------------------------------------------


def variables(said: dict[str, Any]) -> dict[str, str]:
    return said["env"]["clear"] if "env" in said else {}


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


def _of_kamal(said: dict[str, Any], only: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return all of a deployment that is not ours, or of `only`, which was there before."""
    only = only or said
    raw = {key: said["raw"].get(key) for key in only["raw"] if key not in ("env", "accessories")}
    raw["volumes"] = [one for one in raw.get("volumes") or [] if one in only["volumes"]]
    raw["aliases"] = {name: said["aliases"].get(name) for name in only["aliases"]}
    for kind in ("clear", "secret"):
        raw[kind] = {name: said["env"][kind].get(name) for name in only["env"][kind]}
    others = (one for one in said["accessories"] if one["name"] != "litestream")
    raw["accessories"] = list(others)
    for key in ("hosts", "roles", "tags", "proxy", "registry", "ssh", "builder"):
        raw[f"as {key}"] = said[key]
    return raw


def _differing(one: dict[str, Any], other: dict[str, Any]) -> Iterator[Any]:
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
    """An app after its adoption."""

    shape: Shape
    app: Path
    by_hand: tuple[ByHand, ...]
    findings: list[Finding]
    answers: dict[str, Any]

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
        if "production" in self.shape.destinations:
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
        opened = self.shape.opens(variables(said))
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
            if told.removeprefix(f"{self.shape.root}/") != config:
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
        given = [one for one in own.get("files") or [] if str(one).endswith(":/etc/litestream.yml")]
        if not given or given[-1] != f"{config}:/etc/litestream.yml":
            yield Problem(f"the accessory gets {given}", files, ("accessory.config",))
        if not re.match("replicate(?! -config)", own.get("cmd") or ""):
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
        said = re.findall(r"^ENTRYPOINT (.*)", final, re.MULTILINE)
        program = f"{self.shape.root}/bin/boot-restore"
        if said and said[-1].startswith("["):
            words = json.loads(said[-1])
            if words[:2] == [program, "exec"]:
                return
            if words[-1].endswith(facts.ENTRYPOINT) and self._restores_first(program):
                return
        files = (facts.DOCKERFILE, facts.ENTRYPOINT)
        yield Problem(f"nothing restores: {said}", files, ("entrypoint.", "replicators."))

    def _restores_first(self, program: str) -> bool:
        """Whether the entrypoint, run by its shell, restores first, and stops where that fails."""
        script = self.text(facts.ENTRYPOINT)
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
            (folder / "script").write_text(script.replace(program, f"{folder}/bin/boot-restore"))
            path = f"{folder}/bin{os.pathsep}{os.environ['PATH']}"
            logs = []
            for fail in "01":
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
        (failed, log), (refused, alone) = logs
        return (
            not failed
            and log[:1] == [call]
            and log[-1:] == ["rails server"]
            and (refused and alone == [call])
        )


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


def _is_false(one: Finding, problems: list[Problem]) -> bool:
    """Whether a finding is of a kind that is looked for here, and nothing of it was found."""
    return one.id.startswith(_CERTAIN) and not any(one.id.startswith(p.ids) for p in problems)


# --- What was there -------------------------------------------------------------------------------


def _whole_or_edited(shape: Shape, planned: Plan, answers: dict[str, Any]) -> None:
    """Every line of a file of the owner's is there still, in its order."""
    for change in planned.changes:
        old = shape.files.get(change.file)
        if old is None or change.file == facts.ANSWERS:
            continue
        if change.kind == "whole":
            assert change.file not in answers["own_files"], change.file
            assert change.file == facts.ENTRYPOINT, change.file
            continue
        new = change.after.decode()
        assert ("\r\n" in old) == ("\r\n" in new), change.file
        lost = _lost(old, new)
        assert not lost, (change.file, lost, new)


def _lost(old: str, new: str) -> str | None:
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


def _again(app: Path, folder: Path, source: Template, answers: dict[str, Any]) -> None:
    """What an adoption has made is as a second one would have it."""
    read = inspect_app(app)
    before = earlier(app)
    known = known_answers(read, {}, before)
    settle(known, True, app.name)
    last = folder / "now" / app.name
    changed = {k: (before[k], v) for k, v in known.offered.items() if v != before.get(k, v)}
    assert not changed, changed
    again = plan(Adoption(app, answers, last, last, read.kamal))
    assert not again.changes, [(one.file, one.after.decode()) for one in again.changes]


def _parse(app: Path) -> None:
    hadolint = programs.find("hadolint")
    assert hadolint
    said = subprocess.run(
        [hadolint, "--format", "json", facts.DOCKERFILE],
        cwd=app,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "DL1000" not in said.stdout, said.stdout
    for file in (facts.ENTRYPOINT, facts.BOOT_RESTORE, facts.RESTORE):
        if re.match(r"#!.*\b(ba)?sh\b", (app / file).read_text()):
            subprocess.run(["bash", "-n", file], cwd=app, check=True)
