"""Does the image bring the databases back on an empty server, whatever it is started with."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from itertools import pairwise

from kamalstream import facts
from kamalstream.check.accessory import PINNED, tag_of
from kamalstream.check.deployed import Deployed, built, words
from kamalstream.check.finding import Finding
from kamalstream.edit.entrypoint import commands, edit
from kamalstream.facts import BOOT_RESTORE, PROGRAMS
from kamalstream.inspect.adopted import App
from kamalstream.inspect.app import build_of
from kamalstream.inspect.image.built import Image, Stages
from kamalstream.inspect.kamal.values import text

_OPENS = re.compile(r"\bdb:(?:prepare|migrate|setup|create|schema:load|seed)\b|\brunner\b")
_BEFORE = {"!", "&&", "||", ";", "(", "{", "then", "else", "if", "do", "exec"}
# Images whose packages are known: whatever is not installed here is not there.
_BARE = re.compile(r"(?:\S*/)?(?:ruby|debian|ubuntu|alpine):\S+\Z")


def check(app: App) -> Iterator[Finding]:
    """Yield what keeps a container from restoring, or `bin/restore` from working in it."""
    for file in PROGRAMS:
        if app.text(file) is None:
            message = "the file is not there: what it brings back stays lost"
            fix = f"git checkout HEAD -- {file}, or: kamalstream init"
            yield Finding("restore.missing", "error", file, 0, message, fix)
    for one in built(app):
        if one.deployment.builder.pack:
            continue
        if one.image is None:
            message = "the file is not there: Kamal has no image to build"
            fix = f"git checkout HEAD -- {one.dockerfile}, or: kamalstream init"
            yield Finding("dockerfile.missing", "error", one.dockerfile, 0, message, fix)
            continue
        yield from _litestream(one, one.image)
        yield from _start(one, one.image)
        yield from _programs(one, one.image)


def _litestream(one: Deployed, image: Image) -> Iterator[Finding]:
    found = image.litestream
    tag = tag_of((one.sidecar and one.sidecar.image) or "")
    if found is None:
        pinned = facts.VERSIONS["litestream"][one.app.series]
        yield Finding(
            "dockerfile.no-litestream",
            "error",
            one.dockerfile,
            image.line,
            "the image has no Litestream, so nothing is restored on an empty server",
            f"In the last stage:\nCOPY --from=litestream/litestream:{pinned} "
            "/usr/local/bin/litestream /usr/local/bin/litestream",
        )
    elif one.sidecar and found.image and "$" not in (found.version or ""):
        version = found.version or "latest"
        if PINNED.fullmatch(tag) and version != tag:
            yield Finding(
                "dockerfile.litestream",
                "error" if version.split(".")[:2] != tag.split(".")[:2] else "warning",
                one.dockerfile,
                found.line,
                f"the image restores with Litestream {version}, the accessory writes with {tag}",
                "Write the same version in both.",
            )


def _start(one: Deployed, image: Image) -> Iterator[Finding]:
    """Is there one live call of bin/boot-restore before the app first opens a database."""
    program = one.app.in_container(BOOT_RESTORE)
    for role in one.deployment.roles.values():
        entrypoint = text(role.options.get("entrypoint"))
        if entrypoint and BOOT_RESTORE not in entrypoint:
            yield Finding(
                "entrypoint.bypassed",
                "error",
                *one.deployment.line("servers", role.name, "options", "entrypoint"),
                f"containers of the role {role.name} start with {entrypoint} instead of the "
                "image's ENTRYPOINT: nothing is restored before they run",
                "Take that line out, and put the command under cmd:",
            )
    if any(BOOT_RESTORE in word for word in words(image.entrypoint)):
        return
    if image.entrypoint is None and not one.scripts:
        yield Finding(
            "entrypoint.missing",
            "error",
            one.dockerfile,
            image.line,
            "the image has no ENTRYPOINT: databases are not restored",
            f'In the last stage: ENTRYPOINT ["{program}", "exec"]',
        )
        return
    lacking = _missing_script(one, image)
    if lacking and not one.scripts:
        message = "the file is not there: databases are neither restored nor migrated"
        fix = f"git checkout HEAD -- {lacking}, or: kamalstream init"
        yield Finding("entrypoint.missing", "error", lacking, 0, message, fix)
        return
    yield from _calls(one, image, f'{program} "$@" || exit 1')


def _missing_script(one: Deployed, image: Image) -> str | None:
    """Return the file of the app that ENTRYPOINT names, where it is not there."""
    root = posixpath.join(image.workdir or one.app.rails_root, "")
    for word in words(image.entrypoint):
        path = posixpath.normpath(posixpath.join(root, word))
        if "/" in word and path.startswith(root) and one.app.text(path[len(root) :]) is None:
            return path[len(root) :]
    return None


def _calls(one: Deployed, image: Image, call: str) -> Iterator[Finding]:
    """Look for the call in the scripts that containers start with."""
    named = f"ENTRYPOINT {' '.join(words(image.entrypoint))}".strip()
    file, line = one.dockerfile, image.entrypoint.line if image.entrypoint else image.line
    why = f"{named} starts no shell script of the app that could restore the databases"
    for script in one.scripts:
        said = commands(one.app.text(script) or "")
        opens = next((at for at, word in said if _OPENS.search(" ".join(word))), 0)
        calls = [(at, word) for at, word in said if _is_call(word)]
        if not calls:
            file, line = script, opens
            why = "restores nothing on an empty server: empty databases take the backups' place"
        elif opens and calls[0][0] > opens:
            file, line = script, calls[0][0]
            why = f"restores only after line {opens} has opened the databases"
        elif not (_stops(calls[0][1]) or _stops_always(one.app.text(script) or "", said)):
            file, line = script, calls[0][0]
            why = "goes on where restoring fails: empty databases would take the backups' place"
        else:
            return
    fix = f"Before anything else there: {call}"
    script = one.app.text(file) or ""
    edited = edit(file, script, call, None)
    if file in one.scripts and edited.text == script:
        for unsure in edited.by_hand:
            line, fix = unsure.line or line, f"{unsure.why}:\n{call}"
    yield Finding("entrypoint.not-restored", "error", file, line, why, fix)


def _is_call(said: list[str]) -> bool:
    programs = [said[0], *(word for before, word in pairwise(said) if before in _BEFORE)]
    return any(word.strip("\"'").endswith(BOOT_RESTORE) for word in programs)


def _stops(said: list[str]) -> bool:
    return said[0] == "exec" or "exit" in said or "&&" in said


def _stops_always(script: str, said: list[tuple[int, list[str]]]) -> bool:
    options = [script.split("\n", 1)[0], *(" ".join(word) for _, word in said if word[0] == "set")]
    return any(re.search(r"\s-[A-Za-z]*e|\berrexit\b", one) for one in options)


def _programs(one: Deployed, image: Image) -> Iterator[Finding]:
    """bin/restore runs in a container of the app, in bash and with sqlite3."""
    if not _BARE.match(image.base):
        return
    stages = Stages(one.app.text(one.dockerfile) or "", build_of(one.deployment))
    steps = [step.instruction.body for _, step in stages.steps(stages.final)]
    wanted = {"sqlite3": "sqlite" if image.alpine else "sqlite3"}
    if image.alpine:
        wanted["bash"] = "bash"
    if any(re.search(r"\b(?:add|install)\b[^&;|]*\$", body) for body in steps):
        # What a variable holds may be among the packages.
        return
    missing = {
        name: package
        for name, package in wanted.items()
        if not any(re.search(rf"(?<![\w./-]){name}?(?![\w-])", body) for body in steps)
    }
    if missing:
        packages = " ".join(missing.values())
        yield Finding(
            "dockerfile.programs",
            "warning",
            one.dockerfile,
            image.line,
            f"the image has no {' and no '.join(missing)}, which bin/restore needs in it",
            f"In the last stage, before USER:\nRUN apk add --no-cache {packages}"
            if image.alpine
            else "In the last stage, before USER:\nRUN apt-get update -qq && apt-get install "
            f"--no-install-recommends -y {packages} && rm -rf /var/lib/apt/lists/*",
        )
