"""What an app itself answers: it is not asked for, only shown on the page of all answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from kamalstream import facts
from kamalstream.ask.image import image
from kamalstream.errors import BadInput
from kamalstream.inspect.app import AppFacts

# What Rails' generator and Kamal's `init` write where a value belongs.
_PLACEHOLDERS = {"192.168.0.1", "app.example.com", "your-user", "your-username", "my-user"}
_LITESTREAM_YML = "config/litestream.yml"


def detected(app: AppFacts) -> dict[str, Any]:
    """Return answers that the app gives: key of copier.yml → value.

    What the app does not say, or says as a placeholder, is left out.
    """
    found: dict[str, Any] = {"app_name": app.app_name, **_backups(app), **_series(app)}
    found["image"] = image(app)
    databases = _one_name_a_file(app.databases.sqlite)
    if databases:
        found["databases"] = databases
    if app.ruby.version:
        found["ruby_version"] = app.ruby.version
    if app.deploy:
        web = app.deploy.hosts.get("web") or next(iter(app.deploy.hosts.values()), ())
        found.update(
            server_ip=web[0] if web else None,
            domain=app.deploy.proxy_hosts[0] if app.deploy.proxy_hosts else None,
            ssh_user=app.deploy.ssh_user,
            arch=app.deploy.builder_arch[0] if len(app.deploy.builder_arch) == 1 else None,
            registry_username=app.deploy.registry_username,
        )
        if app.deploy.registry_server:
            found["registry_server"] = app.deploy.registry_server
        elif found["registry_username"] not in {None, *_PLACEHOLDERS}:
            # Kamal::Configuration::Registry: no server is Docker Hub.
            found["registry_server"] = "docker.io"
    return {k: v for k, v in found.items() if v is not None and str(v) not in _PLACEHOLDERS}


def refuse_what_cannot_be_asked(app: AppFacts) -> None:
    """Raise BadInput for production databases that do not survive a deploy where they are."""
    outside = {n: p for n, p in app.databases.sqlite.items() if not p.startswith("storage/")}
    if outside:
        listed = ", ".join(f"{path} ({name})" for name, path in outside.items())
        raise BadInput(
            f"config/database.yml opens {listed} in production: only storage/ outlives a deploy.\n"
            "Move such a file below storage/ and write its new path there, then run this again. "
            "(Or give `databases` in a --data-file.)"
        )


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
        loaded = yaml.safe_load((app.path / _LITESTREAM_YML).read_text("utf-8"))
        first = loaded["dbs"][0]
        replica = first["replica"] if "replica" in first else first["replicas"][0]
        said = {key: replica[key] for key in ("bucket", "region", "endpoint") if key in replica}
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
        return {}
    known = {k: v for k, v in said.items() if isinstance(v, str) and not set(v) & set("$<")}
    entries = [entry for entry in loaded["dbs"] if isinstance(entry, dict)]
    files = {Path(str(entry.get("path"))).name for entry in entries}
    ephemeral = {Path(p).name for n, p in app.databases.sqlite.items() if n in facts.EPHEMERAL}
    kept = {"backup_ephemeral": True} if files & ephemeral else {}
    return {**known, **kept, **_provider(known.get("endpoint", ""), known.get("region", ""))}


def _series(app: AppFacts) -> dict[str, str]:
    """Return the series that backs the app up already: a change would start a new history."""
    sidecar = app.deploy.accessories.get("litestream", "") if app.deploy else ""
    image = re.search(r"litestream/litestream:v?(0\.[35])\b", sidecar)
    return {"litestream_version": image[1]} if image else {}


def _provider(endpoint: str, region: str) -> dict[str, str]:
    if not endpoint:
        return {}
    for name, provider in facts.PROVIDERS.items():
        pattern = re.escape(str(provider.get("endpoint", ""))).replace("REGION", "([a-z0-9-]+)")
        fits = re.fullmatch(pattern, endpoint.rstrip("/")) if pattern else None
        if fits and (not region or region in (*fits.groups(), provider.get("region"))):
            of_the_address = {"region": fits[1]} if fits.groups() else {}
            return {"storage_provider": name, "endpoint": fits[0], **of_the_address}
        suffix = str(provider.get("example", "")).partition("ACCOUNT_ID")[2]
        if suffix and endpoint.rstrip("/").endswith(suffix):
            return {"storage_provider": name, "endpoint": endpoint.rstrip("/")}
    return {"storage_provider": "custom"}
