"""The images that are not pulled from Docker Hub: built from e2e/images."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from e2e import debian
from e2e.engine import HOST_LOOPBACK, Engine
from e2e.outside import DOCKER_HUB, reachable
from kamalstream import programs
from kamalstream.facts import VERSIONS

HERE = Path(__file__).parent / "images"
# Debian 13 with the Ruby that the real ruby:slim is for, and what that image has besides. What
# compiles gems is left to the Dockerfile, as there.
DEBIAN = "kamalstream/debian"
PACKAGES = ("bundler", "ca-certificates", "ruby", "ruby-dev", "tzdata")
# What Kamal 2.11 starts (lib/kamal/configuration/proxy/run.rb, lib/kamal/commands/registry.rb).
KAMAL_PROXY = "basecamp/kamal-proxy:v0.9.2"
KAMAL_REGISTRY = "registry:3"


def make(engine: Engine, gems: int | None) -> None:
    """Build into `engine` what Docker Hub has, or is not to be asked for.

    `gems` is the port on this machine where gems are served, None where RubyGems is asked.

    Raises:
        RuntimeError: a program is missing, or docker or mmdebstrap fails.
    """
    engine.docker("import", debian.tree(PACKAGES), "kamalstream/bare")
    # Where this machine's registries are reached, there are certificates of its own perhaps.
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    _build(engine, "debian", DEBIAN, certificates)
    _build(engine, "kamal-proxy", KAMAL_PROXY)
    hub = reachable(DOCKER_HUB)
    version = engine.docker("run", "--rm", DEBIAN, "ruby", "-e", "print RUBY_VERSION")
    ruby = f"ruby:{version}-slim"
    if not hub:
        _build(engine, "ruby", ruby)
        _build(engine, "registry", KAMAL_REGISTRY, _program("docker-registry"))
        _litestream(engine)
        _rclone(engine)
    if gems is not None:
        mirror = f"BUNDLE_MIRROR__ALL=http://{HOST_LOOPBACK}:{gems}"
        _build(engine, "mirrored", ruby, arguments=(f"FROM={ruby}", mirror))


def _litestream(engine: Engine) -> None:
    for series in ("0.5", "0.3"):
        binary = programs.litestream(series)
        if binary is None:
            raise RuntimeError(f"Litestream {series} is not on this machine")
        image = f"litestream/litestream:{programs.litestream_version(binary)}"
        shell = [_program("busybox")] if series == "0.3" else []
        _build(engine, f"litestream-{series}", image, binary, *shell)
        # `kamal accessory reboot` pulls.
        engine.offer(image)


def _rclone(engine: Engine) -> None:
    # The one that is tested, not a distribution's older one that comes first on PATH.
    binary = Path(sys.executable).parent / "rclone"
    image = f"rclone/rclone:{VERSIONS['rclone']}"
    _build(engine, "rclone", image, binary, _program("busybox"))
    said = engine.docker("run", "--rm", image, "version")
    if VERSIONS["rclone"] not in said:
        raise RuntimeError(f"rclone {VERSIONS['rclone']} is not on this machine")
    engine.offer(image)


def _program(name: str) -> Path:
    found = programs.find(name)
    if found is None:
        raise RuntimeError(f"{name} is not on this machine")
    return found


def _build(
    engine: Engine, folder: str, image: str, *files: Path, arguments: Iterable[str] = ()
) -> None:
    given = [word for argument in arguments for word in ("--build-arg", argument)]
    with tempfile.TemporaryDirectory(prefix="kamalstream-image-") as context:
        shutil.copytree(HERE / folder, context, dirs_exist_ok=True)
        for file in files:
            shutil.copy(file, context)
        engine.docker("build", "--quiet", *given, "--tag", image, context)
