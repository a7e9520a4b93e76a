"""Puts what backups need into an owner's config/deploy.yml and its destinations, and nothing else.

The lines are those of the config/deploy.yml that the template renders. Which of them are missing is
asked of Kamal's own view, a destination laid over the base; where one cannot be put in with
certainty, the file stays as it is and all of its lines are handed back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kamalstream import facts
from kamalstream.edit.edited import ByHand, Edited, UnsureError
from kamalstream.edit.yaml_text import Path, YamlText
from kamalstream.inspect.kamal_containers import PLACEMENTS
from kamalstream.inspect.kamal_files import merged

SIDECAR: Path = ("accessories", "litestream")
CONFIG_VARIABLE = "LITESTREAM_CONFIG"
#: Where `env:` has one of these, Kamal passes over what stands beside them.
ENV_PARTS = {"clear", "secret", "tags"}
# Of a sidecar that its owner has already at adoption: what has to be as it is rendered.
_SCALARS: tuple[Path, ...] = tuple(
    (*SIDECAR, *x) for x in (("image",), ("cmd",), ("options", "user"))
)
# Those of a fresh app, whether it has backups or not.
_ALIASES_OF_RAILS = {"console", "shell", "logs", "dbc"}


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


def filled_in(text: str, answers: Mapping[str, Any]) -> str:
    """Return `text` with answers in the place of what generators write where they belong.

    Where that is not sure to change those values alone, `text` comes back as it is.
    """
    new = {
        placeholder: str(answers[name])
        for name, placeholders in facts.PLACEHOLDERS.items()
        for placeholder in placeholders
        if answers.get(name)
    }
    found = (
        re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, new))})(?![\w.-])") if new else None
    )
    if found is None or not found.search(text):
        return text
    lines = [
        line if line.lstrip().startswith("#") else found.sub(lambda one: new[one[0]], line)
        for line in text.splitlines(keepends=True)
    ]

    def expected(value: Any) -> Any:
        if isinstance(value, dict):
            return {expected(key): expected(one) for key, one in value.items()}
        if isinstance(value, list):
            return [expected(one) for one in value]
        return found.sub(lambda one: new[one[0]], value) if isinstance(value, str) else value

    try:
        filled = YamlText("".join(lines))
        return filled.text if filled.data == expected(YamlText(text).data) else text
    except UnsureError:
        return text


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
    lacking = [volume for volume in volumes if _target(volume) not in elsewhere]

    def pieces(mine: YamlText) -> Iterator[Piece]:
        yield from _listed(mine, ("volumes",), lacking, before, _target)
        yield from _base(mine, rendered, before, placement, volumes)

    return _edited(facts.DEPLOY, text, before, pieces)


@dataclass(frozen=True)
class Destination:
    """What is needed of one destination, on an update only what was not the last time.

    `config` names its Litestream configuration where it has one of its own, `volumes` hold its
    databases, `hosts` are its servers, `shares` tells whether the accessory of another deployment
    has the same name on the same server, `flat` whether Kamal took all that stands under `env:` for
    variables before config/deploy.yml got its list of secrets.
    """

    name: str
    file: str
    config: str | None
    volumes: tuple[str, ...]
    hosts: tuple[str, ...]
    service: str
    shares: bool
    flat: bool


def edit_destination(
    text: str,
    base: Mapping[str, Any],
    ours: str,
    last: str | None,
    placement: Placement | None,
    needs: Destination,
) -> Edited:
    """Return the destination's file `text` with what `base`, edited already, does not give it.

    `base` is the mapping of config/deploy.yml, `ours` that file as the template renders it, `last`
    as it did the last time, if it knew the destination then.
    """
    rendered, before = YamlText(ours), YamlText(last) if last is not None else None
    return _edited(
        needs.file,
        text,
        None,
        lambda mine: _destination(mine, base, rendered, before, placement, needs),
    )


def _edited(
    file: str,
    text: str,
    last: YamlText | None,
    pieces: Callable[[YamlText], Iterator[Piece]],
) -> Edited:
    """Put all pieces in, or none: then they are named, those that are new since `last`."""
    try:
        mine = YamlText(text)
    except UnsureError as unsure:
        known = last or YamlText("service: x\n")
        return Edited(text, tuple(_by_hand(file, unsure, list(pieces(known)))))
    wanted: list[Piece] = []
    try:
        edited = mine
        # Each is asked for on what the ones before it have made.
        while piece := next(pieces(edited), None):
            if any(piece.written == one.written for one in wanted):
                raise UnsureError(f"{'.'.join(piece.path)} is not read as it is written")
            wanted.append(piece)
            edited = piece.put(edited)
    except UnsureError as unsure:
        return Edited(text, tuple(_by_hand(file, unsure, list(pieces(mine)))))
    return Edited(edited.text)


def _by_hand(file: str, unsure: UnsureError, pieces: list[Piece]) -> Iterator[ByHand]:
    for piece in pieces:
        yield ByHand(file, unsure.line, unsure.why, piece.written)


def _base(
    mine: YamlText,
    ours: YamlText,
    last: YamlText | None,
    placement: Placement | None,
    volumes: Sequence[str],
) -> Iterator[Piece]:
    yield from _keys(mine, ("env",), last)
    yield from _current(mine, ("deploy_timeout",), ours, last)
    if mine.has(SIDECAR):
        yield from _sidecar(mine, ours, last, volumes)
    elif not _had(last, SIDECAR):
        yield _entry(SIDECAR, _placed(ours.block(SIDECAR), placement))
    for name in ours.value(("aliases",)) or ():
        if name not in _ALIASES_OF_RAILS:
            yield from _current(mine, ("aliases", name), ours, last)


def _keys(mine: YamlText, env: Path, last: YamlText | None) -> Iterator[Piece]:
    """Ask for the bucket's keys in the list of secrets of the mapping `env`."""
    path = (*env, "secret")
    have = {str(name).split(":")[0] for name in _list(mine.value(path))}
    had = _list(last.value(path)) if last else []
    names = [n for n in facts.BUCKET_KEYS if n not in have and n not in had]
    if names:
        yield from _sorted_out(mine, env)
        yield _items(path, names)


