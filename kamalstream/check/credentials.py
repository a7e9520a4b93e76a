"""Do the encrypted credentials hold the keys of the bucket. Never a word of what is in them."""

from __future__ import annotations

import os

from kamalstream.check.committed import KEYS
from kamalstream.check.deployed import deployments
from kamalstream.check.finding import Finding
from kamalstream.edit.credentials import ENV_KEY, NAMES, presence
from kamalstream.inspect.adopted import App


def check_credentials(app: App) -> list[Finding]:
    """Return what is wrong with them, where a deployment reads its secrets from there."""
    files = [file for one in deployments(app) for file in one.deployment.secrets_files]
    # Behind another RAILS_ENV it reads those of another environment.
    ours = r"\((?:RAILS_ENV=\$KAMAL_DESTINATION )?ruby \.kamal/read_secrets\.rb\b"
    reading = [file for file in files if app.line_of(file, ours)]
    if not reading:
        return []
    file, there = reading[0], presence(app.root)
    if there.reason:
        problem, _, more = there.reason.partition("\n")
        has_key = os.environ.get(ENV_KEY) or any((app.root / key).exists() for key in KEYS)
        # Without the key, as in CI, nothing is known to be wrong; but nobody deploys from there.
        return [
            Finding(
                "secrets.unreadable" if has_key else "secrets.no-key",
                "error" if has_key else "warning",
                file,
                0,
                f"the secrets come from Rails credentials, and those cannot be read: {problem}",
                more or "kamalstream credentials",
            )
        ]
    missing = [name for name in NAMES if name not in there.found]
    if not missing:
        return []
    return [
        Finding(
            "secrets.empty",
            "error",
            file,
            app.line_of(file, "LITESTREAM_"),
            f"Rails credentials have no litestream: {' and '.join(missing)}, so `kamal` stops "
            "(unless the environment has the keys)",
            "kamalstream credentials",
        )
    ]
