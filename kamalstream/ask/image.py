"""How the image of an app differs from that of a fresh one: the answer `image`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from kamalstream import facts
from kamalstream.inspect.app import AppFacts
from kamalstream.inspect.code_lines import code_lines
from kamalstream.inspect.image.dockerfile import (
    DockerfilePackages,
    dockerfile_packages,
    dockerfile_runs,
)
from kamalstream.inspect.image.gem_packages import gem_packages
from kamalstream.regular_file import read_bytes, read_text

# Without what the gems of a fresh app need: image_processing.
_STOCK_HERE = set(facts.IMAGE["packages"]) - {"libvips"}
_STOCK_BUILD = set(facts.IMAGE["build_packages"]) - {"libvips-dev"}
# What the image has from Node's own; node-gyp would bring it along.
_NODE_OF_DEBIAN = {"nodejs", "npm", "node-gyp", "yarnpkg"}
# Groups whose gems Rails' own Dockerfiles leave out.
_STOCK_WITHOUT = {"development", "development:test", ""}
_INSTALLS_FROM = {
    "npm": ("package.json", "package-lock.json", ".npmrc"),
    "yarn": ("package.json", "yarn.lock", ".npmrc", ".yarnrc", ".yarnrc.yml"),
    "pnpm": ("package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", ".npmrc"),
    "bun": ("package.json", "bun.lock", "bun.lockb", "bunfig.toml", ".npmrc"),
}
_VITE = {"vite_ruby", "vite_rails"}


def image(app: AppFacts) -> dict[str, Any]:
    """Return what differs from kamalstream/facts/image.yml: key → value; {} for a fresh app."""
    without = ":".join(app.dockerfile_env.get("BUNDLE_WITHOUT", "").replace(":", " ").split())
    javascript = _javascript(app)
    found = {
        "thruster": app.thruster and (app.path / "bin/thrust").is_file(),
        "bootsnap": app.bootsnap,
        "solid_queue": app.solid["solid_queue"].works,
        "bin_fixups": _bin_fixups(app.path),
        "active_storage": app.active_storage,
        "asset_path": _asset_path(app),
        **_packages(app, javascript.get("javascript", "")),
        "bundle_files": _bundle_files(app.path),
        "local_gems": _local_gems(app.path),
        **javascript,
    }
    if without not in _STOCK_WITHOUT and re.fullmatch(r"[\w:-]+", without):
        found["bundle_without"] = without
    return {key: value for key, value in found.items() if value != facts.IMAGE[key]}


def still_pinned(found: dict[str, Any], before: object) -> dict[str, Any]:
    """Return the image that was `found`, with the versions that only a Dockerfile said `before`.

    The one rendered in its place does not say them as its owner's. Where now less of a version is
    known than before (4, and not 4.18.1), it is the same one.
    """
    if not isinstance(before, dict) or before.get("javascript") != found.get("javascript"):
        return found
    versions = {key: str(before.get(key, "")) for key in ("javascript_version", "node")}
    return found | {
        key: version
        for key, version in versions.items()
        if version and (key not in found or version.startswith(f"{found[key]}."))
    }


def _asset_path(app: AppFacts) -> str:
    if app.assets:
        return facts.in_container("public/assets", app.rails_root)
    if _VITE & set(app.asset_builders):
        return facts.in_container("public/vite", app.rails_root)
    return ""


def _bin_fixups(app: Path) -> bool:
    """Whether what the image starts in bin/ is as Windows has it.

    Rails' own generator looks at the same (AppBase#dockerfile_binfile_fixups), and what it wrote
    into the Dockerfile counts where this machine's disk says that every file is executable.
    """
    for file in (app / "bin/rails", app / "bin/thrust"):
        if not file.is_file():
            continue
        first = read_bytes(file).partition(b"\n")[0]
        if not os.access(file, os.X_OK) or first.endswith((b"\r", b"ruby.exe")):
            return True
    return dockerfile_runs(app, " bin/*")


def _packages(app: AppFacts, javascript: str) -> dict[str, list[str]]:
    # What a generator wrote follows from the gems.
    is_own = facts.DOCKERFILE in app.own_files
    own = dockerfile_packages(app.path) if is_own else DockerfilePackages()
    needed = [own, *gem_packages(app.path, app.image_gems).values()]
    here = _STOCK_HERE.union(*(packages.image for packages in needed))
    build = _STOCK_BUILD.union(*(packages.build for packages in needed))
    if javascript not in ("", "bun"):
        # For packages that are compiled, as Rails' own Dockerfile has it. Its node-gyp is npm's.
        build = build - _NODE_OF_DEBIAN | {"python-is-python3"}
    return {"packages": sorted(here), "build_packages": sorted(build)}


def _bundle_files(app: Path) -> list[str]:
    """Return the files in the app's root that evaluating the Gemfile reads."""
    read = [file for file in _read_by_gemfile(app) if "/" not in file]
    return list(dict.fromkeys([*facts.IMAGE["bundle_files"], *read]))


