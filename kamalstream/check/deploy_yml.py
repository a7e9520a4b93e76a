"""What config/deploy.yml and its destinations say by themselves: readable, and fit to deploy."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kamalstream.check.deployed import Deployed, deployments
from kamalstream.check.finding import Finding
from kamalstream.facts import ANSWERS, DEPLOY, NEW_ANSWERS
from kamalstream.inspect.adopted import App
from kamalstream.inspect.kamal.values import text
from kamalstream.inspect.unreadable import Unreadable

# What the checks look at; code elsewhere hides nothing from them.
_PARTS = ("service", "servers", "volumes", "accessories", "env", "proxy")
_PATIENT = 60


def check(app: App) -> Iterator[Finding]:
    """Yield what keeps a file from being read, and settings that do not fit this app."""
    kamal = app.kamal
    if app.text(NEW_ANSWERS) is not None:
        message = "a `copier copy` that was killed left this behind: nothing of it was done"
        fix = f"rm {NEW_ANSWERS}, then run the copy again; kamalstream init does both."
        yield Finding("answers.left-behind", "error", NEW_ANSWERS, 0, message, fix)
    if kamal is None:
        fix = "git checkout HEAD -- config/deploy.yml, or: kamalstream init"
        message = "the file is not there: Kamal has nothing to deploy with"
        yield Finding("deploy.missing", "error", DEPLOY, 0, message, fix)
        return
    for one in kamal.deployments or (kamal.base,):
        hidden = (said for part in _PARTS for said in one.unreadable_at(part))
        for place in dict.fromkeys(hidden):
            yield _unreadable(app, place)
    if kamal.base.require_destination and not kamal.deployments:
        yield Finding(
            "destination.none",
            "error",
            *kamal.base.line("require_destination"),
            "Kamal deploys destinations alone here, and no config/deploy.NAME.yml is there: what "
            "they say of servers, volumes and secrets is not known, so none is backed up yet",
            "kamalstream init where those files are: it takes each of them in.",
        )
    for deployed in deployments(app):
        yield from _timeout(deployed)
        yield from _remote_builder(deployed)
        if deployed.is_main:
            yield from _answers(deployed)


def _unreadable(app: App, place: Unreadable) -> Finding:
    if "<%" not in (app.text(place.file) or ""):
        why = f"{place.file}: {place.why}"
        return Finding("yaml.invalid", "error", place.file, place.line, why, "Mend that line.")
    return Finding(
        "deploy.erb",
        "warning",
        place.file,
        place.line,
        f"ERB decides here, which is not run, so what depends on it is unchecked: {place.why}",
        "Compare volumes, servers, accessory and secrets with `kamal config` yourself.",
    )


def _timeout(one: Deployed) -> Iterator[Finding]:
    """Kamal gives a container 30 seconds, and its first ones may go into a restore."""
    written = text(one.deployment.get("deploy_timeout")) or ""
    if one.deployment.unreadable_at("deploy_timeout"):
        return
    seconds = int(written) if re.fullmatch(r"[0-9]+", written) else 30
    if seconds < _PATIENT:
        yield Finding(
            "deploy.timeout",
            "warning",
            *one.deployment.line("deploy_timeout"),
            f"Kamal waits {seconds} seconds for a new container, and on an empty server that one "
            "restores the databases first: the deploy would be given up in the middle of it",
            "deploy_timeout: 300",
        )


def _remote_builder(one: Deployed) -> Iterator[Finding]:
    deployment = one.deployment
    oldest = [int(part) for part in re.findall(r"[0-9]+", deployment.minimum_version or "0")]
    if deployment.registry.local and deployment.builder.remote and oldest < [2, 12]:
        yield Finding(
            "registry.remote-builder",
            "warning",
            *deployment.line("builder", "remote"),
            "a remote builder does not reach the registry on this machine's localhost before "
            "Kamal 2.12, which starts one there (basecamp/kamal 1690)",
            'Deploy with Kamal 2.12 or later (minimum_version: "2.12.0"), or take that line out.',
        )


def _answers(one: Deployed) -> Iterator[Finding]:
    """docs/DEPLOYMENT.md has the server and the domain from the answers."""
    answers, deployment = one.app.answers, one.deployment
    role = deployment.primary_role
    servers, domains = deployment.hosts, role.proxy.hosts if role and role.proxy else ()
    said = (
        ("server_ip", servers, ("servers",)),
        ("domain", domains, ("proxy", "hosts" if deployment.get("proxy", "hosts") else "host")),
    )
    for name, values, path in said:
        answer = str(answers.get(name) or "")
        if answer and values and answer not in values:
            yield Finding(
                f"answers.{name.replace('_', '-')}",
                "warning",
                *deployment.line(*path),
                f"says {', '.join(values)}, but {name} in {ANSWERS}, which docs/DEPLOYMENT.md is "
                f"written from, is {answer}",
                "kamalstream init --defaults reads it again."
                if one.app.is_own(DEPLOY)
                else f"kamalstream update --data {name}={values[0]}",
            )
