"""What the files do not show: the encrypted credentials, and what git has."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kamalstream.check.finding import Finding
from kamalstream.edit.credentials import ENV_KEY, NAMES, presence
from kamalstream.facts import DEPLOY, SECRETS
from kamalstream.inspect.adopted import App
from kamalstream.inspect.deploy_yml import deploy_yml

_KEYS = ("config/master.key", "config/credentials/production.key")


def check_surroundings(app: App) -> list[Finding]:
    """Return what is wrong with the secrets and, in a git repository, with what is committed."""
    return [*_secrets(app), *_tracked_keys(app), *_volume_in_use(app)]


def _secrets(app: App) -> Iterator[Finding]:
    """Would the keys of the bucket be empty. Never a word of what is in the credentials."""
    if "read_secrets.rb" not in (app.text(SECRETS) or ""):
        return
    there = presence(app.root)
    if there.reason:
        problem, _, more = there.reason.partition("\n")
        has_key = os.environ.get(ENV_KEY) or any((app.root / key).exists() for key in _KEYS)
        # Without the key, as in CI, nothing is known to be wrong; but nobody deploys from there.
        yield Finding(
            "secrets.unreadable" if has_key else "secrets.no-key",
            "error" if has_key else "warning",
            SECRETS,
            0,
            f"the secrets come from Rails credentials, and those cannot be read: {problem}",
            more or "kamalstream credentials",
        )
        return
    missing = [name for name in NAMES if name not in there.found]
    if missing:
        yield Finding(
            "secrets.empty",
            "error",
            SECRETS,
            app.line_of(SECRETS, "LITESTREAM_"),
            f"Rails credentials have no litestream: {' and '.join(missing)}, so `kamal` stops "
            "(unless the environment has the keys)",
            "kamalstream credentials",
        )


def _tracked_keys(app: App) -> Iterator[Finding]:
    for key in _KEYS:
        if _git(app.root, "ls-files", "--", key):
            yield Finding(
                "secrets.key-in-git",
                "error",
                key,
                0,
                "is in git: whoever reads the repository reads every secret",
                f"git rm --cached {key}; put /{key} into .gitignore; then make a new key, because "
                "the old one stays in the history (bin/rails credentials:edit after moving both "
                "files away)",
            )


def _volume_in_use(app: App) -> Iterator[Finding]:
    """Does the last commit, which is what runs, keep the data in another volume."""
    committed = _git(app.root, "show", f"HEAD:./{DEPLOY}")
    now = deploy_yml(app.root)
    if not committed or now is None:
        return
    with tempfile.TemporaryDirectory(prefix="kamalstream-") as scratch:
        copy = Path(scratch, DEPLOY)
        copy.parent.mkdir()
        copy.write_text(committed, encoding="utf-8")
        before = deploy_yml(Path(scratch))
    in_use = before.storage_volume if before else None
    if in_use and now.storage_volume and now.storage_volume != in_use:
        yield Finding(
            "volume.renamed",
            "error",
            DEPLOY,
            app.line_of(DEPLOY, r"^volumes:"),
            f"the volume is {now.storage_volume}, but the last commit keeps the data in {in_use}: "
            "the next deploy would start without it",
            f'Write "{in_use}:/rails/storage" in both places, or move the data there first.',
        )


def _git(folder: Path, *arguments: str) -> str:
    """Return what git prints, nothing where it fails or is missing."""
    try:
        result = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, check=False)
    except OSError:
        return ""
    return result.stdout.decode("utf-8", "replace") if result.returncode == 0 else ""
