"""What the image has that a Dockerfile builds: its user, its start, its Litestream.

Sources: BuildKit, frontend/dockerfile/dockerfile2llb (what a stage takes over from the one it is
built on, where variables are filled in) and Docker's reference of the Dockerfile.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kamalstream.inspect.image.accounts import Accounts
from kamalstream.inspect.image.dockerfile import commands, env_pairs
from kamalstream.inspect.image.dockerfile_text import Instruction, parse, unquoted, words

_FROM = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE)
_OPTIONS = re.compile(r"(?:--\S+\s+)*")
_VARIABLE = re.compile(r"\\\$|\$(?:(\w+)|\{(\w+)(?::?-([^{}$]*)|:?\?[^{}$]*)?\}|)")
#: An image of Litestream's own: repository, tag and digest.
LITESTREAM_IMAGE = re.compile(
    r"((?:[\w.-]+(?::\d+)?/)*litestream/litestream)(?::([\w$][\w.${}-]*))?(@sha256:[0-9a-f]+)?(?!\S)"
)
#: Folders that PATH has in every image.
BINARIES = ("/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/sbin")
_BRINGS = re.compile(r"(?:curl|wget|dpkg|tar|apt|apt-get|apk|go|install|mv|cp|ln|ADD)\b")
_PROGRAM = re.compile(r"litestream(?![\w./-]*\.ya?ml)")


@dataclass(frozen=True)
class Start:
    """ENTRYPOINT or CMD: `words` of the exec form, or None and the text of the shell form."""

    line: int
    end: int
    words: tuple[str, ...] | None
    shell: str = ""


@dataclass(frozen=True)
class Litestream:
    """How Litestream comes into the image.

    From an image of its own, named on the lines `line` to `end` with the tag `version` (None: no
    tag; with variables where they could not be filled in), or (`image` is None) in another way.
    """

    line: int
    end: int
    image: str | None
    version: str | None = None


@dataclass(frozen=True)
class Image:
    """The image of the final stage.

    `line` is that of its FROM, 0 where there is none; `base` the outside image that it is built on
    in the end. `workdir` and `user` (uid:gid) are None where they cannot be told. `copies` maps
    files of the app to where they are copied to. `env` holds its variables, None where the value
    is not known.
    """

    line: int = 0
    base: str = ""
    workdir: str | None = "/"
    user: str | None = "0:0"
    entrypoint: Start | None = None
    cmd: Start | None = None
    litestream: Litestream | None = None
    copies: tuple[tuple[str, str], ...] = ()
    env: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def alpine(self) -> bool:
        """Whether its shell is busybox'."""
        return "alpine" in self.base.lower()


@dataclass(frozen=True)
class Build:
    """How a Dockerfile is built: the stage called `target` (None: the last), with `args` given."""

    target: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)


#: A build of the last stage, without arguments.
PLAIN = Build()


@dataclass
class Stage:
    """One stage: what stands behind FROM, and the instructions after it."""

    line: int
    end: int
    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)


@dataclass(frozen=True)
class Step:
    """An instruction with what holds where it stands: working directory, user, variables."""

    instruction: Instruction
    workdir: str | None
    user: str | None
    variables: dict[str, str | None]

    def fill(self, text: str) -> str | None:
        """Return `text` with its variables filled in; None where one is not known."""
        return _fill(text, self.variables)

    def partly(self, text: str) -> str:
        """Return `text` with those of its variables filled in that are known."""
        return _VARIABLE.sub(lambda match: self.fill(match[0]) or match[0], text)

    def path(self, text: str) -> str | None:
        """Return the absolute path that `text` names here; None where it cannot be told."""
        filled = self.fill(unquoted(text))
        if filled is None or (self.workdir is None and not filled.startswith("/")):
            return None
        return posixpath.normpath(posixpath.join(self.workdir or "/", filled))