def _sorted_out(mine: YamlText, env: Path) -> Iterator[Piece]:
    """Ask for `clear:` above variables that Kamal takes for clear, as there is no secret one."""
    section = mine.value(env)
    if isinstance(section, dict) and section and not ENV_PARTS & set(section):
        yield Piece((*env, "clear"), ("clear:",), lambda text: text.indent_under(env, "clear"))


def _sidecar(
    mine: YamlText, ours: YamlText, last: YamlText | None, volumes: Sequence[str]
) -> Iterator[Piece]:
    """Complete an accessory that is there already."""
    image = (*SIDECAR, "image")
    if last is None and mine.has(image) and mine.value(image) != ours.value(image):
        # Of another release it would not read the config/litestream.yml that is rendered.
        yield _value(image, ours.value(image))
    for path in _SCALARS if last is None else _scalars(ours.value(SIDECAR), SIDECAR):
        yield from _current(mine, path, ours, last)
    files = (*SIDECAR, "files")
    yield from _listed(mine, files, _list(ours.value(files)), last, _remote)
    yield from _listed(mine, (*SIDECAR, "volumes"), volumes, last, _target)
    yield from _keys(mine, (*SIDECAR, "env"), last)


def _scalars(value: Any, path: Path) -> Iterator[Path]:
    """Yield the paths of what is no list, but for where the accessory runs."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in PLACEMENTS:
                yield from _scalars(inner, (*path, key))
    elif not isinstance(value, list):
        yield path


def _destination(
    mine: YamlText,
    base: Mapping[str, Any],
    ours: YamlText,
    last: YamlText | None,
    placement: Placement | None,
    needs: Destination,
) -> Iterator[Piece]:
    whole = merged(base, mine.data)
    if needs.flat:
        yield from _sorted_out(mine, ("env",))
    if mine.has(("env", "secret")):
        # A list takes the place of the base's.
        yield from _keys(mine, ("env",), last)
    sidecar = whole.get("accessories") or {}
    sidecar = sidecar.get(SIDECAR[-1]) or {} if isinstance(sidecar, dict) else {}
    if mine.has((*SIDECAR, "env", "secret")):
        yield from _keys(mine, (*SIDECAR, "env"), last)
    image = (*SIDECAR, "image")
    stands = mine.value(image)
    if stands not in (None, ours.value(image)) and (not last or stands == last.value(image)):
        yield _value(image, ours.value(image))
    if needs.config:
        path: Path = ("env", "clear", CONFIG_VARIABLE)
        if not mine.has(path):
            comment = "# Backups of this destination have a path of their own."
            yield _entry(path, [comment, f"{CONFIG_VARIABLE}: {needs.config}"])
        files = (*SIDECAR, "files")
        wanted = f"{needs.config}:/etc/litestream.yml"
        if not any(str(one).startswith(wanted) for one in _list(mine.value(files))):
            yield _items(files, [wanted])
    mounted = {tuple(str(volume).split(":")[:2]) for volume in _list(sidecar.get("volumes"))}
    if any(tuple(volume.split(":")[:2]) not in mounted for volume in needs.volumes):
        path = (*SIDECAR, "volumes")
        here = {tuple(str(volume).split(":")[:2]) for volume in _list(mine.value(path))}
        missing = [v for v in needs.volumes if tuple(v.split(":")[:2]) not in here]
        if missing:
            yield _items(path, missing)
    if needs.shares and "service" not in sidecar:
        name = f"{needs.service}-litestream-{needs.name}"
        comment = "# Another deployment has an accessory of the same name on this server."
        yield _entry((*SIDECAR, "service"), [comment, f"service: {name}"])
    yield from _place(sidecar, placement, needs)


def _place(
    sidecar: Mapping[str, Any], placement: Placement | None, needs: Destination
) -> Iterator[Piece]:
    """Have the accessory run where this destination's app runs."""
    said = [key for key in PLACEMENTS if key in sidecar]
    server = needs.hosts[0] if needs.hosts else None
    if not said and placement:
        yield _entry((*SIDECAR, placement.key), placement.lines)
    elif not said and server:
        yield _entry((*SIDECAR, "host"), Placement("host", server).lines)
    elif said == ["host"] and server and sidecar["host"] not in needs.hosts:
        yield _entry_or_value((*SIDECAR, "host"), server)
    elif said == ["hosts"] and server and not set(_list(sidecar["hosts"])) & set(needs.hosts):
        yield _items((*SIDECAR, "hosts"), [server])


