"""Checks what was rendered: from its text (fast, for the hooks too) and with the real programs."""

from __future__ import annotations

from kamalstream.check import (
    databases,
    deployment,
    hosts,
    image,
    litestream_yml,
    production_rb,
    replicators,
    secrets,
    servers,
    uploads,
)
from kamalstream.check.finding import Finding
from kamalstream.inspect.adopted import App

#: In the order in which a deploy would trip over them.
_CHECKS = (
    databases,
    litestream_yml,
    deployment,
    servers,
    replicators,
    secrets,
    image,
    production_rb,
    hosts,
    uploads,
)


def check_files(app: App) -> list[Finding]:
    """Return what the files themselves show. Runs no program and changes nothing."""
    return [finding for module in _CHECKS for finding in module.check(app)]
