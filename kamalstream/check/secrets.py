"""Will every secret that config/deploy.yml names have a value, and does none stand in a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kamalstream.check.finding import Finding
from kamalstream.facts import DEPLOY, SECRETS
from kamalstream.inspect.adopted import App

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")


def check(app: App) -> Iterator[Finding]:
    """Yield secrets that are missing from .kamal/secrets or written out there."""
    text = app.text(SECRETS)
    if text is None:
        message = "the file is not there: the containers get no secrets"
        yield Finding("secrets.missing", "error", SECRETS, 0, message, "Run `copier recopy`.")
        return
    assigned: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _ASSIGNMENT.match(line)
        if not match or line.lstrip().startswith("#"):
            continue
        name, value = match[1], match[2].strip("\"'")
        assigned[name] = number
        if value and "$" not in value:
            yield Finding(
                "secrets.literal",
                "error",
                SECRETS,
                number,
                f"{name} is written out here, in a file that is committed",
                "Read it from Rails credentials or the environment, and change the secret.",
            )
    for name, place in sorted(_wanted(app.deploy or {}).items()):
        if name not in assigned:
            yield Finding(
                "secrets.unset",
                "error",
                SECRETS,
                0,
                f"{name} is wanted by {place} in {DEPLOY}, but not set here",
                f"Add a line {name}=…",
            )


def _wanted(deploy: dict[str, Any]) -> dict[str, str]:
    """Return the names of secrets that deploy.yml asks for, and where."""
    wanted: dict[str, str] = {}

    def of_env(section: object, place: str) -> None:
        env = section.get("env") if isinstance(section, dict) else None
        names = env.get("secret") if isinstance(env, dict) else None
        for name in names if isinstance(names, list) else []:
            # ALIAS:NAME gives the container another name for the secret (Kamal 2).
            wanted.setdefault(str(name).split(":")[-1], place)

    of_env(deploy, "env")
    accessories = deploy.get("accessories")
    for name, accessory in accessories.items() if isinstance(accessories, dict) else []:
        of_env(accessory, f"accessories: {name}")
    registry = deploy.get("registry")
    if isinstance(registry, dict):
        for key in ("username", "password"):
            if isinstance(registry.get(key), list):
                wanted.update({str(name): f"registry: {key}" for name in registry[key]})
    return wanted
