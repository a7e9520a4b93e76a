"""Beyond the machine: the domain's DNS, the server over ssh, and the bucket."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Callable, Iterator

from kamalstream.check.deployed import SIDECAR
from kamalstream.check.finding import Finding
from kamalstream.check.live_bucket import check_bucket
from kamalstream.check.ssh import NoAnswerError, ask
from kamalstream.facts import DEPLOY, UPLOADS
from kamalstream.inspect.adopted import App
from kamalstream.inspect.kamal.deployment import Deployment
from kamalstream.inspect.kamal.parts import Ssh

_GIB = 1024 * 1024  # in the kibibytes of `df -Pk`
_ROOM, _LITTLE_ROOM = 1 * _GIB, 5 * _GIB
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# One line each: Docker's version or why there is none, free kibibytes, architecture, and what the
# accessory said last, where it refuses to replicate.
_ASK = (
    "docker version --format '{{.Server.Version}}' 2>&1 | tail -n 1;"
    " df -Pk \"$(docker info --format '{{.DockerRootDir}}' 2>/dev/null || echo /)\" 2>/dev/null"
    " | tail -n 1; uname -m; docker logs --tail 7 {} 2>&1 | grep '^Not replicating: '"
)
# One line where the accessory that copies uploaded files is up and behind.
_BEHIND = "behind: "
_ASK_UPLOADS = (
    '; name={}; if [ -n "$(docker ps --quiet --filter "name=^$name\\$")" ]; then'
    ' said=$(docker exec "$name" copy-uploads status 2>&1) ||'
    f" echo \"{_BEHIND}$(echo \"$said\" | tr '\\n' ' ')\"; fi"
)


def check_live(app: App, on_step: Callable[[str], None] = lambda step: None) -> list[Finding]:
    """Return what is wrong with the domain, the server and the bucket; needs the network.

    Changes nothing on the server; in the bucket, a probe is written and removed. `on_step` is told
    what is tried next.
    """
    findings: list[Finding] = []
    for name, check in (("the domain", _dns), ("the server", _ssh), ("the bucket", check_bucket)):
        on_step(name)
        findings += check(app)
    return findings


def _server(app: App) -> str:
    """Return the server that deploy.yml names, which may be newer than the answers."""
    main = _main(app)
    return (main and main.server) or str(app.answers.get("server_ip", ""))


def _main(app: App) -> Deployment | None:
    return (app.kamal.main or app.kamal.base) if app.kamal else None


def _line(app: App, *path: str) -> tuple[str, int]:
    main = _main(app)
    return main.line(*path) if main else (DEPLOY, 0)


def _addresses(host: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return set()


def _dns(app: App) -> Iterator[Finding]:
    main = _main(app)
    role = main.primary_role if main else None
    served = role.proxy.hosts if role and role.proxy else ()
    domains = served or (str(app.answers.get("domain", "")),)
    place = _line(app, "proxy", "hosts" if main and main.get("proxy", "hosts") else "host")
    server = _server(app)
    wanted = _addresses(server)
    for domain in domains:
        found = _addresses(domain)
        if not found:
            message = f"{domain} has no address: nobody finds the app, and there is no certificate"
            yield Finding("live.dns", "error", *place, message, f"Point {domain} to {server}.")
        elif wanted and not found & wanted:
            yield Finding(
                "live.dns",
                "warning",
                *place,
                f"{domain} points to {', '.join(sorted(found))}, not to the server {server}",
                "Right behind a proxy such as Cloudflare's. Otherwise there is no certificate: "
                f"point {domain} to {server}.",
            )


def _ssh(app: App) -> Iterator[Finding]:
    server = _server(app)
    settings = main.ssh if (main := _main(app)) else Ssh()
    user, place = settings.user or "root", _line(app, "servers")
    sidecar = main.accessories.get(SIDECAR) if main else None
    script = _ASK.replace("{}", shlex.quote(sidecar.service_name if sidecar else SIDECAR))
    copies = main.accessories.get(UPLOADS) if main else None
    if copies and app.copies_uploads:
        script += _ASK_UPLOADS.replace("{}", shlex.quote(copies.service_name))
    try:
        answer = ask(server, settings, script)
    except FileNotFoundError:
        yield Finding("live.ssh", "warning", "", 0, "ssh is not on this machine", "Install it.")
    except NoAnswerError as said:
        yield Finding(
            "live.ssh",
            "error",
            *place,
            f"ssh {user}@{server} does not get in without a password: {said}",
            _way_in(str(said), user, server),
        )
    else:
        yield from _of_server(app, user, place, answer)


def _way_in(said: str, user: str, server: str) -> str:
    """Return what to do where ssh says `said`: a key helps only where somebody answers."""
    if "Permission denied" in said or "Too many authentication" in said:
        return f"ssh-copy-id {user}@{server}, or mend the user."
    if "Host key" in said or "host key" in said:
        return f"Where the server was made anew: ssh-keygen -R {server}"
    return "Is the server up, and its address and ssh port right? Does a firewall let you in?"


def _of_server(app: App, user: str, place: tuple[str, int], answer: list[str]) -> Iterator[Finding]:
    behind = [line for line in answer if line.startswith(_BEHIND)]
    answer = [line for line in answer if line not in behind]
    docker, disk, machine, refused = [*answer, "", "", "", ""][:4]
    if behind:
        yield Finding(
            "live.uploads",
            "warning",
            *_line(app, "accessories", UPLOADS),
            "uploaded files are not all copied, or not all back: "
            + behind[0].removeprefix(_BEHIND).strip(),
            "kamal accessory logs uploads says more.",
        )
    if refused:
        yield Finding(
            "live.one-writer",
            "error",
            *_line(app, "accessories", SIDECAR),
            refused.removeprefix("Not replicating: "),
            "kamal accessory logs litestream says more. Stop the other one, then: bin/restore, or "
            "bin/restore --take-over",
        )
    if not re.fullmatch(r"[0-9]+\.[0-9.]+\S*", docker):
        missing = "not found" in docker
        yield Finding(
            "live.docker",
            "warning" if missing and user == "root" else "error",
            *place,
            f"{user} cannot use Docker there: {docker or 'no answer'}",
            "`kamal setup` installs it."
            if missing and user == "root"
            else f"As root there: install Docker, then usermod -aG docker {user}",
        )
    columns = disk.split()
    free = int(columns[3]) if len(columns) > 3 and columns[3].isdigit() else None
    if free is not None and free < _LITTLE_ROOM:
        yield Finding(
            "live.disk",
            "error" if free < _ROOM else "warning",
            *place,
            f"{free / _GIB:.1f} GiB are free on the server; images, databases and a restore beside "
            "the live files need more",
            "Make room: docker system prune, or a larger disk.",
        )
    arch = _ARCHITECTURES.get(machine)
    main = _main(app)
    built = main.builder.arch if main else ()
    if arch and built and arch not in built:
        yield Finding(
            "live.arch",
            "error",
            *_line(app, "builder", "arch"),
            f"the image is built for {', '.join(built)}, the server is {arch}",
            f"builder:\n  arch: {arch}"
            if app.is_own(DEPLOY)
            else f"kamalstream update --data arch={arch}",
        )
