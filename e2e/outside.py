"""What of the outside can be reached. What cannot is played by something else, and that is said."""

from __future__ import annotations

import functools
import socket

DOCKER_HUB = "registry-1.docker.io"
RUBYGEMS = "index.rubygems.org"


@functools.cache
def reachable(host: str) -> bool:
    """Tell whether `host` takes connections on 443."""
    try:
        socket.create_connection((host, 443), timeout=5).close()
    except OSError:
        return False
    return True


def played() -> list[str]:
    """Return what is not the real thing in this run, and what is in its place."""
    parts = [
        "kamal-proxy, which would ask Let's Encrypt for a certificate: a program that answers the "
        "same commands, with a certificate that nobody has signed (e2e/images/kamal-proxy)",
        "The frontend of BuildKit that the Dockerfile's `# syntax=` line names, and the container "
        "that Kamal has it run in: the BuildKit of Docker 26 itself (e2e/docker_buildx.py)",
    ]
    if not reachable(DOCKER_HUB):
        parts.append(
            "Docker Hub's images of Ruby, Litestream, rclone and the registry: the same programs "
            "in Debian 13 or busybox (e2e/images)"
        )
    if not reachable(RUBYGEMS):
        parts.append("RubyGems: the same gems from a folder, as its mirror (e2e/gems.py)")
    return parts
