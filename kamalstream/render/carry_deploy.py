"""Carries over what the owner of an app has in config/deploy.yml and the template does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from kamalstream import facts
from kamalstream.facts import DEPLOY
from kamalstream.render.lost import Lost
from kamalstream.render.yaml_text import Path, YamlText

_STORAGE = f"{facts.RAILS_ROOT}/storage"
_SIDECAR: Path = ("accessories", "litestream")
_ONE_SERVER = "SQLite lives on the disk of one server"

# What the answers say: their differences are what the user was asked about.
_ANSWERED: set[Path] = {
    *((key,) for key in ("service", "image", "servers", "volumes")),
    *(("registry", key) for key in ("server", "username")),
    *(("proxy", key) for key in ("host", "hosts")),
    ("builder", "arch"),
    ("ssh", "user"),
    (*_SIDECAR, "host"),
}
# What would take the app away from the files that are rendered.
_NOT_CARRIED: dict[Path, str] = {
    ("builder", "dockerfile"): "the image is built from the Dockerfile of the template",
    ("builder", "context"): "the image is built from the Dockerfile of the template",
    ("builder", "pack"): "the image is built from the Dockerfile of the template",
    ("proxy", "ssl"): "the template has kamal-proxy serve https",
}
# Where the owner's value wins over the template's.
_THEIRS: tuple[Path, ...] = (("env", "clear"), ("aliases",))


@dataclass
class _Merge:
    old: YamlText
    new: YamlText
    lost: list[Lost] = field(default_factory=list)

    def put(self, path: Path, source: Path | None = None) -> None:
        self.new = self.new.put(path, self.old.block(source or path))

    def lose(self, path: Path, why: str) -> None:
        line = self.old.line(path)
        text = self.old.lines[line - 1].strip() if line else ".".join(path)
        self.lost.append(Lost(DEPLOY, line, text, why))


def deploy(before: str, after: str) -> tuple[str, list[Lost]]:
    """Return the rendered `after` with the additions of `before`, and what had no room in it."""
    try:
        merge = _Merge(YamlText(before), YamlText(after))
    except ValueError as error:
        lines = before.splitlines()
        line = min(int(error.args[0]), len(lines))
        text = lines[line - 1].strip() if line else ""
        why = "not plain YAML from here, so nothing but the volume is carried over"
        return _with_volume(after, before), [Lost(DEPLOY, line, text, why)]
    for step in (_servers, _image, _volumes, _proxy, _env, _rest):
        _try(merge, step)
    head = [line for line in merge.old.preamble if line not in merge.new.lines]
    return "".join(f"{line}\n" for line in head) + merge.new.text, merge.lost


def _with_volume(after: str, before: str) -> str:
    """Return `after` with the volume that `before` names: the data is in it."""
    named = re.compile(rf"^[^#\n]*?([^\s\"'\[:]+):{_STORAGE}\b", re.MULTILINE)
    ours, theirs = named.search(after), named.search(before)
    if ours is None or theirs is None:
        return after
    return after.replace(f"{ours[1]}:{_STORAGE}", f"{theirs[1]}:{_STORAGE}")


def _try(merge: _Merge, step: Callable[[_Merge], None]) -> None:
    """Do one step; what cannot be put in as text leaves the rendered file as it was."""
    new = merge.new
    try:
        step(merge)
    except (ValueError, AssertionError, AttributeError, TypeError, StopIteration) as error:
        merge.new = new
        name = step.__name__.strip("_")
        why = f"the part `{name}` has a shape that is not known here ({type(error).__name__})"
        merge.lost.append(Lost(DEPLOY, merge.old.line((name,)), name, why))


def _servers(merge: _Merge) -> None:
    [ours] = merge.new.value(("servers", "web"))
    theirs = merge.old.value(("servers",))
    roles = theirs if isinstance(theirs, dict) else {"web": theirs or []}
    everywhere = {host for what in roles.values() for host in _hosts(what)}
    # All that stood on one server goes along to the server of the answers.
    moved = everywhere if len(everywhere) == 1 else set()
    for role, what in roles.items():
        hosts = list(_hosts(what))
        elsewhere = [host for host in hosts if host not in {ours, "192.168.0.1", *moved}]
        path = ("servers", role) if isinstance(theirs, dict) else ("servers",)
        more = set(what) - {"hosts"} if isinstance(what, dict) else set()
        tagged = any(isinstance(entry, dict) for entry in _entries(what))
        if elsewhere and (role != "web" or len(hosts) > 1):
            merge.lose(path, f"{', '.join(elsewhere)}: {_ONE_SERVER}")
        elif (hosts and role != "web") or ((more or tagged) and not elsewhere):
            block = "\n".join(merge.old.block(path))
            for host in moved:
                block = block.replace(host, ours)
            merge.new = merge.new.put(path, block.splitlines())
        else:
            for key in more:
                merge.lose((*path, key), "belongs to a server that is not used any more")


def _entries(what: Any) -> list[Any]:
    return (what.get("hosts") if isinstance(what, dict) else what) or []


def _hosts(what: Any) -> Iterator[str]:
    for entry in _entries(what):
        # HOST alone, or {HOST: tags}.
        yield str(next(iter(entry)) if isinstance(entry, dict) else entry)


def _image(merge: _Merge) -> None:
    def registry(side: YamlText) -> str:
        return str(side.value(("registry", "server")) or "docker.io")

    image = str(merge.old.value(("image",)) or "")
    local = registry(merge.new).startswith("localhost")
    if image and not local and registry(merge.old) == registry(merge.new):
        merge.put(("image",))


def _volumes(merge: _Merge) -> None:
    ours = _mounted(merge.new)
    theirs = _mounted(merge.old)
    if ours and theirs and ours != theirs:
        # The data is in that volume. It keeps its name, in the app and in the accessory.
        text = merge.new.text.replace(f"{ours}:{_STORAGE}", f"{theirs}:{_STORAGE}")
        merge.new = YamlText(text)
    rest = [v for v in merge.old.value(("volumes",)) or [] if not _is_storage(v)]
    if rest:
        merge.new = merge.new.append(("volumes",), [_written(volume) for volume in rest])


def _mounted(side: YamlText) -> str | None:
    found = [v for v in side.value(("volumes",)) or [] if _is_storage(v)]
    return str(found[0]).split(":")[0] if found else None


def _is_storage(volume: Any) -> bool:
    parts = str(volume).split(":")
    return len(parts) > 1 and parts[1].rstrip("/") == _STORAGE


def _proxy(merge: _Merge) -> None:
    key = ("proxy", "hosts")
    several = merge.old.value(key)
    alone = merge.old.value(("proxy", "host"))
    if several is None and "," in str(alone):
        # Kamal::Configuration::Proxy#hosts
        key, several = ("proxy", "host"), str(alone).split(",")
    host = merge.new.value(("proxy", "host"))
    if isinstance(several, list) and host in several and len(several) > 1:
        merge.new = merge.new.put(("proxy", "host"), merge.old.block(key))
    elif isinstance(several, list) and several != [host]:
        merge.lose(key, f"{', '.join(map(str, several))}: the domain is {host} now")
    if isinstance(merge.old.value(("proxy", "ssl")), dict):
        merge.put(("proxy", "ssl"))


def _env(merge: _Merge) -> None:
    env = merge.old.value(("env",)) or {}
    split = set(env) & {"clear", "secret", "tags"}
    at: Path = ("env", "clear") if split else ("env",)
    for name, value in (merge.old.value(at) or {}).items():
        if merge.new.value(("env", "clear", name)) != value:
            merge.put(("env", "clear", name), (*at, name))
    if split:
        ours = merge.new.value(("env", "secret"))
        extra = [name for name in env.get("secret") or [] if name not in ours]
        if extra:
            merge.new = merge.new.append(("env", "secret"), [_written(name) for name in extra])
        if "tags" in env:
            merge.put(("env", "tags"))


def _rest(merge: _Merge) -> None:
    _walk(merge, (), merge.old.data)


def _walk(merge: _Merge, path: Path, theirs: dict[str, Any]) -> None:
    for key, value in theirs.items():
        here = (*path, str(key))
        ours = merge.new.value(here)
        if here == ("builder", "arch") and isinstance(value, list) and {ours} < set(value):
            merge.put(here)
        if here in _ANSWERED or here == ("env",) or ours == value:
            continue
        if here == ("registry", "password"):
            merge.lose(here, "the password is read from KAMAL_REGISTRY_PASSWORD")
        elif here in _NOT_CARRIED:
            if not isinstance(value, dict):
                merge.lose(here, _NOT_CARRIED[here])
        elif path == _SIDECAR and ours is None:
            merge.lose(here, "the accessory of the template has no such setting")
        elif here == (*_SIDECAR, "image") and "litestream/litestream" in str(value):
            continue
        elif here == (*_SIDECAR, "env", "secret"):
            _secrets_of_sidecar(merge, here)
        elif here == ("ssh",) and ours is None and isinstance(value, dict):
            if set(value) != {"user"}:
                merge.put(here)
        elif ours is None and value is not None:
            merge.put(here)
        elif isinstance(value, dict) and isinstance(ours, dict):
            _walk(merge, here, value)
        elif path in _THEIRS:
            merge.put(here)
        elif value is not None:
            merge.lose(here, f"now {_written(ours)}")


def _secrets_of_sidecar(merge: _Merge, path: Path) -> None:
    """Keep what its owner added; what named the bucket or its keys has other names now."""
    theirs = merge.old.value(path)
    extra = [name for name in theirs or [] if name not in merge.new.value(path)]
    kept = [name for name in extra if not re.match(r"AWS_|LITESTREAM_", str(name))]
    if kept:
        merge.new = merge.new.append(path, [_written(name) for name in kept])
    if kept != extra:
        gone = ", ".join(str(name) for name in extra if name not in kept)
        merge.lose(path, f"{gone}: the new config/litestream.yml does not read it")


def _written(value: Any) -> str:
    """Return a value as it is written in YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return text.removesuffix("...").strip()
