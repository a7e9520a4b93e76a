"""What is put into Kamal's files, piece by piece: which is missing, and how it gets there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kamalstream import facts
from kamalstream.edit.edited import ByHand, Edited, UnsureError
from kamalstream.edit.yaml_text import Path, YamlText
from kamalstream.inspect.erb_yaml import alternatives
from kamalstream.inspect.kamal.containers import PLACEMENTS
from kamalstream.inspect.kamal.values import as_list

SIDECAR: Path = ("accessories", "litestream")
#: The accessory beside it, where uploaded files are copied too.
UPLOADS: Path = ("accessories", facts.UPLOADS)
#: Where `env:` has one of these, Kamal passes over what stands beside them.
ENV_PARTS = {"clear", "secret", "tags"}


@dataclass(frozen=True)
class Piece:
    """Lines for the entry at `path`, from column 0, and how they are put in."""

    path: Path
    lines: tuple[str, ...]
    put: Callable[[YamlText], YamlText]

    @property
    def written(self) -> str:
        """The lines below the keys that lead to them, as they stand in a file."""
        *parents, _ = self.path
        return "\n".join(
            [
                *("  " * depth + f"{key}:" for depth, key in enumerate(parents)),
                *("  " * len(parents) + line for line in self.lines),
            ]
        )


@dataclass(frozen=True)
class Placement:
    """How the accessory finds its server: the key (of `PLACEMENTS`) and its value, or the one."""

    key: str
    value: str

    @property
    def lines(self) -> tuple[str, ...]:
        """The entry, from column 0."""
        if self.key in ("hosts", "roles"):
            return (
                f"{self.key}:",
                f'  - "{self.value}"' if "." in self.value else f"  - {self.value}",
            )
        return (f'{self.key}: "{self.value}"',)


#: Which pieces a text wants, given what was rendered the last time (None: nothing was).
Pieces = Callable[[YamlText, YamlText | None], Iterator[Piece]]


def with_pieces(file: str, text: str, last: YamlText | None, pieces: Pieces) -> Edited:
    """Put all pieces in, or none: then those that are missing are named.

    Where they cannot be put in, they never were, so their owner has not taken them out either.
    """
    try:
        mine = YamlText(text)
    except UnsureError as unsure:
        known = recognized(text)
        return Edited(text, tuple(_by_hand(file, unsure, list(pieces(known, None)))))
    try:
        _put(mine, lambda now: pieces(now, None))
        return Edited(_put(mine, lambda now: pieces(now, last)).text)
    except UnsureError as unsure:
        missing = [*pieces(mine, None), *(pieces(mine, last) if last else ())]
        by_name = {piece.written: piece for piece in missing}
        return Edited(text, tuple(_by_hand(file, unsure, list(by_name.values()))))


def _put(mine: YamlText, pieces: Callable[[YamlText], Iterator[Piece]]) -> YamlText:
    wanted: list[Piece] = []
    # Each is asked for on what the ones before it have made.
    while piece := next(pieces(mine), None):
        if any(piece.written == one.written for one in wanted):
            raise UnsureError(f"{'.'.join(piece.path)} is not read as it is written")
        wanted.append(piece)
        mine = piece.put(mine)
    return mine


def recognized(text: str) -> YamlText:
    """Return what a text that cannot be edited says: with what its blocks of code may put there.

    Else what can be told by its lines: the volumes.
    """
    listed = re.search(r"^volumes:[ \t]*\n((?:[ \t]+\S.*\n|[ \t]*\n)+)", text + "\n", re.MULTILINE)
    items = re.findall(r"^[ \t]+- .*$", listed[1], re.MULTILINE) if listed else []
    by_lines = "\n".join(["service: x", *(["volumes:", *items] if items else []), ""])
    for one in (*alternatives(text)[1:2], by_lines):
        try:
            return YamlText(one)
        except UnsureError:
            continue
    return YamlText("service: x\n")


def _by_hand(file: str, unsure: UnsureError, pieces: list[Piece]) -> Iterator[ByHand]:
    for piece in pieces:
        why = f"{unsure.why}; a key that is there stays, what is below it here goes below it there"
        yield ByHand(file, unsure.line, why, piece.written)


def bucket_keys(mine: YamlText, env: Path, last: YamlText | None) -> Iterator[Piece]:
    """Ask for the bucket's keys in the list of secrets of the mapping `env`."""
    path = (*env, "secret")
    have = {str(name).split(":")[0] for name in as_list(mine.value(path))}
    had = as_list(last.value(path)) if last else []
    names = [n for n in facts.BUCKET_KEYS if n not in have and n not in had]
    if names:
        yield from sorted_out(mine, env)
        yield add_items(path, names)


def sorted_out(mine: YamlText, env: Path) -> Iterator[Piece]:
    """Ask for `clear:` above variables that Kamal takes for clear, as there is no secret one."""
    section = mine.value(env)
    if isinstance(section, dict) and section and not ENV_PARTS & set(section):
        yield Piece((*env, "clear"), ("clear:",), lambda text: text.indent_under(env, "clear"))


def kept_current(
    mine: YamlText, path: Path, ours: YamlText, last: YamlText | None
) -> Iterator[Piece]:
    """Ask for a line of ours that is missing, or is still as the release before wrote it.

    One that its owner took out stays out, and one that they changed stays as it is.
    """
    new = ours.value(path)
    if not mine.has(path):
        if ours.has(path) and not was_there(last, path):
            yield add_entry(path, ours.block(path))
    elif last and new is not None and mine.value(path) == last.value(path) != new:
        yield set_value(path, new)