def _local_gems(app: Path) -> list[str]:
    """Return the folders that Gemfile and Gemfile.lock take code from, and that of packed gems.

    Where the Gemfile names a folder in vendor/ (all of which Rails 8.1 copies), it may look for
    anything there.
    """
    try:
        lock = read_text(app / "Gemfile.lock", "replace")
    except OSError:
        return []
    remotes = re.findall(r"^PATH\n(?:  .*\n)*?  remote: (\S+)$", lock, re.MULTILINE)
    remotes += [str(Path(file).parent) for file in _read_by_gemfile(app)]
    remotes += [
        folder
        for _, line in code_lines(app / "Gemfile")
        for folder in re.findall(r"[\"'/](vendor(?:/[\w.-]+)*)", line)
    ]
    folders = {re.sub(r"^\./", "", remote).rstrip("/") for remote in remotes}
    if any((app / "vendor/cache").glob("*.gem")):
        folders.add("vendor/cache")
    here = [f for f in folders if f != "." and not f.startswith("..") and (app / f).is_dir()]
    return sorted(f for f in here if not any(f.startswith(f"{outer}/") for outer in here))


def _read_by_gemfile(app: Path) -> list[str]:
    said = r"\b(?:ruby[\s(]+file:\s*|eval_gemfile[\s(]+)[\"']([^\"'/][^\"']*)[\"']"
    named = [re.search(said, line) for _, line in code_lines(app / "Gemfile")]
    return [file[1] for file in named if file and (app / file[1]).is_file()]


def _javascript(app: AppFacts) -> dict[str, Any]:
    side = app.javascript
    # A package.json may be there for linters alone: then nothing that is deployed needs Node.
    if not (side.builds or set(app.asset_builders) & _NEEDS_NODE):
        return {}
    found: dict[str, Any] = {"javascript": side.manager}
    version = side.bun if side.manager == "bun" else side.manager_version
    found["javascript_version"] = _tag(version)
    found["node"] = _tag(side.node) or _tag(_least(side.engine))
    # Without a lockfile it installs after the code is copied: whatever the app gets, is there.
    if side.is_locked and not _is_spread(app.path):
        lists = [name for name in _INSTALLS_FROM[side.manager] if (app.path / name).is_file()]
        found["javascript_files"] = lists
    return found


_NEEDS_NODE = {"jsbundling-rails", "cssbundling-rails", "shakapacker", "webpacker", *_VITE}


def _tag(version: str | None) -> str:
    """Return `version` where an image has such a tag: 22, 22.1 or 22.1.0."""
    plain = (version or "").removeprefix("v").removesuffix(".x")
    return plain if re.fullmatch(r"\d+(\.\d+){0,2}", plain) else ""


def _least(engine: str | None) -> str:
    """Return the major version that a range in package.json's engines begins with."""
    major = re.match(r"\s*(?:\^|~|>=)?\s*v?(\d+)", engine or "")
    return major[1] if major else ""


def _is_spread(app: Path) -> bool:
    """Whether installing reads more of the app than the files in its root."""
    try:
        package = json.loads(read_text(app / "package.json"))
    except (OSError, ValueError):
        return True
    if not isinstance(package, dict):
        return True
    scripts = package.get("scripts")
    runs = isinstance(scripts, dict) and {"preinstall", "postinstall", "prepare"} & set(scripts)
    text = json.dumps(package)
    return bool(
        "workspaces" in package
        or runs
        or "patchedDependencies" in text
        or re.search(r"\"(file|link|portal|patch):", text)
        or (app / ".yarn").is_dir()
        or (app / "pnpm-workspace.yaml").is_file()
    )
