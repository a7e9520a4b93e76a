"""How the image of an app differs from that of a fresh one: the answer `image`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from kamalstream import facts
from kamalstream.inspect.app import AppFacts
from kamalstream.inspect.code_lines import code_lines
from kamalstream.inspect.image.dockerfile import DockerfilePackages, dockerfile_packages

# Gem → packages that the image needs, and that building the gem needs.
_PACKAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "mini_magick": (("imagemagick",), ()),
    "rmagick": (("imagemagick",), ("libmagickwand-dev",)),
    "pg": (("postgresql-client",), ("libpq-dev",)),
    "mysql2": (("default-mysql-client",), ("default-libmysqlclient-dev",)),
    "charlock_holmes": (("libicu-dev",), ("libicu-dev",)),
    "rugged": (("libssh2-1",), ("cmake", "libssh2-1-dev", "libssl-dev")),
    "grover": (("chromium",), ()),
    "ferrum": (("chromium",), ()),
}
# What says that it is used: image_processing brings the one along, cuprite (for tests) the other.
_BROUGHT_ALONG = {
    "mini_magick": r"\bgem[\s(]+[\"']mini_magick[\"']|variant_processor\s*=\s*:mini_magick",
    "ferrum": r"\bgem[\s(]+[\"']ferrum",
}
_VIPS_GEMS = {"ruby-vips", "image_processing"}
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
    found = {
        "thruster": app.thruster and (app.path / "bin/thrust").is_file(),
        "bootsnap": app.bootsnap,
        "solid_queue": app.solid["solid_queue"].works,
        "asset_path": _asset_path(app),
        **_packages(app),
        "bundle_files": _bundle_files(app.path),
        "local_gems": _local_gems(app.path),
        **_javascript(app),
    }
    if without not in _STOCK_WITHOUT and re.fullmatch(r"[\w:-]+", without):
        found["bundle_without"] = without
    return {key: value for key, value in found.items() if value != facts.IMAGE[key]}


def still_pinned(found: dict[str, Any], before: object) -> dict[str, Any]:
    """Return the image that was `found`, with the versions that only a Dockerfile said `before`.

    The one rendered in its place does not say them as its owner's.
    """
    if not isinstance(before, dict) or before.get("javascript") != found.get("javascript"):
        return found
    return {key: before[key] for key in ("javascript_version", "node") if key in before} | found


def _asset_path(app: AppFacts) -> str:
    if app.assets is None and _VITE & set(app.asset_builders):
        return f"{facts.RAILS_ROOT}/public/vite"
    return str(facts.IMAGE["asset_path"]) if app.assets else ""


def _packages(app: AppFacts) -> dict[str, list[str]]:
    # What a generator wrote follows from the gems.
    is_own = facts.DOCKERFILE in app.own_files
    own = dockerfile_packages(app.path) if is_own else DockerfilePackages()
    here, build = set(facts.IMAGE["packages"]), set(facts.IMAGE["build_packages"])
    if not app.active_storage and not _VIPS_GEMS & set(app.image_gems):
        here -= {"libvips"}
        build -= {"libvips-dev"}
    for gem in app.image_gems:
        if gem in _BROUGHT_ALONG and not _is_asked_for(app.path, _BROUGHT_ALONG[gem]):
            continue
        needs = _PACKAGES.get(gem, ((), ()))
        here |= set(needs[0])
        build |= set(needs[1])
    return {
        "packages": sorted(here | set(own.image)),
        "build_packages": sorted(build | set(own.build)),
    }


def _is_asked_for(app: Path, said: str) -> bool:
    files = ("Gemfile", "config/application.rb", "config/environments/production.rb")
    return any(re.search(said, line) for file in files for _, line in code_lines(app / file))


def _bundle_files(app: Path) -> list[str]:
    """Return the files in the app's root that evaluating the Gemfile reads."""
    read = [file for file in _read_by_gemfile(app) if "/" not in file]
    return list(dict.fromkeys([*facts.IMAGE["bundle_files"], *read]))


def _local_gems(app: Path) -> list[str]:
    """Return the folders that Gemfile and Gemfile.lock take code from, and that of packed gems."""
    try:
        lock = (app / "Gemfile.lock").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    remotes = re.findall(r"^PATH\n(?:  .*\n)*?  remote: (\S+)$", lock, re.MULTILINE)
    remotes += [str(Path(file).parent) for file in _read_by_gemfile(app)]
    folders = {re.sub(r"^\./", "", remote).rstrip("/") for remote in remotes}
    if any((app / "vendor/cache").glob("*.gem")):
        folders.add("vendor/cache")
    return sorted(f for f in folders if f != "." and not f.startswith("..") and (app / f).is_dir())


def _read_by_gemfile(app: Path) -> list[str]:
    said = r"\b(?:ruby[\s(]+file:\s*|eval_gemfile[\s(]+)[\"']([^\"'/][^\"']*)[\"']"
    named = [re.search(said, line) for _, line in code_lines(app / "Gemfile")]
    return [file[1] for file in named if file and (app / file[1]).is_file()]


def _javascript(app: AppFacts) -> dict[str, Any]:
    side = app.javascript
    # A package.json may be there for linters alone: then nothing that is deployed needs Node.
    if side.manager is None or not (side.builds or set(app.asset_builders) & _NEEDS_NODE):
        return {}
    found: dict[str, Any] = {"javascript": side.manager}
    version = side.bun if side.manager == "bun" else side.manager_version
    found["javascript_version"] = _tag(version)
    found["node"] = _tag(side.node) or _tag(_least(side.engine))
    lists = [name for name in _INSTALLS_FROM[side.manager] if (app.path / name).is_file()]
    if not _is_spread(app.path):
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
        package = json.loads((app / "package.json").read_text(encoding="utf-8"))
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