class Stages:
    """The stages of the Dockerfile `text`, built as `build` says."""

    def __init__(self, text: str, build: Build = PLAIN) -> None:
        """Split the text into stages."""
        target = build.target
        self.given = {name: str(value) for name, value in build.args.items()}
        self.arguments: dict[str, str | None] = {}
        self.all: list[Stage] = []
        for one in parse(text):
            start = _FROM.match(one.head) if one.word == "FROM" else None
            if start:
                base = _fill(start[1], self.arguments)
                name = (start[2] or "").lower()
                self.all.append(Stage(one.line, one.end, start[1] if base is None else base, name))
            elif self.all:
                self.all[-1].instructions.append(one)
            elif one.word == "ARG":
                self.arguments |= _arguments(one.head, self.arguments, {}, self.given)
        named = self.find(target) if target else None
        self.final = named or (self.all[-1] if self.all and not target else None)
        runs = [
            step.partly(step.instruction.script)
            for one in self.all
            for stage, step in self.steps(one)
            if stage is one and step.instruction.word == "RUN"
        ]
        self.accounts = Accounts(self.base(self.final), runs)

    def find(self, name: str, before: Stage | None = None) -> Stage | None:
        """Return the stage called `name` (or of that number), among those before one."""
        known = self.all[: self.all.index(before)] if before else self.all
        if name.isdecimal():
            return known[int(name)] if int(name) < len(known) else None
        return next((one for one in reversed(known) if one.name == name.lower()), None)

    def chain(self, stage: Stage | None) -> list[Stage]:
        """Return the stages that `stage` is built on, the first of them first, and itself."""
        found: list[Stage] = []
        while stage:
            found.insert(0, stage)
            stage = self.find(stage.base, stage)
        return found

    def base(self, stage: Stage | None) -> str:
        """Return the outside image that `stage` is built on in the end."""
        chain = self.chain(stage)
        return chain[0].base if chain else ""

    def source(self, stage: Stage, step: Step) -> Stage | str | None:
        """Return where a COPY or ADD takes from: another stage, an image, None for the app."""
        options = _OPTIONS.match(step.instruction.head)
        found = re.search(r"--from=(\S+)", options[0]) if options else None
        if not found:
            return None
        name = step.fill(unquoted(found[1])) or found[1]
        return self.find(name, stage) or name

    def steps(self, stage: Stage | None) -> Iterator[tuple[Stage, Step]]:
        """Yield the instructions that make `stage`, those it is built on first, and their place."""
        workdir: str | None = "/"
        user: str | None = "root"
        env: dict[str, str | None] = {}
        for one in self.chain(stage):
            arguments: dict[str, str | None] = {}
            for instruction in one.instructions:
                step = Step(instruction, workdir, user, {**arguments, **env})
                yield one, step
                if instruction.word == "ARG":
                    known = {**self.arguments, **step.variables}
                    arguments |= _arguments(instruction.head, known, self.arguments, self.given)
                elif instruction.word == "ENV":
                    pairs = env_pairs(instruction.head).items()
                    env |= {name: step.fill(value) for name, value in pairs}
                elif instruction.word == "WORKDIR":
                    workdir = step.path(instruction.head)
                elif instruction.word == "USER":
                    user = step.fill(unquoted(instruction.head))


def read_image(text: str, build: Build = PLAIN) -> Image:
    """Read what the final stage of the Dockerfile `text`, built as `build` says, makes."""
    stages = Stages(text, build)
    final = stages.final
    if final is None:
        return Image()
    workdir: str | None = "/"
    user: str | None = "root"
    starts: dict[str, tuple[Stage, Start]] = {}
    copies: list[tuple[str, str]] = []
    litestream: Litestream | None = None
    env: dict[str, str | None] = {}
    for stage, step in _and_last(stages, final):
        workdir, user = step.workdir, step.user
        one = step.instruction
        if one.word in ("ENTRYPOINT", "CMD"):
            starts[one.word] = stage, _start(one)
            # An ENTRYPOINT takes away the CMD of the stages below, not that of its own.
            if one.word == "ENTRYPOINT" and starts.get("CMD", (stage,))[0] is not stage:
                del starts["CMD"]
        elif one.word == "ENV":
            env |= {name: step.fill(value) for name, value in env_pairs(one.head).items()}
        elif one.word in ("COPY", "ADD"):
            if stages.source(stage, step) is None:
                copies += _copies(step)
            litestream = _copied_litestream(stages, stage, step) or litestream
        elif one.word == "RUN" and any(
            _BRINGS.match(command) and _PROGRAM.search(command)
            for _, command, _ in commands(one.script)
        ):
            litestream = Litestream(one.line, one.end, None)
    return Image(
        line=final.line,
        base=stages.base(final),
        workdir=workdir,
        user=_numbers(stages.accounts, user),
        entrypoint=starts["ENTRYPOINT"][1] if "ENTRYPOINT" in starts else None,
        cmd=starts["CMD"][1] if "CMD" in starts else None,
        litestream=litestream,
        copies=tuple(copies),
        env=env,
    )


