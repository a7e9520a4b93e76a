"""Writes docs/questions.md from copier.yml and kamalstream/facts: `python docs/build.py`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from kamalstream.facts import DEFAULT_DATABASES, EPHEMERAL, PROVIDERS, VERSIONS

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "questions.md"


def questions() -> str:
    """Return the text of docs/questions.md."""
    settings: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))
    rows = [
        f"| `{key}` | {_default(question)} | {_help(question)} |"
        for key, question in settings.items()
        if not key.startswith("_") and question.get("when") is not False
    ]
    providers = [
        f"| `{key}` | {provider['label']} | `{provider['region']}`"
        f"{', the only one' if provider.get('fixed_region') else ''} | {_endpoint(provider)} "
        f"| {_keys(provider)} |"
        for key, provider in PROVIDERS.items()
    ]
    databases = [
        f"- `{name}: {path}`{' (left out unless `backup_ephemeral`)' if name in EPHEMERAL else ''}"
        for name, path in DEFAULT_DATABASES.items()
    ]
    pins = [f"- series `{series}`: {pin}" for series, pin in VERSIONS["litestream"].items()]
    return "\n".join(
        [
            "<!-- Written by docs/build.py from copier.yml and kamalstream/facts. -->",
            "# Questions",
            "",
            "Each is a key for `--data KEY=VALUE` and for a `--data-file`. Answers are kept in",
            "`.copier-answers.yml`; change one with `copier update --trust --data KEY=VALUE`.",
            "",
            "| key | default | |",
            "|---|---|---|",
            *rows,
            "",
            "A bad value is refused before anything is written, with a good one beside it.",
            "",
            "## Storage providers",
            "",
            "From Litestream's guides, source and issues; no provider was called for it.",
            "",
            "| provider | | region | endpoint | set in litestream.yml (0.5) |",
            "|---|---|---|---|---|",
            *providers,
            "",
            "## Databases of a fresh Rails 8 app",
            "",
            *databases,
            "",
            "## Pinned Litestream",
            "",
            *pins,
            "",
        ]
    )


def _default(question: dict[str, Any]) -> str:
    default = str(question.get("default", ""))
    if "{%" in default or "{{" in default:
        return "required" if "UNSET" in default and "set preset" not in default else "derived"
    return f"`{default.lower()}`" if default else "none"


def _help(question: dict[str, Any]) -> str:
    words = " ".join(str(question["help"]).split())
    return re.sub(r"\{\{.*?\}\}", "…", words).replace("|", "\\|")


def _endpoint(provider: dict[str, Any]) -> str:
    if "endpoint" not in provider:
        return f"asked for, like `{provider['example']}`"
    return f"`{provider['endpoint']}`" if provider["endpoint"] else "none"


def _keys(provider: dict[str, Any]) -> str:
    keys = provider.get("replica", {}).get("0.5", {})
    return ", ".join(f"`{key}: {str(value).lower()}`" for key, value in keys.items())


if __name__ == "__main__":
    TARGET.write_text(questions(), "utf-8")
