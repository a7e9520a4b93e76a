"""Do config.hosts let pass who has to: the health check, and the visitors of the domain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from kamalstream.check.deployed import deployments
from kamalstream.check.finding import Finding
from kamalstream.facts import APPLICATION_RB, PRODUCTION_RB
from kamalstream.inspect.adopted import App
from kamalstream.inspect.code_lines import code_lines

_HOSTS = re.compile(
    r"\s*config\.hosts\s*(<<|\+?=(?!=)|\.(?:push|append|concat|unshift|clear)\b)(.*)"
)
_EXCLUDES = re.compile(r"\bconfig\.host_authorization\b(.*)")
_VALUE = re.compile(
    r"\"([^\"#\\]*)\"|'([^'\\]*)'|%w[\[({]([^\])}]*)[\])}]|/((?:\\.|[^/\\#])*)/(i?)"
)
_REST = re.compile(r"[\s\[\](),.]|\bfreeze\b|nil")
# kamal-proxy asks by the address of the container.
_CONTAINER = "172.18.0.5"


@dataclass
class _Allowed:
    """What is let pass: `known` is False where code decides about it."""

    file: str = ""
    line: int = 0
    patterns: list[re.Pattern[str]] = field(default_factory=list)
    known: bool = True
    excluded: str | None = None

    def passes(self, host: str) -> bool:
        """Whether a request for `host` is let pass, or may be."""
        return not self.known or any(one.fullmatch(host) for one in self.patterns)


def check(app: App) -> Iterator[Finding]:
    """Yield where hosts are restricted without a way through for kamal-proxy or for visitors.

    Both get a 403 (ActionDispatch::HostAuthorization). What stands under a condition counts for
    nothing, as it may not be so in production.
    """
    allowed = _read(app)
    if not allowed.line:
        return
    if allowed.excluded is None and not any(one.search(_CONTAINER) for one in allowed.patterns):
        yield Finding(
            "hosts.health-check",
            "error",
            allowed.file,
            allowed.line,
            "restricts the hosts without letting /up pass: kamal-proxy asks for it by the "
            "container's address, gets 403, and the deploy fails",
            'config.host_authorization = { exclude: ->(request) { request.path == "/up" } }',
        )
    if allowed.excluded is not None and not re.search(r"\bpath\b", allowed.excluded):
        return
    for one in deployments(app):
        role = one.deployment.primary_role
        hosts = role.proxy.hosts if role and role.proxy else ()
        for host in hosts if one.deployment.rails_env == "production" else ():
            if "*" not in host and not allowed.passes(host):
                yield Finding(
                    "hosts.proxy",
                    "error",
                    allowed.file,
                    allowed.line,
                    f"does not let {host} pass, which {one.deployment.file} has the proxy serve: "
                    "every page but /up is a 403",
                    f'config.hosts << "{host}"',
                )


def _read(app: App) -> _Allowed:
    """Read the two files in the order of Rails."""
    allowed = _Allowed()
    for file in (APPLICATION_RB, PRODUCTION_RB):
        lines = code_lines(app.root / file)
        indents = [_indent(code) for _, code in lines if code.lstrip().startswith("config.")]
        for at, (number, code) in enumerate(lines):
            if excludes := _EXCLUDES.search(code):
                more = " ".join(said for _, said in lines[at + 1 : at + 4])
                allowed.excluded = f"{excludes[1]} {more}"
            match = _HOSTS.match(code)
            # Deeper than the other settings it stands under a condition.
            if match and _indent(code) == min(indents):
                rest = " ".join([match[2], *(said for _, said in lines[at + 1 :])])
                _take(allowed, match[1], _statement(rest, match[2]), file, number)
    return allowed


def _indent(code: str) -> int:
    return len(code) - len(code.lstrip())


def _statement(rest: str, line: str) -> str:
    """Return the whole value, which may go over several lines up to its bracket."""
    if line.count("[") + line.count("(") <= line.count("]") + line.count(")"):
        return line
    depth = 0
    for at, sign in enumerate(rest):
        depth += (sign in "[(") - (sign in "])")
        if depth == 0 and sign in "])":
            return rest[: at + 1]
    return rest


def _take(allowed: _Allowed, how: str, value: str, file: str, line: int) -> None:
    if re.search(r"\s(?:if|unless)\s", value):
        # Nothing is certain any more, neither who is let pass nor that others are not.
        allowed.known = False
        return
    clears = how == ".clear" or (how == "=" and value.strip() in ("nil", "[]"))
    if how == "=" or clears:
        allowed.patterns, allowed.known, allowed.line = [], True, 0
    if clears:
        return
    if not allowed.line:
        allowed.file, allowed.line = file, line
    for match in _VALUE.finditer(value):
        texts = match[3].split() if match[3] is not None else [match[1] or match[2] or ""]
        allowed.patterns += [_of_regexp(match)] if match[4] else map(_of_text, filter(None, texts))
    if _REST.sub("", _VALUE.sub("", value)):
        allowed.known = False
        if "IPAddr" in value:
            # Rails' own way of letting addresses pass.
            allowed.patterns.append(re.compile(re.escape(_CONTAINER)))


def _of_text(host: str) -> re.Pattern[str]:
    """ActionDispatch::HostAuthorization::Permissions#sanitize_string."""
    if host.startswith("."):
        return re.compile(rf"(?:[a-z0-9-]+\.)?{re.escape(host[1:])}", re.IGNORECASE)
    return re.compile(re.escape(host), re.IGNORECASE)


def _of_regexp(match: re.Match[str]) -> re.Pattern[str]:
    source = re.sub(r"\\A|\\[zZ]|^\^|\$$", "", match[4])
    try:
        return re.compile(source.replace("\\h", "[0-9a-fA-F]"), re.IGNORECASE if match[5] else 0)
    except re.error:
        return re.compile(r".*")