def listed(
    mine: YamlText,
    path: Path,
    ours: Sequence[Any],
    last: YamlText | None,
    place: Callable[[Any], str],
) -> Iterator[Piece]:
    """Ask for the items `ours` of a list, of which each has a `place` in the container."""
    have = {place(one): one for one in as_list(mine.value(path))}
    had = {place(one): one for one in (as_list(last.value(path)) if last else ())}
    moved = [
        one for one in ours if place(one) in have and have[place(one)] == had.get(place(one)) != one
    ]
    old = [had[place(one)] for one in moved]
    if moved:
        lines = (f"{path[-1]}:", *(f"  - {one}" for one in moved))
        yield Piece(path, lines, lambda text: text.remove_items(path, old).append(path, moved))
    missing = [one for one in ours if place(one) not in have and place(one) not in had]
    if missing:
        yield add_items(path, missing)


def dropped(mine: YamlText, path: Path, ours: YamlText, last: YamlText | None) -> Iterator[Piece]:
    """Ask to take out what the last release had below `path`, this one has not, and is as it was.

    Where the accessory runs is not looked at: it is not as it is rendered.
    """
    before = last.value(path) if last else None
    if isinstance(before, dict):
        for key in before:
            yield from dropped(mine, (*path, key), ours, last) if key not in PLACEMENTS else ()
    elif before is not None and not ours.has(path) and mine.value(path) == before:
        yield Piece(path, (f"# {path[-1]}: is no more",), lambda text: text.remove(path))


def was_there(last: YamlText | None, path: Path) -> bool:
    """Return whether the last release had an entry at `path`."""
    return last is not None and last.has(path)


def add_entry(path: Path, block: Sequence[str]) -> Piece:
    """Return the piece that adds the lines `block`, the entry at `path`."""
    return Piece(path, tuple(block), lambda text: text.add(path, list(block)))


def set_value(path: Path, value: Any) -> Piece:
    """Return the piece that writes another `value` at `path`."""
    return Piece(path, (f"{path[-1]}: {value}",), lambda text: text.set(path, value))


def add_items(path: Path, items: Sequence[Any]) -> Piece:
    """Return the piece that adds `items` to the list at `path`, there or not."""
    lines = (f"{path[-1]}:", *(f"  - {item}" for item in items))
    return Piece(path, lines, lambda text: text.append(path, list(items)))


def target_of(volume: Any) -> str:
    """Return the folder of the container that a volume, as Kamal writes it, is mounted on."""
    # Code may have colons of its own.
    parts = re.sub(r"<%.*?%>", "ERB", str(volume)).split(":")
    return parts[1].rstrip("/") if len(parts) > 1 else ""


def remote_of(file: Any) -> str:
    """Return the path in the container of an accessory's file, as Kamal writes it."""
    if isinstance(file, dict):
        return str(file.get("remote"))
    return str(file).split(":")[1] if ":" in str(file) else ""


def as_written(volumes: Sequence[str], here: Any) -> list[str]:
    """Return `volumes` as the app's list `here` has them: what is mounted there is mounted so."""
    mounted = {target_of(one): str(one) for one in as_list(here)}
    return [mounted.get(target_of(volume), volume) for volume in volumes]


def taken_out(file: str, text: str, ours: YamlText) -> Edited:
    """Return a file of Kamal's without what is for the backups; `ours` is config/deploy.yml.

    A time limit and an alias go where they are as we write them. What cannot be taken out with
    certainty is by hand.
    """
    try:
        mine = YamlText(text)
    except UnsureError as unsure:
        if "litestream" not in text.lower():
            return Edited(text)
        why = f"{unsure.why}; take the entries of these names out"
        return Edited(text, (ByHand(file, unsure.line, why, "\n".join(_NAMES)),))
    by_hand: list[ByHand] = []
    steps: list[tuple[Path, Callable[[YamlText], YamlText]]] = [
        (SIDECAR, lambda now: now.remove(SIDECAR)),
        (("env", "clear", "LITESTREAM_CONFIG"), lambda now: now.remove(_CONFIG)),
        (("env", "secret"), lambda now: now.remove_items(("env", "secret"), facts.BUCKET_KEYS)),
        *((path, _removing(path)) for path in _as_rendered(mine, ours)),
    ]
    for path, step in steps:
        if not mine.has(path):
            continue
        try:
            if path == SIDECAR and not _is_ours(mine, ours):
                raise UnsureError("the accessory is your own; its keys and files were ours")
            mine = step(mine)
        except UnsureError as unsure:
            by_hand.append(ByHand(file, unsure.line or mine.line(path), unsure.why, ".".join(path)))
    return Edited(mine.text, tuple(by_hand))


_CONFIG: Path = ("env", "clear", "LITESTREAM_CONFIG")
_NAMES = ("accessories: litestream:", "LITESTREAM_CONFIG", *facts.BUCKET_KEYS)


def _is_ours(mine: YamlText, ours: YamlText) -> bool:
    """Return whether the accessory starts our program, or is a destination's part of one."""
    start: Path = (*SIDECAR, "options", "entrypoint")
    return not mine.has((*SIDECAR, "image")) or mine.value(start) == ours.value(start)


def _removing(path: Path) -> Callable[[YamlText], YamlText]:
    return lambda text: text.remove(path)


def _as_rendered(mine: YamlText, ours: YamlText) -> Iterator[Path]:
    """Yield the aliases and settings that came with the backups and are as they were rendered."""
    for alias in ("backups", "backup-now"):
        path = ("aliases", alias)
        if mine.has(path) and mine.value(path) == ours.value(path):
            yield path
    for name in ("deploy_timeout", "minimum_version"):
        # Without our comment it may have been there before.
        if mine.line((name,)) and mine.block((name,)) == ours.block((name,)):
            yield (name,)
