"""Can the health check reach the app: config.hosts lets /up pass."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kamalstream.check.finding import Finding
from kamalstream.facts import PRODUCTION_RB
from kamalstream.inspect.adopted import App
from kamalstream.inspect.code_lines import code_lines

_FILES = (PRODUCTION_RB, "config/application.rb")
_SET = re.compile(r"\bconfig\.hosts\s*(?:<<|\+?=|\.(?:push|append|concat|unshift)\b)(.*)")
_EXCLUDES = re.compile(r"\bconfig\.host_authorization\b")


def check(app: App) -> Iterator[Finding]:
    """Yield where hosts are restricted without a way through for kamal-proxy.

    It asks for /up by the container's address, and gets a 403 (ActionDispatch::HostAuthorization).
    """
    lines = [(file, *line) for file in _FILES for line in code_lines(app.root / file)]
    if any(_EXCLUDES.search(code) for _, _, code in lines):
        return
    for file, number, code in lines:
        match = _SET.search(code)
        if match and match[1].strip() not in ("nil", "[]"):
            yield Finding(
                "hosts.health-check",
                "error",
                file,
                number,
                "restricts the hosts without letting /up pass: kamal-proxy asks for it by the "
                "container's address, gets 403, and the deploy fails",
                'config.host_authorization = { exclude: ->(request) { request.path == "/up" } }',
            )
            return
