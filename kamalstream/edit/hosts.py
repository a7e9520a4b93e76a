"""The lines of config/deploy.yml and its destinations that say on which server a deployment is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path as Folder

from kamalstream import facts
from kamalstream.edit.adoption import read_bytes
from kamalstream.edit.edited import UnsureError
from kamalstream.edit.yaml_text import Path, YamlText
from kamalstream.errors import BadInput
from kamalstream.inspect.kamal.deployment import Deployment, Kamal, kamal
from kamalstream.inspect.kamal.values import mapping


def on_server(app: Folder, one: Deployment, server: str) -> dict[str, str]:
    """Return config/deploy*.yml, name → text, with `server` as the only one of `one`.

    Its own file is changed, and the one it shares with others where these stay where they are.
    Raises BadInput where that cannot be done with certainty, and says what to change by hand.
    """
    [old] = one.hosts
    before = {
        f"config/{file.name}": (read_bytes(app, f"config/{file.name}") or b"").decode()
        for file in sorted((app / "config").glob("deploy*.yml"))
    }
    after = dict(before)
    if old == server:
        return after
    for file in reversed([file.name for file in one.files]):
        after[file] = _edited(file, after[file], old, server)
        now = _model(after)
        if _is_on(now, one, server) and _rest(now, one) == _rest(_model(before), one):
            return after
    file, line = one.line("servers")
    raise BadInput(
        f"{file}:{line}: {one.label} cannot be moved to {server} alone by its own lines.\n"
        + _by_hand(old, server)
    )


def write(folder: Folder, texts: Mapping[str, str]) -> None:
    """Write the files, name → text, below `folder`."""
    for file, text in texts.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(text.encode())


def _by_hand(old: str, server: str) -> str:
    return (
        f"Change {old} to {server} by hand there: {facts.GUIDE} has the whole way\n"
        "(Move to a new server, by hand). Nothing was changed."
    )


def _edited(file: str, text: str, old: str, server: str) -> str:
    try:
        yaml = YamlText(text)
        for path in _places(yaml):
            if isinstance(yaml.value(path), list):
                yaml = yaml.replace_items(path, old, server)
            elif yaml.value(path) == old:
                yaml = yaml.set(path, server)
    except UnsureError as error:
        place = f"{file}:{error.line}" if error.line else file
        raise BadInput(f"{place}: {error.why}.\n{_by_hand(old, server)}") from None
    return yaml.text


def _places(yaml: YamlText) -> Iterator[Path]:
    """Yield where hosts may stand (Kamal::Configuration::Role and ::Accessory)."""
    servers = yaml.value(("servers",))
    if isinstance(servers, list):
        yield ("servers",)
    for role, value in mapping(servers).items():
        path = ("servers", role, "hosts") if isinstance(value, dict) else ("servers", role)
        if yaml.has(path):
            yield path
    for name, value in mapping(yaml.value(("accessories",))).items():
        for key in ("host", "hosts"):
            if key in mapping(value):
                yield ("accessories", name, key)


def _is_on(now: Kamal, one: Deployment, server: str) -> bool:
    [old] = one.hosts
    moved = now.deployment(one.name)
    if moved is None or moved.hosts != (server,):
        return False
    return all(old not in each.hosts for each in moved.accessories.values())


def _rest(now: Kamal, one: Deployment) -> list[object]:
    """Return where all other deployments are."""
    return [
        (other.name, other.hosts, [each.hosts for each in other.accessories.values()])
        for other in now.deployments
        if other.name != one.name
    ]


def _model(texts: Mapping[str, str]) -> Kamal:
    with tempfile.TemporaryDirectory(prefix="kamalstream-") as scratch:
        write(Folder(scratch), texts)
        read = kamal(Folder(scratch))
    assert read
    return read