def _and_last(stages: Stages, final: Stage) -> Iterator[tuple[Stage, Step]]:
    """Yield all steps and one more, which shows what holds at the end."""
    nothing = Instruction(final.end, final.end, "", "", "")
    final.instructions.append(nothing)
    yield from stages.steps(final)
    final.instructions.pop()


def _arguments(
    head: str,
    known: dict[str, str | None],
    outside: dict[str, str | None],
    given: Mapping[str, str],
) -> dict[str, str | None]:
    """Return the variables of an ARG; without a default one has the value from before FROM."""
    found: dict[str, str | None] = {}
    for word in words(head):
        name, equals, value = word.partition("=")
        default = _fill(unquoted(value), known) if equals else outside.get(name)
        found[name] = given.get(name, default)
    return found


def _fill(text: str, variables: dict[str, str | None]) -> str | None:
    known = True

    def value(match: re.Match[str]) -> str:
        nonlocal known
        found = variables.get(match[1] or match[2] or "") or match[3]
        known = known and found is not None
        return found or ""

    filled = _VARIABLE.sub(value, text)
    return filled if known else None


def _numbers(accounts: Accounts, user: str | None) -> str | None:
    uid, gid = accounts.numbers(user) if user else (None, None)
    return None if uid is None or gid is None else f"{uid}:{gid}"


def _start(one: Instruction) -> Start:
    try:
        value = json.loads(one.head)
    except ValueError:
        value = None
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return Start(one.line, one.end, tuple(value))
    return Start(one.line, one.end, None, one.head)


def operands(head: str) -> list[str]:
    """Return sources and target of a COPY or ADD; nothing where a heredoc is a source."""
    rest = _OPTIONS.sub("", head, count=1)
    if rest.startswith("["):
        try:
            value = json.loads(rest)
        except ValueError:
            return []
        return [str(one) for one in value] if isinstance(value, list) else []
    found = words(rest)
    return [] if any(word.startswith("<<") for word in found) else found


def _copies(step: Step) -> Iterator[tuple[str, str]]:
    *sources, target = operands(step.instruction.head) or [""]
    place = step.path(target)
    if place is None:
        return
    for source in sources:
        filled = step.fill(unquoted(source))
        if filled is not None:
            path = posixpath.normpath(filled.lstrip("/") or ".")
            folder = unquoted(target).endswith(("/", ".")) or sources[1:]
            inside = folder and path != "."
            yield path, posixpath.join(place, posixpath.basename(path)) if inside else place


def _copied_litestream(stages: Stages, stage: Stage, step: Step) -> Litestream | None:
    one = step.instruction
    *sources, target = operands(one.head) or [""]
    place = step.path(target) or ""
    into = place if place in BINARIES else posixpath.dirname(place)
    programs = [source for source in sources if _PROGRAM.search(posixpath.basename(source))]
    if one.word == "ADD" and _PROGRAM.search(one.head) and "://" in one.head:
        return Litestream(one.line, one.end, None)
    if not programs or into not in BINARIES:
        return None
    source = stages.source(stage, step)
    line, end, image = one.line, one.end, source
    while isinstance(image, Stage):
        line, end, image = image.line, image.end, stages.find(image.base, image) or image.base
    match = LITESTREAM_IMAGE.fullmatch(image or "")
    inherited = isinstance(source, Stage) and source.instructions
    if not match or inherited:
        return Litestream(one.line, one.end, None)
    return Litestream(line, end, match[1], match[2])
