"""What stands in for the images of Docker Hub, which cannot be pulled: built from e2e/images."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from e2e import debian
from e2e.engine import Engine
from kamalstream import programs

HERE = Path(__file__).parent / "images"
DEBIAN = "kamalstream/debian"
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
    engine.docker("import", debian.tree(PACKAGES), DEBIAN)
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
