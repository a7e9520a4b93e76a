#!/usr/bin/env python3
"""Stands in for docker's buildx plugin, with Docker's classic builder under it.

BuildKit would first pull the frontend that the Dockerfile's `# syntax=` line names, and buildx's
default driver the image moby/buildkit; neither can be had. The classic builder takes those lines
for comments. Kamal 2.11 (lib/kamal/commands/builder) calls `version`, `inspect`, `create` and
`build --output=type=registry --platform P --builder B -t T … CONTEXT`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys


def main(arguments: list[str]) -> int:
    """Do one plugin call; the arguments begin with `buildx`, or ask for the plugin's metadata."""
    if arguments[:1] == ["docker-cli-plugin-metadata"]:
        print(json.dumps({"SchemaVersion": "0.1.0", "Vendor": "stand-in"}))
        return 0
    if arguments[1:2] != ["build"]:
        print("stand-in for buildx")
        return 0
    kept, tags, rest = [], [], iter(arguments[2:])
    for argument in rest:
        if argument in ("--platform", "--builder"):
            next(rest)
        elif argument == "-t":
            tags.append(next(rest))
        elif not argument.startswith("--output="):
            kept.append(argument)
    named = [word for tag in tags for word in ("--tag", tag)]
    commands = [["build", *named, *kept], *(["push", tag] for tag in tags)]
    for command in commands:
        done = subprocess.run(
            ["docker", *command], env={**os.environ, "DOCKER_BUILDKIT": "0"}, check=False
        )
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
