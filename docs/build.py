"""Writes docs/questions.md from copier.yml and kamalstream/facts: `python docs/build.py`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from kamalstream.ask.bill import bill
from kamalstream.ask.questions import is_kept
from kamalstream.facts import DEFAULT_DATABASES, EPHEMERAL, PROVIDERS, VERSIONS

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "questions.md"


def questions() -> str:
    """Return the text of docs/questions.md."""
    settings: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))
    rows = [
        f"| `{key}` | {_default(question)} | {_help(question)} |"
        for key, question in settings.items()
        if not key.startswith("_") and is_kept(question)
    ]
    providers = [
        f"| `{key}` | {provider['label']} | {_regions(provider)} | {_endpoint(provider)} "
        f"| {_keys(provider)} |"
        for key, provider in PROVIDERS.items()
    ]
    databases = [
        f"- `{name}: {path}`{' (left out unless `backup_ephemeral`)' if name in EPHEMERAL else ''}"
        for name, path in DEFAULT_DATABASES.items()
    ]
    unpriced = [one["label"] for one in PROVIDERS.values() if "prices" not in one]
    pins = [f"- series `{series}`: {pin}" for series, pin in VERSIONS["litestream"].items()]
    return "\n".join(
        [
            "<!-- Written by docs/build.py from copier.yml and kamalstream/facts. -->",
            "# Questions",
            "",
            "Each is a key for `--data KEY=VALUE` and for a `--data-file`. Answers are kept in",
            "`.copier-answers.yml`; change one with `kamalstream update --data KEY=VALUE`.",
            "",
            "| key | default | |",
            "|---|---|---|",
            *rows,
            "",
            "A bad value is refused before anything is written, with a good one beside it.",
            "",
            "## Storage providers",
            "",
            "No provider was called for this list; each fact has its source below.",
            "",
            "| provider | | region | endpoint | set in litestream.yml (0.5) |",
            "|---|---|---|---|---|",
            *providers,
            "",
            "### What they charge",
            "",
            "A month, without VAT; requests are those that [the bill](bill.md) counts. A GB",
            "fetched is one of a restore, of `kamalstream verify` (which says so first), or of",
            "uploaded files on their way back.",
            "",
            "| provider | for all | a GB | a GB fetched | a million requests | at rest, busy |",
            "|---|---|---|---|---|--:|",
            *(
                _prices(key, provider)
                for key, provider in PROVIDERS.items()
                if "prices" in provider
            ),
            "",
            f"Not listed, as no price was found in the provider's own writing or as the server is "
            f"yours: {', '.join(unpriced)}.",
            "",
            "### Where bucket and keys are made",
            "",
            *(line for provider in PROVIDERS.values() for line in _where(provider)),
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


def _regions(provider: dict[str, Any]) -> str:
    if provider.get("fixed_region"):
        return f"`{provider['region']}`, the only one"
    known = provider.get("regions", [provider.get("region")])
    default = provider.get("region")
    named = [f"**`{one}`**" if one == default else f"`{one}`" for one in known]
    return ", ".join(named) + (", …" if "regions" in provider else "")


def _prices(key: str, provider: dict[str, Any]) -> str:
    prices = provider["prices"]
    money = prices["currency"]
    base = f"{money}{prices['base']:g}" if prices["base"] else "nothing"
    included = f", {prices['included']} GB included" if prices["included"] else ""
    requests = "; ".join(
        f"{money}{one['million']:.2f} for {' and '.join(map(str.upper, one['of']))}"
        + (f" after {one['free']:,}" if one["free"] else "")
        for one in prices["requests"]
    )
    estimate = bill({"app_name": "app", "storage_provider": key})
    idle, busy = (f"{money}{estimate.money[when]:.2f}" for when in ("idle", "busy"))
    return (
        f"| [{provider['label']}]({prices['source']}) | {base}{included} "
        f"| {money}{prices['storage']:g} | {_fetched(prices)} | {requests or 'nothing'} "
        f"| {idle}, {busy} |"
    )


def _fetched(prices: dict[str, Any]) -> str:
    egress = prices.get("egress")
    if egress is None:
        return "not known"
    if not egress["gb"]:
        return f"[nothing]({egress['source']})"
    free = f" after {egress['free']:,} GB" if egress["free"] else ""
    return f"[{prices['currency']}{egress['gb']:g}]({egress['source']}){free}"


def _where(provider: dict[str, Any]) -> list[str]:
    lines = [
        f"  - {name}: {provider[what]}"
        for what, name in (("bucket", "bucket"), ("keys", "keys"), ("advice", "besides"))
        if what in provider
    ]
    if "policy" in provider:
        lines.append(f"  - the policy: `{provider['policy']}`")
    if "sources" in provider:
        lines.append(f"  - from {', '.join(f'<{url}>' for url in provider['sources'])}")
    return [f"- **{provider['label']}**", *lines] if lines else []


def _endpoint(provider: dict[str, Any]) -> str:
    if "endpoint" not in provider:
        return f"asked for, like `{provider['example']}`"
    return f"`{provider['endpoint']}`" if provider["endpoint"] else "none"


def _keys(provider: dict[str, Any]) -> str:
    keys = provider.get("replica", {}).get("0.5", {})
    return ", ".join(f"`{key}: {str(value).lower()}`" for key, value in keys.items())


if __name__ == "__main__":
    TARGET.write_text(questions(), "utf-8")
