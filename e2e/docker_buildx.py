#!/usr/bin/env python3
"""Stands between Kamal and docker's buildx plugin: builds with the BuildKit of the engine itself.

Two images are not to be had: moby/buildkit, for the builder in a container that Kamal creates, and
the frontend that the Dockerfile's `# syntax=` line names; the engine has a frontend of its own.
Kamal 2.11 (lib/kamal/commands/builder) calls `version`, `inspect`, `create` and
`build --output=type=registry --platform P --builder B -t T … --file F CONTEXT`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Do one plugin call; the arguments begin with `buildx`, or ask for the plugin's metadata."""
    if arguments[:1] == ["docker-cli-plugin-metadata"]:
        print(json.dumps({"SchemaVersion": "0.1.0", "Vendor": "stand-in"}))
        return 0
    if arguments[1:2] != ["build"]:
        print("stand-in for buildx")
        return 0
    options = argparse.ArgumentParser(allow_abbrev=False)
    options.add_argument("--builder")
    options.add_argument("--file", "-f", type=Path, default=Path("Dockerfile"))
    known, rest = options.parse_known_args(arguments[2:])
    lines = known.file.read_text().splitlines(keepends=True)
    with tempfile.NamedTemporaryFile("w", suffix=".Dockerfile") as file:
        file.writelines("#\n" if line.startswith("# syntax=") else line for line in lines)
        file.flush()
        # As docker would call it: the environment that docker has given tells buildx so.
        build = ["buildx", "buildx", "build", "--builder=default", f"--file={file.name}", *rest]
        return subprocess.run(build, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
