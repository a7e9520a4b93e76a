"""What the real `rails new` writes.

    from e2e.rails import rails_new
    app = rails_new("8.1.4", "--api")    # a folder of the cache: copy it, never write to it
    shutil.copytree(app, here, symlinks=True)

or `python -m e2e.rails 8.1.4 --api`, which prints the folder. It needs root, mmdebstrap, and gems
(e2e/gems.py: RubyGems, or KAMALSTREAM_GEMS=FOLDER). Rails runs in a Debian 13 of its own, with Ruby
3.3; the first call makes that in two minutes, an app takes one, and one that is kept nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e import debian, gems

NAME = "subject"
# Ruby and what gems with native code are compiled with; Node and its npm for `-j esbuild`.
PACKAGES = (
    "build-essential",
    "ca-certificates",
    "git",
    "libyaml-dev",
    "pkg-config",
    "ruby",
    "ruby-dev",
    "tzdata",
)


@dataclass(frozen=True)
class Workshop:
    """A Debian with Ruby and Rails in the folder `root`; `port` serves gems, None for RubyGems."""

    root: Path
    port: int | None

    def run(self, *command: str, folder: str = "/", **env: str) -> subprocess.CompletedProcess[str]:
        """Run `command` in it, in its `folder`; both outputs are in `stdout`."""
        mirror = {"BUNDLE_MIRROR__ALL": f"http://127.0.0.1:{self.port}"} if self.port else {}
        return subprocess.run(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("--root", self.root, f"--wd={folder}", "env", "--ignore-environment"),
                *("HOME=/root", "LANG=C.UTF-8", "PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin"),
                *(f"{name}={value}" for name, value in {**mirror, **env}.items()),
                *command,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def must(self, *command: str, folder: str = "/", **env: str) -> str:
        """Run `command` and return what it said; raises RuntimeError with that where it fails."""
        done = self.run(*command, folder=folder, **env)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-3000:]}")
        return done.stdout


def rails_new(version: str, *flags: str) -> Path:
    """Return the folder of an app called `subject` that `rails _version_ new` made, kept.

    Takes a version that the gems have (8.1.4, 8.0.5.1), and flags of `rails new`. The app has its
    Gemfile.lock, config/master.key and an empty git repository, as it comes.

    Raises:
        RuntimeError: gems cannot be had, or Rails or Bundler fails, with what was said.
    """
    tar = debian.tree(PACKAGES)
    key = hashlib.sha256("\0".join([tar.name, *flags]).encode()).hexdigest()[:12]
    kept = debian.cache() / "rails" / f"{version}-{key}"
    app = kept / NAME
    if app.exists():
        return app
    with workshop() as shop:
        if app.exists():
            return app
        if shop.run("gem", "list", "--installed", "rails", "--version", version).returncode:
            shop.must("gem", "install", "--no-document", "bundler", f"rails:{version}")
        with tempfile.TemporaryDirectory(prefix="new-", dir=shop.root / "tmp") as scratch:
            inside = f"/tmp/{Path(scratch).name}"
            shop.must("rails", f"_{version}_", "new", NAME, *flags, folder=inside)
            kept.parent.mkdir(exist_ok=True)
            fresh = Path(tempfile.mkdtemp(dir=kept.parent))
            shutil.move(Path(scratch, NAME), fresh)
            fresh.replace(kept)
    return app


@contextmanager
def workshop() -> Iterator[Workshop]:
    """Yield the unpacked tree, for one at a time: what an app installs, the next one has.

    Raises:
        RuntimeError: gems cannot be had.
    """
    tar = debian.tree(PACKAGES)
    with tar.with_suffix(".lock").open("w") as lock, gems.served() as port:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = debian.unpacked(tar)
        _use(root, port)
        yield Workshop(root, port)


def _use(root: Path, port: int | None) -> None:
    """Have the tree find names, this machine's certificates, and the gems."""
    for name in ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"):
        (root / name).unlink(missing_ok=True)
        shutil.copy(Path("/", name), root / name)
    source = f"http://127.0.0.1:{port}" if port else "https://rubygems.org/"
    (root / "etc/gemrc").write_text(f":sources:\n- {source}\n")


if __name__ == "__main__":
    print(rails_new(*sys.argv[1:]))
