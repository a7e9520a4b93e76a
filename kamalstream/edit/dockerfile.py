"""Gives the image of an owner's Dockerfile what backups need, by a few lines in the final stage."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from kamalstream.edit import lines
from kamalstream.edit.edited import ByHand, Edited, UnsureError
from kamalstream.edit.entrypoint import SECOND, entrypoint_script
from kamalstream.facts import BOOT_RESTORE, DOCKERFILE
from kamalstream.inspect.image.built import (
    LITESTREAM_IMAGE,
    PLAIN,
    Build,
    Image,
    Litestream,
    Stages,
    Start,
    read_image,
)
from kamalstream.inspect.image.dockerfile_text import parse
from kamalstream.inspect.image.folder_owner import folder_owner

COPY_COMMENT = "# Brings the databases back on an empty server: bin/boot-restore runs it."
OWNER_COMMENT = "# A new volume takes over the owner of the folder that it is mounted on."
ENTRYPOINT_COMMENT = "# Restores the databases that this server lacks, then starts the command."
# Official images that have no ENTRYPOINT of their own.
_NO_ENTRYPOINT = re.compile(
    r"(?:docker\.io/|public\.ecr\.aws/docker/|registry\.docker\.com/)?(?:library/)?"
    r"(?:ruby|debian|ubuntu|alpine|buildpack-deps)(?:[:@].*)?"
    r"|(?:quay\.io/evl\.ms|registry\.docker\.com/evlms)/fullstaq-ruby(?:[:@].*)?"
)
_BRACKET = re.compile(r"(\s*ENTRYPOINT\s(?:[\s\\`]|#[^\n]*\n)*\[\s*)", re.IGNORECASE)
_Added = list[tuple[str, str]]


def edit(
    text: str,
    copy_line: str,
    last_copy_line: str | None,
    targets: Sequence[str],
    context_has: Callable[[str], bool],
    boot_restore: str,
    *,
    last_targets: Sequence[str] = (),
    last_boot_restore: str | None = None,
    file: str = DOCKERFILE,
    build: Build = PLAIN,
) -> Edited:
    """Bring Litestream in, give the folders of the volumes to the app's user, add an ENTRYPOINT.

    `copy_line` is the COPY of the template's own Dockerfile; `targets` are the folders of the
    container that volumes with databases are mounted on; `context_has` says whether a file, or
    anything below a folder, of the app gets into the build; `boot_restore` is the absolute path of
    that program. What begins with `last` is what the release before this one put (None and empty
    at adoption): what it put and is no longer there stays out. `build` is how Kamal
    builds it.

    An ENTRYPOINT with a script of the app is left alone: the script gets the call.
    """
    by_hand: list[ByHand] = []
    if not read_image(text, build).line:
        why = f"it has no stage {build.target}" if build.target else "it has no FROM"
        return Edited(text, (ByHand(file, 0, why, copy_line),))
    steps: list[tuple[str, Callable[[str], str]]] = [
        (copy_line, lambda now: _litestream(now, copy_line, last_copy_line, build)),
        *(
            (_owner_line(one, text, build), _owning(one, context_has, build))
            for one in targets
            if one not in last_targets
        ),
        (
            f"ENTRYPOINT {json.dumps([boot_restore, 'exec'])}",
            lambda now: _entrypoint(now, context_has, boot_restore, last_boot_restore, build),
        ),
    ]
    for _, step in steps:
        with suppress(UnsureError):
            text = step(text)
    # Once more, for the lines on which what is in the way stands now.
    for advice, step in steps:
        try:
            step(text)
        except UnsureError as error:
            by_hand.append(ByHand(file, error.line, error.why, advice))
    return Edited(text, tuple(by_hand))


def second_litestream(file: str, text: str, build: Build = PLAIN) -> Iterator[ByHand]:
    """Yield where the image of the Dockerfile `text` starts a replicator, and what to write there.

    `build` is how Kamal builds it.
    """
    image = read_image(text, build)
    for word, start in (("ENTRYPOINT", image.entrypoint), ("CMD", image.cmd)):
        said = " ".join(start.words or (start.shell or "",)) if start else ""
        found = re.search(r"\blitestream\b.*\breplicate\b(?:.*?\s-exec[=\s]+(?P<runs>.+))?", said)
        if start and found:
            runs = found["runs"]
            instruction = f"{word} {runs}" if runs else ""
            why = f"{SECOND}: {'in its place' if runs else 'take it out'}"
            yield ByHand(file, start.line, why, instruction)


def _litestream(text: str, copy_line: str, last: str | None, build: Build) -> str:
    image = read_image(text, build)
    wanted = LITESTREAM_IMAGE.search(copy_line.replace("=", " "))
    if wanted is None:
        raise ValueError(f"no image of Litestream: {copy_line}")
    have = image.litestream
    if last is None and (have is None or have.image is None):
        # Behind another one, ours is the one that is found: /usr/local/bin comes first.
        return _with_copy(text, copy_line, image, build)
    if have is None:
        return text
    if have.image is None:
        raise UnsureError(f"Litestream comes in another way here; {wanted[2]} is needed", have.line)
    if have.version == wanted[2]:
        return text
    before = LITESTREAM_IMAGE.search(last.replace("=", " ")) if last is not None else None
    if before and before[2] == wanted[2]:
        return text
    if before and have.version != before[2]:
        raise UnsureError(f"it brings Litestream {have.version}, not {wanted[2]}", have.line)
    return _with_pin(text, wanted[2], have, build)


def _with_copy(text: str, copy_line: str, image: Image, build: Build) -> str:
    stages = Stages(text, build)
    assert stages.final
    place = stages.final.end
    for one in stages.final.instructions:
        if one.word != "ARG":
            break
        place = one.end
    if image.litestream:
        place = max(place, image.litestream.end)
    new = lines.paragraph(text, place, [COPY_COMMENT, copy_line])
    after = lines.insert(text, place, new)
    word, _, head = copy_line.partition(" ")
    brought = read_image(after, build).litestream
    if brought is None or brought.image is None:
        raise UnsureError("Litestream would not get into the image", image.line)
    return _accepted(text, after, [(word, head)], build, litestream=brought)


def _with_pin(text: str, version: str, have: Litestream, build: Build) -> str:
    """Return the text with another tag where Litestream's image is named."""
    all_lines = lines.split(text)
    found = [
        (number, match)
        for number in range(have.line - 1, have.end)
        for match in LITESTREAM_IMAGE.finditer(all_lines[number].replace("=", " "))
    ]
    if len(found) != 1 or found[0][1][3] or "$" in (found[0][1][2] or ""):
        raise UnsureError(f"it names another Litestream than {version}", have.line)
    number, match = found[0]
    line = all_lines[number]
    end = match.end(2) if match[2] else match.end(1)
    all_lines[number] = f"{line[: match.end(1)]}:{version}{line[end:]}"
    after = "".join(all_lines)
    old, new = [*parse(text)], [*parse(after)]
    changed = [(one, two) for one, two in zip(old, new, strict=True) if one != two]
    tag = f":{version}"
    if len(changed) != 1 or LITESTREAM_IMAGE.sub(
        lambda m: m[1] + tag, changed[0][0].head.replace("=", " ")
    ) != changed[0][1].head.replace("=", " "):
        raise UnsureError(f"it names another Litestream than {version}", have.line)
    image = read_image(after, build)
    if image.litestream is None or image.litestream.version != version:
        raise UnsureError(f"it names another Litestream than {version}", have.line)
    return after


