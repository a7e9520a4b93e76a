"""Small trees of Debian 13, made by mmdebstrap and kept for the next run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

SUITE = "trixie"


def cache() -> Path:
    """Return the folder for what is slow to make."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kamalstream"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def tree(packages: Iterable[str]) -> Path:
    """Return a tar of a small Debian with `packages`.

    Raises:
        RuntimeError: apt names no mirror.
        subprocess.CalledProcessError: mmdebstrap fails.
    """
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        # As Debian's own image has it: dpkg need not wait for the disk in an image.
        "--dpkgopt=force-unsafe-io",
        f"--include={','.join(sorted(packages))}",
    ]
    kept = cache() / f"{SUITE}-{hashlib.sha256(' '.join(command).encode()).hexdigest()[:12]}.tar"
    if not kept.exists():
        fresh = kept.with_suffix(f".{os.getpid()}.tar")
        subprocess.run([*command, SUITE, fresh, _mirror()], check=True)
        fresh.replace(kept)
    return kept


def unpacked(tar: Path) -> Path:
    """Return the folder with what `tree` has made, kept too."""
    root = tar.with_suffix("")
    if not root.exists():
        fresh = Path(tempfile.mkdtemp(prefix=f"{root.name}.", dir=root.parent))
        subprocess.run(["tar", "--extract", "--file", tar, "--directory", fresh], check=True)
        fresh.chmod(0o755)
        fresh.replace(root)
    return root


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
