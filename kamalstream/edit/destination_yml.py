"""Puts what backups need into an owner's destination of Kamal, config/deploy.NAME.yml.

What is missing is asked of Kamal's own view, the destination laid over config/deploy.yml.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kamalstream import facts
from kamalstream.edit.edited import Edited, UnsureError
from kamalstream.edit.kamal_pieces import (
    SIDECAR,
    UPLOADS,
    Piece,
    Placement,
    add_entry,
    add_items,
    as_written,
    bucket_keys,
    remote_of,
    set_value,
    sorted_out,
    target_of,
    with_pieces,
)
from kamalstream.edit.yaml_text import Path, YamlText
from kamalstream.inspect.kamal.containers import PLACEMENTS
from kamalstream.inspect.kamal.files import merged
from kamalstream.inspect.kamal.values import as_list

CONFIG_VARIABLE = "LITESTREAM_CONFIG"
#: Where Litestream reads its configuration.
CONFIG_FILE = "/etc/litestream.yml"
#: Where rclone does.
RCLONE_FILE = "/etc/rclone.conf"


@dataclass(frozen=True)
class Destination:
    """What is needed of one destination, on an update only what was not the last time.

    `config` names its Litestream configuration where it has one of its own, `volumes` hold its
    databases, `hosts` are its servers, `shares` tells whether the accessory of another deployment
    has the same name on the same server, `flat` whether Kamal took all that stands under `env:` for
    variables before config/deploy.yml got its list of secrets, `waits` whether the accessory
    has yet to be put into that by hand: a part of it here alone would be refused by Kamal.
    """

    name: str
    file: str
    config: str | None
    volumes: tuple[str, ...]
    hosts: tuple[str, ...]
    service: str
    shares: bool
    flat: bool
    waits: bool = False


def edit_destination(
    text: str,
    base: Mapping[str, Any],
    ours: str,
    last: str | None,
    placement: Placement | None,
    needs: Destination,
    accessories: Sequence[Path] = (SIDECAR,),
) -> Edited:
    """Return the destination's file `text` with what `base`, edited already, does not give it.

    `accessories` are those of ours that are looked at.

    `base` is the mapping of config/deploy.yml, `ours` that file as the template renders it, `last`
    as it did the last time, if it knew the destination then.
    """
    rendered, before = YamlText(ours), YamlText(last) if last is not None else None
    return with_pieces(
        needs.file,
        text,
        None,
        lambda mine, _: (
            _waiting(piece) if needs.waits and piece.path[0] == SIDECAR[0] else piece
            for piece in _destination(mine, base, rendered, before, placement, needs, accessories)
        ),
    )


def _waiting(piece: Piece) -> Piece:
    def put(_: YamlText) -> YamlText:
        raise UnsureError("the accessory has to be in config/deploy.yml first")

    return replace(piece, put=put)


def _destination(
    mine: YamlText,
    base: Mapping[str, Any],
    ours: YamlText,
    last: YamlText | None,
    placement: Placement | None,
    needs: Destination,
    accessories: Sequence[Path],
) -> Iterator[Piece]:
    whole = merged(base, mine.data)
    if needs.flat:
        yield from sorted_out(mine, ("env",))
    if mine.has(("env", "secret")):
        # A list takes the place of the base's.
        yield from _keys(mine, ("env",), last)
    for path in accessories:
        yield from _accessory(path, mine, whole, ours, last, placement, needs)


def _accessory(
    at: Path,
    mine: YamlText,
    whole: Mapping[str, Any],
    ours: YamlText,
    last: YamlText | None,
    placement: Placement | None,
    needs: Destination,
) -> Iterator[Piece]:
    """Have what the accessory `at` of ours lacks in this destination."""
    sidecar = whole.get("accessories") or {}
    sidecar = sidecar.get(at[-1]) or {} if isinstance(sidecar, dict) else {}
    if mine.has((*at, "env", "secret")):
        yield from _keys(mine, (*at, "env"), last)
    image = (*at, "image")
    stands = mine.value(image)
    if stands not in (None, ours.value(image)) and (not last or stands == last.value(image)):
        yield set_value(image, ours.value(image))
    if needs.config and at == SIDECAR:
        path: Path = ("env", "clear", CONFIG_VARIABLE)
        if not mine.has(path):
            comment = "# Backups of this destination have a path of their own."
            yield add_entry(path, [comment, f"{CONFIG_VARIABLE}: {needs.config}"])
    files = list(_files(at, mine, ours, last, needs))
    if files:
        yield add_items((*at, "files"), files)
    mounted = {tuple(str(volume).split(":")[:2]) for volume in as_list(sidecar.get("volumes"))}
    volumes = as_written(_volumes(at, ours, needs), whole.get("volumes"))
    if any(tuple(volume.split(":")[:2]) not in mounted for volume in volumes):
        path = (*at, "volumes")
        here = {tuple(str(volume).split(":")[:2]) for volume in as_list(mine.value(path))}
        missing = [v for v in volumes if tuple(v.split(":")[:2]) not in here]
        if missing:
            yield add_items(path, missing)
    if needs.shares and "service" not in sidecar:
        name = f"{needs.service}-{at[-1]}-{needs.name}"
        comment = "# Another deployment has an accessory of the same name on this server."
        yield add_entry((*at, "service"), [comment, f"service: {name}"])
    yield from _place(at, sidecar, placement, needs)


def _volumes(at: Path, ours: YamlText, needs: Destination) -> tuple[str, ...]:
    """Return the volumes that the accessory `at` needs: all, or the one with uploaded files."""
    if at == SIDECAR:
        return needs.volumes
    targets = {target_of(one) for one in as_list(ours.value((*at, "volumes")))}
    return tuple(one for one in needs.volumes if target_of(one) in targets)


def _files(
    at: Path, mine: YamlText, ours: YamlText, last: YamlText | None, needs: Destination
) -> Iterator[str]:
    """Yield what the accessory's list of files lacks; it takes the place of the base's."""
    path: Path = (*at, "files")
    config = needs.config
    if config and at == UPLOADS:
        config = facts.rclone_of(needs.name)
    configs = {CONFIG_FILE: facts.LITESTREAM, RCLONE_FILE: facts.RCLONE}
    here = [str(one) for one in as_list(mine.value(path))]
    had = {remote_of(one) for one in as_list(last.value(path))} if last else set()
    for file in map(str, as_list(ours.value(path))):
        remote = remote_of(file)
        if remote in configs:
            if config and not any(one.startswith(f"{config}:{remote}") for one in here):
                yield file.replace(configs[remote], config)
        elif (config or here) and remote not in {*map(remote_of, here), *had}:
            yield file


def _keys(mine: YamlText, env: Path, last: YamlText | None) -> Iterator[Piece]:
    """Ask for the keys in a list of the destination's own.

    One that has none of them came later: it would hide those of the base.
    """
    names = {str(name).split(":")[0] for name in as_list(mine.value((*env, "secret")))}
    yield from bucket_keys(mine, env, last if names & {*facts.BUCKET_KEYS} else None)


def _place(
    at: Path, sidecar: Mapping[str, Any], placement: Placement | None, needs: Destination
) -> Iterator[Piece]:
    """Have the accessory run where this destination's app runs."""
    said = [key for key in PLACEMENTS if key in sidecar]
    server = needs.hosts[0] if needs.hosts else None
    if not said and placement:
        yield add_entry((*at, placement.key), placement.lines)
    elif not said and server:
        yield add_entry((*at, "host"), Placement("host", server).lines)
    elif said == ["host"] and server and sidecar["host"] not in needs.hosts:
        yield _entry_or_value((*at, "host"), server)
    elif said == ["hosts"] and server and not set(as_list(sidecar["hosts"])) & set(needs.hosts):
        yield add_items((*at, "hosts"), [server])


def _entry_or_value(path: Path, value: str) -> Piece:
    line = f'{path[-1]}: "{value}"'

    def put(text: YamlText) -> YamlText:
        return text.set(path, value) if text.has(path) else text.add(path, [line])

    return Piece(path, (line,), put)