def _owner_line(folder: str, text: str, build: Build) -> str:
    user = read_image(text, build).user or "UID:GID"
    return f"RUN mkdir -p {folder} && chown {user} {folder}"


def _owning(folder: str, context_has: Callable[[str], bool], build: Build) -> Callable[[str], str]:
    """Return what gives `folder` to the user of the image, where that is needed."""

    def step(text: str) -> str:
        image = read_image(text, build)
        if image.user is None:
            raise UnsureError(f"the number of its user is not known, who has to own {folder}")
        uid = image.user.partition(":")[0]

        def is_given(now: str) -> bool:
            return folder_owner(Stages(now, build), folder, context_has) == uid

        if uid == "0" or is_given(text):
            return text
        if re.search(r"[^\w/.@+-]", folder):
            raise UnsureError(f"its user has to own {folder}")
        head = _owner_line(folder, text, build).partition(" ")[2]
        places = _places_as_root(text, build)
        for place in places:
            new = lines.paragraph(text, place, [OWNER_COMMENT, f"RUN {head}"])
            after = lines.insert(text, place, new)
            if is_given(after):
                return _accepted(text, after, [("RUN", head)], build)
        if not places:
            raise UnsureError(f"its USER has to own {folder}, and none is set in the final stage")
        raise UnsureError(f"its USER has to own {folder}")

    return step


