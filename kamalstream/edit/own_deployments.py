"""Edits an owner's config/deploy.yml and destinations so that each deployment is backed up."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kamalstream import facts
from kamalstream.edit.adoption import Adoption, FileEdit
from kamalstream.edit.deploy_yml import edit_base
from kamalstream.edit.destination_yml import Destination, edit_destination
from kamalstream.edit.edited import UnsureError
from kamalstream.edit.kamal_pieces import ENV_PARTS, SIDECAR, Placement
from kamalstream.edit.placeholders import filled_in
from kamalstream.edit.yaml_text import YamlText
from kamalstream.inspect.kamal.containers import PLACEMENTS
from kamalstream.inspect.kamal.deployment import Deployment
from kamalstream.inspect.kamal.values import mapping

# Where a text cannot be parsed: a key below the accessory.
_PLACED = re.compile(
    rf"^ +{SIDECAR[-1]}:\s*?\n(?: {{4,}}.*\n|\s*\n)*? {{4,}}({'|'.join(PLACEMENTS)}):",
    re.M,
)


def deployments(adoption: Adoption) -> Iterator[FileEdit]:
    """Edit config/deploy.yml and its destinations."""
    kamal, ours = adoption.kamal, adoption.ours(facts.DEPLOY)
    base = ours
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
        base = edited.text
    try:
        whole = YamlText(base).data
    except UnsureError:
        whole = {}
    for one in named:
        needs = _needs(adoption, one, named)
        new = adoption.is_new(one)
        last = None if new else adoption.was(facts.DEPLOY)
        place = by_role if new else None
        edited = edit_destination(texts[one.file], whole, ours, last, place, needs)
        yield FileEdit(one.file, texts[one.file], edited)


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
    volumes = tuple(further.get("volumes") or adoption.volumes) if further else adoption.volumes
    if not adoption.is_new(one):
        before = (adoption.last_answers.get("destinations") or {}).get(name) or {}
        had = before.get("volumes") or adoption.last_volumes
        new = tuple(volume for volume in volumes if volume not in had)
        return Destination(name, one.file, None, new, (), one.service or "", False, False)
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


def _base_alone(adoption: Adoption, one: Deployment) -> list[Deployment]:
    main = adoption.kamal.main if adoption.kamal else None
    return [main] if main and main is not one and main.service == one.service else []
