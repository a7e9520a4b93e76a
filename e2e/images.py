"""What stands in for the images of Docker Hub, which cannot be pulled: built from e2e/images."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from e2e.engine import Engine
from kamalstream import programs

HERE = Path(__file__).parent / "images"
DEBIAN = "kamalstream/debian"
SUITE = "trixie"
# Rails 7.2, the gems of e2e/subject/Gemfile, and sqlite3, which Litestream's image has.
PACKAGES = (
    "bundler",
    "ca-certificates",
    "puma",
    "ruby",
    "ruby-bootsnap",
    "ruby-rails",
    "ruby-sqlite3",
    "sqlite3",
)
# What Kamal 2.11 starts (lib/kamal/configuration/proxy/run.rb, lib/kamal/commands/registry.rb).
KAMAL_PROXY = "basecamp/kamal-proxy:v0.9.2"
KAMAL_REGISTRY = "registry:3"


def make(engine: Engine) -> str:
    """Build every image into `engine`; return the Ruby version that the ruby image has.

    Raises:
        RuntimeError: a program is missing, or docker or mmdebstrap fails.
    """
    engine.docker("import", _tree(), DEBIAN)
    ruby = engine.docker("run", "--rm", DEBIAN, "ruby", "-e", "print RUBY_VERSION")
    _build(engine, "ruby", f"ruby:{ruby}-slim")
    _build(engine, "registry", KAMAL_REGISTRY, _program("docker-registry"))
    _build(engine, "kamal-proxy", KAMAL_PROXY)
    for series in ("0.5", "0.3"):
        binary = programs.litestream(series)
        if binary is None:
            raise RuntimeError(f"Litestream {series} is not on this machine")
        image = f"litestream/litestream:{programs.litestream_version(binary)}"
        shell = [_program("busybox")] if series == "0.3" else []
        _build(engine, f"litestream-{series}", image, binary, *shell)
        # `kamal accessory reboot` pulls.
        engine.offer(image)
    return ruby


def _tree() -> Path:
    """Return a tar of a small Debian with PACKAGES: half a minute, kept for the next run."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kamalstream"
    cache.mkdir(parents=True, exist_ok=True)
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        # As Debian's own image has it: dpkg need not wait for the disk in an image.
        "--dpkgopt=force-unsafe-io",
        f"--include={','.join(PACKAGES)}",
    ]
    tree = cache / f"{SUITE}-{hashlib.sha256(' '.join(command).encode()).hexdigest()[:12]}.tar"
    if not tree.exists():
        fresh = tree.with_suffix(f".{os.getpid()}.tar")
        subprocess.run([*command, SUITE, fresh, _mirror()], check=True)
        fresh.replace(tree)
    return tree


def _mirror() -> str:
    """Return the source of SUITE at the mirror that this machine takes Debian from."""
    targets = [
        "apt-get",
        "indextargets",
        "--format",
        "$(LABEL) $(REPO_URI)",
        "Created-By: Packages",
    ]
    listed = subprocess.run(targets, capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        label, _, uri = line.rpartition(" ")
        if label == "Debian":
            return f"deb {uri} {SUITE} main"
    raise RuntimeError("apt names no mirror of Debian: apt-get update")


def _program(name: str) -> Path:
    found = programs.find(name)
    if found is None:
        raise RuntimeError(f"{name} is not on this machine")
    return found


def _build(engine: Engine, folder: str, image: str, *files: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="kamalstream-image-") as context:
        shutil.copytree(HERE / folder, context, dirs_exist_ok=True)
        for file in files:
            shutil.copy(file, context)
        engine.docker("build", "--quiet", "--tag", image, context)