def _places_as_root(text: str, build: Build) -> list[int]:
    """Return the lines of the final stage behind which root can still do something.

    That is: before the first USER and before the last one, and the comments directly above it.
    """
    stages = Stages(text, build)
    found = [
        _above(text, step.instruction.line)
        for stage, step in stages.steps(stages.final)
        if stage is stages.final and step.instruction.word == "USER" and _is_root(step.user, stages)
    ]
    return [*dict.fromkeys([*found[:1], *found[-1:]])]


def _is_root(user: str | None, stages: Stages) -> bool:
    return bool(user) and stages.accounts.numbers(user or "")[0] == 0


def _above(text: str, line: int) -> int:
    """Return the line above the instruction on `line` and above the comments right before it."""
    all_lines = lines.split(text)
    ends = {one.end for one in parse(text)}
    at = line - 1
    while at > 0 and at not in ends and all_lines[at - 1].lstrip().startswith("#"):
        at -= 1
    return at


def _entrypoint(
    text: str,
    context_has: Callable[[str], bool],
    boot_restore: str,
    last: str | None,
    build: Build,
) -> str:
    image = read_image(text, build)
    start = image.entrypoint
    if start is None:
        return text if last is not None else _with_entrypoint(text, image, boot_restore, build)
    if start.words is None:
        if boot_restore in start.shell:
            return text
        raise UnsureError("its ENTRYPOINT is a line for the shell", start.line)
    if start.words[:1] == (boot_restore,):
        return text
    if last is not None and start.words[:1] == (last,):
        return _with_words(text, start, (boot_restore, *start.words[1:]), build)
    if last is not None or entrypoint_script(image, context_has) is not None:
        return text
    return _with_words(text, start, (boot_restore, "exec", *start.words), build)


def _with_entrypoint(text: str, image: Image, boot_restore: str, build: Build) -> str:
    stages = Stages(text, build)
    assert stages.final
    if not _NO_ENTRYPOINT.fullmatch(image.base):
        why = f"{image.base} may have an ENTRYPOINT of its own, which this would replace"
        raise UnsureError(why, image.line)
    if image.cmd and not any(one.line == image.cmd.line for one in stages.final.instructions):
        why = "its CMD stands in another stage, and an ENTRYPOINT of the final one would undo it"
        raise UnsureError(why, image.cmd.line)
    last = stages.final.instructions[-1].end if stages.final.instructions else stages.final.end
    place = _above(text, image.cmd.line) if image.cmd else last
    words = (boot_restore, "exec")
    head = json.dumps(words)
    new = lines.paragraph(text, place, [ENTRYPOINT_COMMENT, f"ENTRYPOINT {head}"])
    after = lines.insert(text, place, new)
    now = read_image(after, build).entrypoint
    if now is None or now.words != words:
        raise UnsureError("it has no ENTRYPOINT", image.line)
    return _accepted(text, after, [("ENTRYPOINT", head)], build, entrypoint=now)


