"""Which secrets Kamal looks up for a deployment, by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kamalstream.inspect.kamal.mounts import Line
from kamalstream.inspect.kamal.values import at, mapping, texts

_Path = tuple["str | int", ...]


@dataclass(frozen=True)
class Wanted:
    """A place that wants a secret: its keys, as in "env.secret", with file and line."""

    where: str
    file: str
    line: int


def wanted(config: Mapping[str, Any], line: Line) -> dict[str, tuple[Wanted, ...]]:
    """Return the names of the secrets that the merged `config` wants, each with its places."""
    found: dict[str, list[Wanted]] = {}
    for name, path in _secrets(config):
        keys = (step for step in path if isinstance(step, str))
        found.setdefault(name, []).append(Wanted(".".join(keys), *line(*path)))
    return {name: tuple(places) for name, places in found.items()}


def _secrets(config: Mapping[str, Any]) -> Iterator[tuple[str, _Path]]:
    yield from _of_env(config, "env")
    for tag in mapping(at(config, ("env", "tags"))):
        yield from _of_env(config, "env", "tags", tag)
    yield from _of_proxy(config, "proxy")
    yield from _of_registry(config, "registry")
    yield from _listed(config, "builder", "secrets")
    for key, path in _listed(config, "ssh", "key_data"):
        # A key may stand there itself.
        if re.fullmatch(r"\w+", key):
            yield key, path
    for role in mapping(config.get("servers")):
        yield from _of_env(config, "servers", role, "env")
        yield from _of_proxy(config, "servers", role, "proxy")
    for name in mapping(config.get("accessories")):
        yield from _of_env(config, "accessories", name, "env")
        yield from _of_proxy(config, "accessories", name, "proxy")
        yield from _of_registry(config, "accessories", name, "registry")


def _listed(config: Mapping[str, Any], *path: str) -> Iterator[tuple[str, _Path]]:
    names = at(config, path)
    for index, name in enumerate(names if isinstance(names, list) else []):
        for one in texts(name):
            yield one, (*path, index)


def _of_env(config: Mapping[str, Any], *path: str) -> Iterator[tuple[str, _Path]]:
    # Env#extract_alias: NAME, or NAME_IN_THE_CONTAINER:NAME
    for name, place in _listed(config, *path, "secret"):
        yield name.partition(":")[2] or name, place


def _of_registry(config: Mapping[str, Any], *path: str) -> Iterator[tuple[str, _Path]]:
    for key in ("username", "password"):
        yield from list(_listed(config, *path, key))[:1]


def _of_proxy(config: Mapping[str, Any], *path: str) -> Iterator[tuple[str, _Path]]:
    for key in ("certificate_pem", "private_key_pem"):
        for name in texts(at(config, (*path, "ssl", key))):
            yield name, (*path, "ssl", key)
