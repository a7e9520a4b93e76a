"""What an app itself answers: it is not asked for, only shown on the page of all answers."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kamalstream import facts
from kamalstream.ask.address import answers_of
from kamalstream.ask.image import image
from kamalstream.ask.uploads import uploads
from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import load_mapping
from kamalstream.inspect.app import AppFacts, below_storage, holds_code
from kamalstream.inspect.kamal.deployment import Deployment
from kamalstream.inspect.namesakes import namesakes
from kamalstream.regular_file import read_text

_PLACEHOLDERS = {one for ones in facts.PLACEHOLDERS.values() for one in ones}


def detected(app: AppFacts, own_files: Collection[str] | None = None) -> dict[str, Any]:
    """Return answers that the app gives: key of copier.yml → value.

    What the app does not say, or says as a placeholder, is left out. `own_files` is given where it
    was settled already whose the files are: where the Dockerfile is to be the template's, what the
    one that is there says of the image is no answer.
    """
    own = _own_files(app) if own_files is None else own_files
    if facts.DOCKERFILE not in own:
        app = replace(app, image=None)
    found: dict[str, Any] = {"app_name": app.app_name, **_backups(app), **_series(app)}
    found["image"] = image(app)
    databases = _one_name_a_file(app.databases.sqlite)
    if databases:
        found["databases"] = databases
    if app.ruby.version:
        found["ruby_version"] = app.ruby.version
    found["own_files"] = list(own)
    found.update(_volumes(app, facts.DEPLOY in own))
    if app.image:
        found.update(rails_root=app.rails_root, container_user=app.image.user)
    found.update(uploads(app, facts.data_volumes(found)))
    main = app.kamal and (app.kamal.main or app.kamal.base)
    if main:
        found.update(
            server_ip=main.server,
            domain=next(iter(main.proxy.hosts), None),
            ssh_user=main.ssh.user,
            arch=main.builder.arch[0] if len(main.builder.arch) == 1 else None,
            registry_username=main.registry.username,
        )
        if main.registry.server:
            found["registry_server"] = main.registry.server
        elif found["registry_username"] not in {None, *_PLACEHOLDERS}:
            # Kamal::Configuration::Registry: no server is Docker Hub.
            found["registry_server"] = "docker.io"
    return {k: v for k, v in found.items() if v is not None and str(v) not in _PLACEHOLDERS}


def _own_files(app: AppFacts) -> list[str]:
    own = {*app.own_files, *namesakes(app.path)}
    main = app.kamal and (app.kamal.main or app.kamal.base)
    if main and main.builder.dockerfile not in (None, facts.DOCKERFILE):
        # What is built is another file, so the template has no say in the image.
        own.add(facts.DOCKERFILE)
    if facts.DOCKERFILE in own:
        # It was written for that image: Rails 8.0's finds a jemalloc that ours would not. And one
        # that is not there is not missed.
        own.add(facts.ENTRYPOINT)
    there = (app.path / facts.SECRETS).exists()
    if (there and facts.DEPLOY in own) or (not there and _has_other_secrets(app)):
        # Its other secrets are those that this deploy.yml wants; or ours would win over theirs.
        own.add(facts.SECRETS)
    return [file for file in facts.MAY_BE_OWN if file in own]


def _has_other_secrets(app: AppFacts) -> bool:
    read = [
        file for one in (app.kamal.deployments if app.kamal else ()) for file in one.secrets_files
    ]
    return any(file != facts.SECRETS and (app.path / file).exists() for file in read)


def _volumes(app: AppFacts, named: bool) -> dict[str, Any]:
    """Return which volumes hold the databases; none where the app has no such volume yet.

    With `named` all are named: whatever the app is called then, they stay.
    """
    main = app.kamal.main if app.kamal else None
    found = data_volumes(app, main, app.databases.sqlite)
    mounted = main and any(
        main.mount_of(facts.in_container(path, app.rails_root))
        for path in app.databases.sqlite.values()
    )
    stock = facts.data_volumes({"app_name": app.app_name, "rails_root": app.rails_root})
    further = {
        name: {
            "databases": _one_name_a_file(databases.sqlite or app.databases.sqlite),
            "volumes": list(
                data_volumes(
                    app,
                    app.kamal.deployment(name) if app.kamal else None,
                    databases.sqlite or app.databases.sqlite,
                )
            ),
        }
        for name, databases in app.further.items()
    }
    by_name = found == stock and not mounted and not named
    return {"volumes": [] if by_name else list(found), "destinations": further}


def data_volumes(
    app: AppFacts, one: Deployment | None, databases: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the volumes that hold the `databases` of a deployment, as Kamal writes them.

    Where one below storage/ is on none yet, the volume that will be added is among them.
    """
    volumes: dict[str, None] = {}
    for path in databases.values():
        mount = one.mount_of(facts.in_container(path, app.rails_root)) if one else None
        if mount and mount.source:
            volumes[f"{mount.source}:{mount.target}"] = None
        elif path.startswith("storage/"):
            volumes[f"{app.app_name}_storage:{app.rails_root}/storage"] = None
    return tuple(volumes)