def _current(mine: YamlText, path: Path, ours: YamlText, last: YamlText | None) -> Iterator[Piece]:
    """Ask for a line of ours that is missing, or is still as the release before wrote it.

    One that its owner took out stays out, and one that they changed stays as it is.
    """
    new = ours.value(path)
    if not mine.has(path):
        if ours.has(path) and not _had(last, path):
            yield _entry(path, ours.block(path))
    elif last and new is not None and mine.value(path) == last.value(path) != new:
        yield _value(path, new)


def _listed(
    mine: YamlText,
    path: Path,
    ours: Sequence[Any],
    last: YamlText | None,
    place: Callable[[Any], str],
) -> Iterator[Piece]:
    """Ask for the items `ours` of a list, of which each has a `place` in the container."""
    have = {place(one): one for one in _list(mine.value(path))}
    had = {place(one): one for one in (_list(last.value(path)) if last else ())}
    moved = [
        one for one in ours if place(one) in have and have[place(one)] == had.get(place(one)) != one
    ]
    old = [had[place(one)] for one in moved]
    if moved:
        lines = (f"{path[-1]}:", *(f"  - {one}" for one in moved))
        yield Piece(path, lines, lambda text: text.remove_items(path, old).append(path, moved))
    missing = [one for one in ours if place(one) not in have and place(one) not in had]
    if missing:
        yield _items(path, missing)


def _had(last: YamlText | None, path: Path) -> bool:
    return last is not None and last.has(path)


def _entry(path: Path, block: Sequence[str]) -> Piece:
    return Piece(path, tuple(block), lambda text: text.add(path, list(block)))


def _value(path: Path, value: Any) -> Piece:
    return Piece(path, (f"{path[-1]}: {value}",), lambda text: text.set(path, value))


def _entry_or_value(path: Path, value: str) -> Piece:
    line = f'{path[-1]}: "{value}"'

    def put(text: YamlText) -> YamlText:
        return text.set(path, value) if text.has(path) else text.add(path, [line])

    return Piece(path, (line,), put)


def _items(path: Path, items: Sequence[Any]) -> Piece:
    lines = (f"{path[-1]}:", *(f"  - {item}" for item in items))
    return Piece(path, lines, lambda text: text.append(path, list(items)))


def _placed(block: list[str], placement: Placement | None) -> list[str]:
    """Return the accessory's block with `placement` in the place of the one it is rendered with."""
    sidecar = YamlText("\n".join(block) + "\n")
    name = SIDECAR[-1]
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


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _target(volume: Any) -> str:
    parts = str(volume).split(":")
    return parts[1].rstrip("/") if len(parts) > 1 else ""


def _remote(file: Any) -> str:
    if isinstance(file, dict):
        return str(file.get("remote"))
    return str(file).split(":")[1] if ":" in str(file) else ""
