"""Puts what backups need into an owner's config/deploy.yml, and nothing else.

The lines are those of the config/deploy.yml that the template renders; where one cannot be put in
with certainty, the file stays as it is and all of its lines are handed back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from kamalstream import facts
from kamalstream.edit.edited import Edited
from kamalstream.edit.kamal_pieces import (
    SIDECAR,
    UPLOADS,
    Piece,
    Placement,
    add_entry,
    as_written,
    bucket_keys,
    dropped,
    kept_current,
    listed,
    remote_of,
    set_value,
    target_of,
    was_there,
    with_pieces,
)
from kamalstream.edit.yaml_text import Path, YamlText
from kamalstream.inspect.kamal.containers import PLACEMENTS
from kamalstream.inspect.kamal.values import as_list

# Of a sidecar that its owner has already at adoption: what has to be as it is rendered.
_SCALARS: tuple[Path, ...] = (
    *(("image",), ("cmd",)),
    *(("options", key) for key in ("user", "entrypoint", "stop-timeout")),
)
# Those of a fresh app, whether it has backups or not.
_ALIASES_OF_RAILS = {"console", "shell", "logs", "dbc"}


def edit_base(
    text: str,
    ours: str,
    last: str | None,
    placement: Placement | None,
    volumes: Sequence[str],
    elsewhere: Collection[str] = (),
) -> Edited:
    """Return config/deploy.yml with the `volumes`, the accessory, the bucket's keys and aliases.

    `ours` is the file as the template renders it now, `last` as it did the last time: what `last`
    had and `text` has no more, its owner took out. `placement` is None where every destination says
    by itself where the accessory runs. `volumes` are those that hold the databases; to the folders
    `elsewhere` the app has one already, though not by `volumes:` of this file.
    """
    rendered, before = YamlText(ours), YamlText(last) if last is not None else None
    lacking = [volume for volume in volumes if target_of(volume) not in elsewhere]

    def pieces(mine: YamlText, last: YamlText | None) -> Iterator[Piece]:
        yield from listed(mine, ("volumes",), lacking, last, target_of)
        yield from _base(mine, rendered, last, placement, volumes)

    return with_pieces(facts.DEPLOY, text, before, pieces)


def _base(
    mine: YamlText,
    ours: YamlText,
    last: YamlText | None,
    placement: Placement | None,
    volumes: Sequence[str],
) -> Iterator[Piece]:
    yield from bucket_keys(mine, ("env",), last)
    for key in ("deploy_timeout", "minimum_version"):
        yield from kept_current(mine, (key,), ours, last)
    yield from _accessory(SIDECAR, mine, ours, last, placement, volumes)
    if ours.has(UPLOADS):
        held = [str(one) for one in as_list(ours.value((*UPLOADS, "volumes")))]
        yield from _accessory(UPLOADS, mine, ours, last, placement, held)
    elif mine.has(UPLOADS) and was_there(last, UPLOADS):
        why = (f"# {UPLOADS[-1]}: is no more",)
        yield Piece(UPLOADS, why, lambda text: text.remove(UPLOADS))
    for name in ours.value(("aliases",)) or ():
        if name not in _ALIASES_OF_RAILS:
            yield from kept_current(mine, ("aliases", name), ours, last)
    for path in (SIDECAR, UPLOADS, ("aliases",), ("deploy_timeout",), ("minimum_version",)):
        yield from dropped(mine, path, ours, last)


def _accessory(
    path: Path,
    mine: YamlText,
    ours: YamlText,
    last: YamlText | None,
    placement: Placement | None,
    volumes: Sequence[str],
) -> Iterator[Piece]:
    """Have the accessory at `path`, with `volumes`."""
    mounted = as_written(volumes, mine.value(("volumes",)))
    if mine.has(path):
        there = as_list(mine.value((*path, "volumes")))
        # What is mounted already is compared with what was rendered, which knows no code.
        kept = {target_of(one) for one in there}
        both = zip(volumes, mounted, strict=True)
        wanted = [plain if target_of(plain) in kept else new for plain, new in both]
        yield from _sidecar(path, mine, ours, last, wanted)
    elif not was_there(last, path):
        block = _with_volumes(_placed(ours.block(path), placement), volumes, mounted)
        yield add_entry(path, block)


def _sidecar(
    sidecar: Path, mine: YamlText, ours: YamlText, last: YamlText | None, volumes: Sequence[str]
) -> Iterator[Piece]:
    """Complete an accessory that is there already."""
    image = (*sidecar, "image")
    if last is None and mine.has(image) and mine.value(image) != ours.value(image):
        # Of another release it would not read the config/litestream.yml that is rendered.
        yield set_value(image, ours.value(image))
    rendered = list(_scalars(ours.value(sidecar), sidecar))
    usual = [path for path in ((*sidecar, *one) for one in _SCALARS) if path in rendered]
    for path in usual if last is None else rendered:
        yield from kept_current(mine, path, ours, last)
    files = (*sidecar, "files")
    yield from listed(mine, files, as_list(ours.value(files)), last, remote_of)
    yield from listed(mine, (*sidecar, "volumes"), volumes, last, target_of)
    yield from bucket_keys(mine, (*sidecar, "env"), last)


def _scalars(value: Any, path: Path) -> Iterator[Path]:
    """Yield the paths of what is no list, but for where the accessory runs."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in PLACEMENTS:
                yield from _scalars(inner, (*path, key))
    elif not isinstance(value, list):
        yield path


def _placed(block: list[str], placement: Placement | None) -> list[str]:
    """Return the accessory's block with `placement` in the place of the one it is rendered with."""
    sidecar = YamlText("\n".join(block) + "\n")
    [name] = sidecar.data
    for key in PLACEMENTS:
        if sidecar.has((name, key)):
            if placement and key == placement.key == "roles":
                lines = sidecar.text.splitlines()
                at = sidecar.line((name, key))
                lines[at] = re.sub(r"- .*", f"- {placement.value}", lines[at])
                return lines
            sidecar = sidecar.remove((name, key))
    if placement:
        sidecar = sidecar.add((name, placement.key), list(placement.lines))
    return sidecar.text.splitlines()


def _with_volumes(block: list[str], volumes: Sequence[str], mounted: Sequence[str]) -> list[str]:
    """Return the accessory's block with those of `volumes` that are `mounted` otherwise."""
    other = {one: new for one, new in zip(volumes, mounted, strict=True) if one != new}
    if not other:
        return block
    sidecar = YamlText("\n".join(block) + "\n")
    path = (*sidecar.data, "volumes")
    sidecar = sidecar.append(path, list(other.values()))
    return sidecar.remove_items(path, list(other)).text.splitlines()