def refuse_namesakes(app: Path) -> None:
    """Raise BadInput for a program of the owner's where the template has one of its own."""
    for file in namesakes(app):
        if file != facts.GUIDE:
            raise BadInput(
                f"{file} is a program of yours, and the template has one of that name: rename it, "
                "then run this again."
            )


def refuse_what_cannot_be_asked(app: AppFacts) -> None:
    """Raise BadInput for production databases that do not survive a deploy where they are."""
    main = app.kamal.main if app.kamal else None
    outside = {
        name: path
        for name, path in app.databases.sqlite.items()
        if not path.startswith("storage/")
        and not (main and main.mount_of(facts.in_container(path, app.rails_root)))
    }
    if outside:
        listed = ", ".join(f"{path} ({name})" for name, path in outside.items())
        first = next(iter(outside))
        raise BadInput(
            f"production opens {listed}, which is on no volume: it is gone with the next deploy.\n"
            f"{_elsewhere(app, first, outside[first])} Then run this again."
        )


def _elsewhere(app: AppFacts, name: str, path: str) -> str:
    """Return how the database `name` gets to be on a volume."""
    here = posixpath.dirname(path)
    folder = posixpath.join(app.rails_root, here)
    file, line = below_storage(app, app.kamal.main if app.kamal else None, name, path)
    storage = f"Write its path below storage/ in {file}: {line}"
    if holds_code(app.path / here):
        return f"{storage} (a volume at {folder} would hide what later images have there)."
    return f'{storage}. Or mount its folder under volumes: in config/deploy.yml: "NAME:{folder}".'


def unreadable_databases(app: AppFacts) -> list[str]:
    """Return a line for each place because of which the production databases are not certain."""
    return [str(place) for place in app.databases.unreadable]


def _one_name_a_file(databases: dict[str, str]) -> dict[str, str]:
    """Leave out names that open a file which an earlier one opens already."""
    return {
        name: path
        for index, (name, path) in enumerate(databases.items())
        if path not in list(databases.values())[:index]
    }


def _backups(app: AppFacts) -> dict[str, Any]:
    """Read where an existing config/litestream.yml replicates to, so far as it stands there."""
    try:
        loaded = load_mapping(read_text(app.path / facts.LITESTREAM)) or {}
        first = loaded["dbs"][0]
        replica = first["replica"] if "replica" in first else first["replicas"][0]
        said = {key: replica[key] for key in ("bucket", "region", "endpoint") if key in replica}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    known = {k: v for k, v in said.items() if isinstance(v, str) and not set(v) & set("$<")}
    if "://" not in known.get("endpoint", "://"):
        # Litestream takes one without a scheme for https.
        known["endpoint"] = f"https://{known['endpoint']}"
    entries = [entry for entry in loaded["dbs"] if isinstance(entry, dict)]
    files = {Path(str(entry.get("path"))).name for entry in entries}
    ephemeral = {Path(p).name for n, p in app.databases.sqlite.items() if n in facts.EPHEMERAL}
    kept = {"backup_ephemeral": True} if files & ephemeral else {}
    if "region" in known and "endpoint" not in said:
        # Litestream's own default.
        return {**known, **kept, "storage_provider": "aws", "endpoint": ""}
    return {**known, **kept, **_provider(known.get("endpoint", ""), known.get("region", ""))}


def _series(app: AppFacts) -> dict[str, str]:
    """Return the series that backs the app up already: a change would start a new history."""
    main = app.kamal and (app.kamal.main or app.kamal.base)
    for sidecar in main.litestreams if main else ():
        image = re.search(r"litestream/litestream:v?(0\.[35])\b", sidecar.image or "")
        if image:
            return {"litestream_version": image[1]}
    return {}


def _provider(endpoint: str, region: str) -> dict[str, str]:
    if not endpoint:
        return {}
    found = answers_of(endpoint, region)
    # The address of another server stays as it stands there.
    custom = found.get("storage_provider", "custom") == "custom"
    return {"storage_provider": "custom"} if custom else found
