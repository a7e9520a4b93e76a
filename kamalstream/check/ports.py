"""Does the app listen on the port of the container that the proxy asks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kamalstream.check.deployed import Deployed, deployments
from kamalstream.check.finding import Finding
from kamalstream.inspect.adopted import App
from kamalstream.inspect.code_lines import code_lines

_PUMA = "config/puma.rb"
_PORT = re.compile(
    r"^\s*port[\s(]+(?:(?P<env>ENV(?:\.fetch\(|\[)\s*[\"']PORT[\"']\s*[\])]?\s*(?:,|\|\||\{)?\s*)"
    r"[\"']?(?P<default>\d*)|(?P<port>\d+))"
)
_BIND = re.compile(r"^\s*bind[\s(]+[\"'](?P<url>[^\"']+)")


def check(app: App) -> Iterator[Finding]:
    """Yield where the proxy asks in vain."""
    for one in deployments(app):
        yield from _port(one)


def _port(one: Deployed) -> Iterator[Finding]:
    role = one.deployment.primary_role
    asked = role.proxy.app_port if role and role.proxy else None
    listens, by = _listens(one)
    if asked is None or listens is None or asked in (listens, _behind(one, by)):
        return
    path = ("app_port",) if one.deployment.get("proxy", "app_port") else ()
    yield Finding(
        "proxy.port",
        "error",
        *one.deployment.line("proxy", *path),
        f"the proxy asks port {asked} of the container, but {by} listens on {listens}: the deploy "
        "waits for an answer that never comes",
        f"proxy:\n  app_port: {listens}",
    )


def _listens(one: Deployed) -> tuple[int | None, str]:
    """Return the port that the app listens on, None where that is not known, and by whom."""
    command = " ".join(one.start)
    if re.search(r"(?:^|/|\s)thrust\b", command):
        ports = [one.variable(name) for name in ("HTTP_PORT", "THRUSTER_HTTP_PORT")]
        if None in ports:
            return None, ""
        return _number(next(filter(None, ports), "80")), "Thruster"
    if not re.search(r"\brails\s+(?:s|server)\b|(?:^|/|\s)puma\b", command):
        return None, ""
    given = re.search(r"\s(?:-p|--port)[\s=]+(\d+)|\s(?:-b|--bind)[\s=]+tcp://\S+:(\d+)", command)
    if given:
        return _number(given[1] or given[2]), command
    if re.search(r"\s(?:-C|--config)[\s=]+(?!(?:\./)?config/puma\.rb)", command):
        return None, ""
    return _of_puma(one), f"Puma ({_PUMA})"


def _behind(one: Deployed, by: str) -> int | None:
    """Return the port of the server behind Thruster, which can be asked by itself too."""
    return _number(one.variable("TARGET_PORT") or "3000") if by == "Thruster" else None


def _of_puma(one: Deployed) -> int | None:
    chosen = one.variable("PORT")
    said = [code for _, code in code_lines(one.app.root / _PUMA)]
    ports = [match for match in map(_PORT.match, said) if match]
    bound = [match for match in map(_BIND.match, said) if match]
    words = [code for code in said if re.match(r"\s*(?:port|bind|if|unless|case)\b", code)]
    if len(words) != len(ports) + len(bound) or len(words) > 1:
        # More than one place to listen at, or code that decides.
        return None
    if bound:
        port = re.search(r":(\d+)\Z", bound[0]["url"])
        return int(port[1]) if port else None
    if ports and ports[0]["port"]:
        return int(ports[0]["port"])
    if chosen is None:
        return None
    default = ports[0]["default"] if ports else "3000"
    return _number(chosen or default)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