def _with_words(text: str, start: Start, words: tuple[str, ...], build: Build) -> str:
    """Return the text with other words at the beginning of an ENTRYPOINT in exec form."""
    before = list(start.words or ())
    rest = before[1:] if words[1:] == tuple(before[1:]) else before
    all_lines = lines.split(text)
    said = "".join(all_lines[start.line - 1 : start.end])
    match = _BRACKET.match(said)
    if match is None:
        raise UnsureError("its ENTRYPOINT cannot be read", start.line)
    new = json.dumps(words[: len(words) - len(rest)])[1:-1]
    behind = said[match.end() :]
    if len(rest) < len(before):
        old = re.match(r'"(?:[^"\\]|\\.)*"', behind)
        behind = behind[old.end() :] if old else behind
        all_lines[start.line - 1 : start.end] = [match[1] + new + behind]
    else:
        all_lines[start.line - 1 : start.end] = [match[1] + new + (", " if rest else "") + behind]
    after = "".join(all_lines)
    now = read_image(after, build).entrypoint
    changed = [(one, two) for one, two in zip(parse(text), parse(after), strict=True) if one != two]
    if now is None or now.words != words or [one.line for one, _ in changed] != [start.line]:
        raise UnsureError("its ENTRYPOINT cannot be read", start.line)
    return after


def _accepted(
    before: str,
    after: str,
    added: _Added,
    build: Build,
    litestream: Litestream | None = None,
    entrypoint: Start | None = None,
) -> str:
    """Return `after` if it says what `before` says and exactly the instructions `added`."""
    new, old = _said(after), _said(before)
    at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(old))
    spliced = old[:at] + added + old[at:]
    then, now = read_image(before, build), read_image(after, build)
    same = replace(
        _placeless(then),
        litestream=_unplaced(litestream or then.litestream),
        entrypoint=_unplaced_start(entrypoint or then.entrypoint),
    )
    if spliced != new or _placeless(now) != same:
        raise UnsureError("it cannot be edited with certainty", then.line)
    return after


def _placeless(image: Image) -> Image:
    return replace(
        image,
        line=0,
        copies=(),
        litestream=_unplaced(image.litestream),
        entrypoint=_unplaced_start(image.entrypoint),
        cmd=_unplaced_start(image.cmd),
    )


def _unplaced(one: Litestream | None) -> Litestream | None:
    return replace(one, line=0, end=0) if one else None


def _unplaced_start(one: Start | None) -> Start | None:
    return replace(one, line=0, end=0) if one else None


def without(text: str, file: str = DOCKERFILE, build: Build = PLAIN) -> Edited:
    """Take Litestream and the start of bin/boot-restore out again.

    What does not stand below the comment that we put there may be the owner's own, and is left.
    """
    by_hand: list[ByHand] = []
    have = read_image(text, build).litestream
    if have:
        all_lines = lines.split(text)
        why = "this brings Litestream in, which nothing of ours needs any more"
        after = lines.remove(text, have.line, have.end, COPY_COMMENT)
        kept = [(one.word, one.body) for one in parse(text) if one.line != have.line]
        if all_lines[have.line - 2].strip() == COPY_COMMENT and kept == _said(after):
            text = after
        else:
            said = "".join(all_lines[have.line - 1 : have.end]).rstrip()
            by_hand.append(ByHand(file, have.line, why, said))
    start = read_image(text, build).entrypoint
    if start and start.words and start.words[0].endswith(f"/{BOOT_RESTORE}"):
        rest = start.words[2:] if start.words[1:2] == ("exec",) else start.words[1:]
        if rest:
            all_lines = lines.split(text)
            end = all_lines[start.end - 1][len(all_lines[start.end - 1].rstrip("\r\n")) :]
            all_lines[start.line - 1 : start.end] = [f"ENTRYPOINT {json.dumps(rest)}{end}"]
            text = "".join(all_lines)
        else:
            text = lines.remove(text, start.line, start.end, ENTRYPOINT_COMMENT)
    return Edited(text, tuple(by_hand))


def _said(text: str) -> list[tuple[str, str]]:
    return [(one.word, one.body) for one in parse(text)]
