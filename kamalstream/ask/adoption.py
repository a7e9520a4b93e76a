"""What an adoption starts from, whichever door it comes through: the app, and what was given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kamalstream.ask.answers import Known, is_asked
from kamalstream.ask.detected import (
    detected,
    refuse_namesakes,
    refuse_what_cannot_be_asked,
    unreadable_databases,
)
from kamalstream.ask.image import still_pinned
from kamalstream.ask.questions import Asking
from kamalstream.ask.validators import form
from kamalstream.errors import BadInput
from kamalstream.facts import DATABASE_YML, DEPLOY, data_volumes
from kamalstream.inspect.app import AppFacts

_SAID_BY_DEPLOY_YML = {
    *("app_name", "server_ip", "domain", "ssh_user", "arch"),
    *("registry_server", "registry_username"),
}


def known_answers(facts: AppFacts, given: Mapping[str, Any], before: Mapping[str, Any]) -> Known:
    """Return what is known of the answers: those `given`, else the `before`, else what was read.

    What is never asked is a fact of the app as it is now; only whose the files are was settled the
    first time. What the owner's own config/deploy.yml says is true whatever was answered before.
    Raises BadInput for databases that cannot be kept where they are, and for programs of the
    owner's that are called like ours.
    """
    refuse_namesakes(facts.path)
    if "databases" not in given:
        refuse_what_cannot_be_asked(facts)
    # Null is as good as not said: that they were not looked for yet.
    told = {k: v for k, v in given.items() if k != "own_files" or v is not None}
    if facts.databases.unreadable and "databases" in before:
        told.setdefault("databases", before["databases"])
    own = told.get("own_files", before.get("own_files"))
    found = detected(facts, own if isinstance(own, list) else None)
    found["image"] = still_pinned(found["image"], before.get("image"))
    if "volumes" in before and data_volumes({**before, **told}) == tuple(found["volumes"]):
        # It was named after the app, and our own config/deploy.yml is what mounts it.
        found["volumes"] = before["volumes"]
    earlier = {k: v for k, v in before.items() if is_asked(k)}
    if not facts.databases.unreadable:
        earlier.pop("databases", None)
    if DEPLOY in found["own_files"]:
        said = {k: found[k] for k in _SAID_BY_DEPLOY_YML & found.keys()}
        # What stands there may be a placeholder, which only its owner knows for one.
        refused, _ = form().refusals({}, said)
        earlier = {k: v for k, v in earlier.items() if k not in said or k in refused}
    offered = {**found, **earlier}
    return Known(told, {k: v for k, v in offered.items() if k not in told})


def owned_otherwise(facts: AppFacts, answers: Mapping[str, Any]) -> Asking:
    """Return how to render with `answers` in which `own_files` is another than it was.

    What the image and the volumes are hangs on whose the Dockerfile and config/deploy.yml are.
    """
    found = {**detected(facts, answers.get("own_files") or ()), "image": answers["image"]}
    asked = {name: value for name, value in answers.items() if is_asked(name)}
    return Asking({**asked, **{k: v for k, v in found.items() if k not in asked}})


def uncertain_databases(facts: AppFacts, known: Known, quietly: bool) -> list[str]:
    """Return ["databases"] where they have to be asked for; raise BadInput if nobody will be."""
    places = [] if "databases" in known.given else unreadable_databases(facts)
    if places and quietly:
        suggested = facts.databases.suggested
        lines = "\n".join(f"  {name}: {path}" for name, path in suggested.items())
        raise BadInput(
            "which databases production opens cannot be read without running the app:\n"
            + "\n".join(f"  {place}" for place in places)
            + "\nName all of them that are SQLite in the --data-file; where none is, there is "
            f"nothing here to back up. For example:\ndatabases:\n{lines}"
        )
    return ["databases"] if places else []


def what_was_read(facts: AppFacts, known: Known) -> list[str]:
    """Return a line about the app, and one for each thing that is not certain or was not taken."""
    parts = [f"Rails {facts.rails_version}" if facts.rails_version else "Rails"]
    if facts.ruby.version:
        parts.append(f"Ruby {facts.ruby.version} ({facts.ruby.file})")
    parts.append("databases: " + (", ".join(facts.databases.sqlite) or "not known"))
    if facts.databases.other:
        others = ", ".join(f"{name} ({kind})" for name, kind in facts.databases.other.items())
        parts.append(f"not backed up, as it is not SQLite: {others}")
    further = [one.name for one in facts.kamal.deployments if one.name] if facts.kamal else []
    if further:
        parts.append(f"destinations: {', '.join(map(str, further))}")
    lines = [f"{facts.path.name}  {'; '.join(parts)}"]
    if old := _old_rails(facts):
        lines.append(f"  below 8      {old}")
    lines += [f"  not certain  {said}" for said in (*facts.unreadable, *facts.assumed)]
    lines += [f"  written      {said}" for said in _to_write(facts, known)]
    lines += [f"  not taken    {name} {problem}" for name, problem in known.dropped.items()]
    return lines


def _to_write(facts: AppFacts, known: Known) -> Iterator[str]:
    """Yield a line for each database whose file config/database.yml leaves open."""
    answered = {**known.offered, **known.given}.get("databases") or {}
    for name, line in facts.databases.unwritten.items():
        path = answered.get(name) or facts.databases.sqlite.get(name)
        if path:
            yield f"{DATABASE_YML}:{line}: names no file for {name}; it gets {path}"


def _old_rails(facts: AppFacts) -> str:
    """Return what it means that the app runs on a Rails before 8; empty where it does not."""
    major = (facts.rails_version or "8").partition(".")[0]
    if not major.isdecimal() or int(major) >= 8 or any(one.locked for one in facts.solid.values()):
        return ""
    return (
        f"Rails {facts.rails_version} brings no Solid Queue, Cache and Cable: with its own "
        "defaults, jobs that wait and what is cached go with each deploy; broadcasts need Redis"
    )
