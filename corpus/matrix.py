"""`make matrix`: what the real `rails new` makes, version by version and flag by flag, judged.

It needs what e2e/rails.py needs: root, mmdebstrap, and gems. An app takes a minute once.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import product
from pathlib import Path

from corpus.table import table_of
from e2e.rails import rails_new

VERSIONS = ("8.1.4", "8.0.5.1")
#: What changes the files that are read: which parts of Rails there are, and how they are installed.
FLAGS = (
    "",
    "--api",
    "--minimal",
    "--skip-kamal",
    "--skip-solid",
    "--skip-thruster",
    "--skip-docker",
    "--skip-bundle",
    "--skip-active-job",
    "--skip-active-storage",
    "--skip-action-cable",
    "--skip-active-record",
    "--skip-asset-pipeline",
    "-c tailwind",
    "-d postgresql --skip-bundle",
    "-j esbuild --skip-bundle",
)


def main(words: list[str]) -> int:
    """Judge every app, or those with one of `words` in their name; 1 where one came out wrong."""
    with tempfile.TemporaryDirectory(prefix="kamalstream-matrix-") as folder:
        apps = []
        for version, flags in product(VERSIONS, FLAGS):
            name = f"{version} {flags}".strip()
            if not words or any(word in name.split() for word in words):
                app = Path(folder, name.replace(" ", "_"))
                app.symlink_to(rails_new(version, *flags.split()))
                apps.append(app)
        return table_of(apps)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
