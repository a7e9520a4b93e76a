"""Edits an owner's config/deploy.yml and destinations so that each deployment is backed up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kamalstream import facts
from kamalstream.edit.adoption import Adoption, FileEdit
from kamalstream.edit.deploy_yml import edit_base
from kamalstream.edit.destination_yml import Destination, edit_destination
from kamalstream.edit.edited import ByHand, UnsureError
from kamalstream.edit.kamal_pieces import (
    ENV_PARTS,
    SIDECAR,
    UPLOADS,
    Placement,
    recognized,
)
from kamalstream.edit.placeholders import filled_in
from kamalstream.edit.yaml_text import YamlText
from kamalstream.inspect.kamal.containers import PLACEMENTS
from kamalstream.inspect.kamal.deployment import Deployment
from kamalstream.inspect.kamal.files import merged
from kamalstream.inspect.kamal.values import mapping

# Where a text cannot be parsed: a key below the accessory.
_PLACED = re.compile(
    rf"^ +{SIDECAR[-1]}:\s*?\n(?: {{4,}}.*\n|\s*\n)*? {{4,}}({'|'.join(PLACEMENTS)}):",
    re.M,
)


def deployments(adoption: Adoption) -> Iterator[FileEdit]:
    """Edit config/deploy.yml and its destinations."""
    kamal, ours = adoption.kamal, adoption.ours(facts.DEPLOY)
    base, by_hand = ours, tuple[ByHand, ...]()
    named = [one for one in (kamal.deployments if kamal else ()) if one.name]
    # A new one gives way to those that are there.
    named = sorted(filter(adoption.is_taken_in, named), key=adoption.is_new)
    texts = {one.file: adoption.text(one.file) or "" for one in named}
    placed = [key for text in texts.values() if (key := _placed_by(text))]
    by_role = Placement("roles", kamal.base.primary_role_name if kamal else "web")
    if adoption.is_own(facts.DEPLOY):
        text = adoption.text(facts.DEPLOY) or ""
        server = kamal.base.server if kamal else None
        by_host = Placement("hosts" if "hosts" in placed else "host", server) if server else None
        edited = edit_base(
            filled_in(text, adoption.answers),
            ours,
            adoption.was(facts.DEPLOY),
            by_host if placed else by_role,
            adoption.volumes,
            _mounted_elsewhere(kamal.main) if kamal and kamal.main else (),
        )
        yield FileEdit(facts.DEPLOY, text, edited)
        base, by_hand = edited.text, edited.by_hand
    whole = _with(base, by_hand)
    waits = any(SIDECAR[0] in YamlText(one.lines).data for one in by_hand)
    ours_has, last = YamlText(ours).has(UPLOADS), adoption.was(facts.DEPLOY)
    had = {SIDECAR} | ({UPLOADS} if last and YamlText(last).has(UPLOADS) else set())
    for one in named:
        needs = replace(_needs(adoption, one, named), waits=waits)
        text = texts[one.file]
        if UPLOADS in had and not ours_has:
            text = _without_uploads(text)
        all_of_ours = (SIDECAR, UPLOADS) if ours_has else (SIDECAR,)
        edited = edit_destination(text, whole, ours, None, by_role, needs, all_of_ours)
        if not _starts_anew(adoption, one, texts[one.file]) and not edited.by_hand:
            came = [path for path in all_of_ours if path not in had]
            if came:
                edited = edit_destination(text, whole, ours, None, by_role, needs, came)
                text = edited.text
            stayed, needs = [path for path in all_of_ours if path in had], _new_needs(adoption, one)
            edited = edit_destination(text, whole, ours, last, None, needs, stayed)
        yield FileEdit(one.file, texts[one.file], edited)


def _without_uploads(text: str) -> str:
    """Return a destination's `text` without its part of an accessory that is no more."""
    try:
        mine = YamlText(text)
        return mine.remove(UPLOADS).text if mine.has(UPLOADS) else text
    except UnsureError:
        return text


def _starts_anew(adoption: Adoption, one: Deployment, text: str) -> bool:
    """Return whether a destination has nothing of ours: it is new, or waited for the base."""
    main = adoption.kamal and adoption.kamal.main
    return adoption.is_new(one) or (one is not main and "litestream" not in text.lower())


def _with(base: str, by_hand: Sequence[ByHand]) -> dict[str, Any]:
    """Return what config/deploy.yml says once its owner has put in what is `by_hand`."""
    try:
        whole = YamlText(base).data
    except UnsureError:
        whole = recognized(base).data
    for one in by_hand:
        put = YamlText(one.lines).data
        whole = merged(whole, put) if SIDECAR[0] in put else whole
    return whole


def _placed_by(text: str) -> str | None:
    """Return the key by which a destination says where the accessory runs.

    Kamal takes one alone, so config/deploy.yml may have no other.
    """
    try:
        sidecar = YamlText(text).value(SIDECAR)
    except UnsureError:
        found = _PLACED.search(text)
        return found[1] if found else None
    return next((key for key in PLACEMENTS if key in mapping(sidecar)), None)


def _mounted_elsewhere(one: Deployment) -> set[str]:
    """Return the folders of the app that have a mount, other than by the base's `volumes:`."""
    of_role = one.primary_role.mounts if one.primary_role else ()
    return {mount.target for mount in one.mounts if mount.file != facts.DEPLOY or mount in of_role}


def _needs(adoption: Adoption, one: Deployment, named: list[Deployment]) -> Destination:
    name = one.name or ""
    further = (adoption.answers.get("destinations") or {}).get(name)
    volumes = _volumes(adoption.answers, name, adoption.volumes)
    others = [other for other in named[: named.index(one)] if other.service == one.service]
    return Destination(
        name,
        one.file,
        facts.litestream_of(name) if further is not None else None,
        volumes,
        one.hosts,
        one.service or "",
        any(set(one.hosts) & set(other.hosts) for other in [*others, *_base_alone(adoption, one)]),
        not ENV_PARTS & mapping(one.get("env")).keys(),
    )


def _new_needs(adoption: Adoption, one: Deployment) -> Destination:
    """Return what a destination needs that was not needed the last time."""
    name = one.name or ""
    had = _volumes(adoption.last_answers, name, adoption.last_volumes)
    volumes = _volumes(adoption.answers, name, adoption.volumes)
    new = tuple(volume for volume in volumes if volume not in had)
    return Destination(name, one.file, None, new, (), one.service or "", False, False)


def _volumes(
    answers: Mapping[str, Any], destination: str, of_main: tuple[str, ...]
) -> tuple[str, ...]:
    further = (answers.get("destinations") or {}).get(destination) or {}
    return tuple(further.get("volumes") or of_main)


def _base_alone(adoption: Adoption, one: Deployment) -> list[Deployment]:
    main = adoption.kamal.main if adoption.kamal else None
    return [main] if main and main is not one and main.service == one.service else []
