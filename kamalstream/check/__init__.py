"""Checks what was rendered: from its text (fast, for the hooks too) and with the real programs."""

from __future__ import annotations

from kamalstream.check import (
    accessory,
    assets,
    boot_restore,
    conflicts,
    databases,
    deploy_yml,
    health,
    hosts,
    image,
    jobs,
    litestream_yml,
    ports,
    production_rb,
    replicators,
    secrets,
    servers,
    solid,
    sqlite,
    uploads,
    volumes,
)
from kamalstream.check.finding import Finding
from kamalstream.inspect.adopted import App

#: In the order in which a deploy would trip over them.
_CHECKS = (
    deploy_yml,
    databases,
    litestream_yml,
    volumes,
    accessory,
    servers,
    replicators,
    sqlite,
    secrets,
    image,
    boot_restore,
    ports,
    jobs,
    assets,
    production_rb,
    solid,
    health,
    hosts,
    uploads,
)


def check_files(app: App) -> list[Finding]:
    """Return what the files themselves show. Runs no program and changes nothing."""
    torn = list(conflicts.check(app))
    files = {finding.file for finding in torn}
    found = [finding for module in _CHECKS for finding in module.check(app)]
    # What stands in config/deploy.yml shows in every destination.
    return [*torn, *dict.fromkeys(finding for finding in found if finding.file not in files)]
