"""Which provider, region and bucket an address is of: an endpoint, or a page of its console."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from kamalstream.facts import PROVIDERS

_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"


def answers_of(address: str, region: str = "") -> dict[str, str]:
    """Return the answers that `address` gives: storage_provider, region, endpoint and bucket.

    It may be an endpoint, with or without a bucket in front or behind, or the page of a bucket in
    the console of a provider. Where `region` is known and is none of that provider's, it is taken
    for another server's. Empty for what is no address.
    """
    text = address.strip()
    if re.match(r"[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?(/|\Z)", text):
        text = f"https://{text}"
    if not re.match(r"https?://[^/\s]", text):
        return {}
    for name, provider in PROVIDERS.items():
        for pattern in _patterns(provider):
            found = re.match(pattern, text)
            said = _answers(name, provider, found) if found else {}
            if said and region in ("", said.get("region", region)):
                return said
    url = urlsplit(text)
    path = url.path.strip("/")
    bucket = {"bucket": path} if re.fullmatch(_BUCKET, path) else {}
    return {"storage_provider": "custom", "endpoint": f"{url.scheme}://{url.netloc}", **bucket}


def _patterns(provider: dict[str, Any]) -> Iterator[str]:
    """Yield what matches an address of the provider; the groups are what is in it."""
    if "console" in provider:
        yield provider["console"]
    region = f"(?P<region>{provider.get('pattern', '')})"
    if "address" in provider:
        host = provider["address"]
    elif "endpoint" in provider:
        endpoint = provider["endpoint"] or "https://s3.REGION.amazonaws.com"
        host = re.escape(endpoint.partition("://")[2]).replace("REGION", region)
    else:
        return
    before, behind = rf"(?:(?P<before>{_BUCKET})\.)?", rf"(?:/(?P<behind>{_BUCKET}))?"
    yield rf"https://{before}(?P<host>{host}){behind}/?(?:[?#]|\Z)"


def _answers(name: str, provider: dict[str, Any], found: re.Match[str]) -> dict[str, str]:
    said = {key: value for key, value in found.groupdict().items() if value}
    answers = {"storage_provider": name}
    if region := said.get("region") or (provider["region"] if "fixed_region" in provider else ""):
        answers["region"] = region
    if "account" in said:
        place = said.get("jurisdiction", "default")
        own = said["account"] + (f".{place}" if place != "default" else "")
        answers["endpoint"] = provider["example"].replace("ACCOUNT_ID", own)
    elif "endpoint" not in provider:
        answers["endpoint"] = f"https://{said['host']}"
    elif region:
        answers["endpoint"] = provider["endpoint"].replace("REGION", region)
    for place in ("bucket", "before", "behind"):
        if place in said:
            answers["bucket"] = said[place]
    return answers
