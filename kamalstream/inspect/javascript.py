"""How an app builds its JavaScript."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kamalstream.inspect.image.dockerfile import dockerfile_args
from kamalstream.inspect.unreadable import Unreadable
from kamalstream.inspect.version_files import managers, own_file
from kamalstream.regular_file import read_text

# In the order in which jsbundling-rails and cssbundling-rails look for what to build with.
LOCKFILES = {
    "bun.lockb": "bun",
    "yarn.lock": "yarn",
    "pnpm-lock.yaml": "pnpm",
    "package-lock.json": "npm",
    "bun.lock": "bun",
}
FILE = "package.json"


@dataclass(frozen=True)
class JavaScript:
    """The JavaScript side of an app.

    `manager` is npm, yarn, pnpm or bun: what wrote the lockfile, or is to write it where there is
    none, as `rails new` has it; `manager_version` what is pinned ("1.22.22");
    `lockfiles` those present; `node` a version, `engine` the range in package.json's engines;
    `builds` tells whether package.json has a build script.
    """

    manager: str = "yarn"
    manager_version: str | None = None
    lockfiles: tuple[str, ...] = ()
    node: str | None = None
    engine: str | None = None
    bun: str | None = None
    builds: bool = False
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def is_locked(self) -> bool:
        """Whether there is a lockfile of `manager`."""
        return any(LOCKFILES[file] == self.manager for file in self.lockfiles)


def javascript(app: Path) -> JavaScript:
    """Read package.json and what stands beside it in the folder `app`."""
    said: list[Unreadable] = []
    is_there = (app / FILE).is_file()
    package = _package(app, said) if is_there else {}
    pinned = package.get("packageManager")
    name, _, version = pinned.partition("@") if isinstance(pinned, str) else ("", "", "")
    lockfiles = tuple(file for file in LOCKFILES if (app / file).is_file())
    by_lockfile = list(dict.fromkeys(LOCKFILES[file] for file in lockfiles))
    if name in LOCKFILES.values():
        manager = name
    elif by_lockfile:
        manager = by_lockfile[0]
    else:
        manager = "bun" if (app / "bun.config.js").is_file() else "yarn"
    if name != manager and len(by_lockfile) > 1:
        why = (
            f"there are lockfiles of {' and '.join(by_lockfile)}, and {manager} is taken; "
            "packageManager can say which"
        )
        said.append(Unreadable(FILE, 0, "", why))
    if name != manager and is_there and not by_lockfile:
        said.append(Unreadable(FILE, 0, "", "there is no lockfile beside it"))
    node = [*own_file(app, ".node-version"), *own_file(app, ".nvmrc")]
    node += managers(app, ("node", "nodejs"))
    bun = [*own_file(app, ".bun-version"), *managers(app, ("bun",))]
    volta = _part(package, "volta").get("node")
    engine = _part(package, "engines").get("node")
    # Rails' generator writes the versions that were there into the Dockerfile, and nowhere else.
    built = dockerfile_args(app)
    return JavaScript(
        manager=manager,
        manager_version=(
            version.partition("+")[0]
            or (manager == "yarn" and _committed_yarn(app))
            or built.get(f"{manager}_VERSION".upper())
            or (manager == "yarn" and _yarn_of_lockfile(app))
            or None
        ),
        lockfiles=lockfiles,
        node=node[0].text.removeprefix("v") if node else volta or built.get("NODE_VERSION"),
        engine=engine if isinstance(engine, str) else None,
        bun=bun[0].text if bun else built.get("BUN_VERSION"),
        builds="build" in _part(package, "scripts"),
        unreadable=tuple(said),
    )


def _package(app: Path, said: list[Unreadable]) -> dict[str, Any]:
    try:
        package = json.loads(read_text(app / FILE))
    except (OSError, ValueError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 0
        said.append(Unreadable(FILE, line, "", "this is not valid JSON"))
        return {}
    return package if isinstance(package, dict) else {}


def _committed_yarn(app: Path) -> str:
    """Return the version of the Yarn that the app has in .yarn/releases and uses."""
    settings = _text(app / ".yarnrc.yml")
    release = re.search(r"^yarnPath:.*/yarn-([\d.]+)\.cjs", settings, re.MULTILINE)
    return release[1] if release else ""


def _yarn_of_lockfile(app: Path) -> str:
    """Return the major version that takes the app's yarn.lock as it is, if that is not Yarn 1."""
    lock = re.search(r"^__metadata:\n  version: (\d+)", _text(app / "yarn.lock"), re.MULTILINE)
    # Yarn 4 writes 8. It would rewrite the 6 of Yarn 3, which an immutable install refuses.
    return "" if lock is None else "3" if int(lock[1]) < 8 else "4"


def _text(path: Path) -> str:
    try:
        return read_text(path, "replace")
    except OSError:
        return ""


def _part(package: dict[str, Any], key: str) -> dict[str, Any]:
    part = package.get(key)
    return part if isinstance(part, dict) else {}
