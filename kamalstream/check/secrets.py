"""Will every secret that a deployment names have a value, and does none stand in a file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kamalstream import facts
from kamalstream.check.deployed import SIDECAR, Deployed, deployments
from kamalstream.check.finding import Finding
from kamalstream.inspect.adopted import App
from kamalstream.inspect.kamal.secrets_file import Assignment, assignments

# Names of what nobody else may know. An id of a key is half of a credential, so it counts; what is
# public by its name does not.
_SECRET = re.compile(
    r"(?:\A|_)(?:(?:API|APP)?(?:KEYS?|SECRETS?|TOKENS?|PASSWORDS?|PASSWD|PASS|PASSPHRASE|CREDENTIALS?"
    r"|PRIVATE|JWT|PAT))(?:_|\Z)",
    re.IGNORECASE,
)
_PUBLIC = re.compile(
    r"(?:\A|_)(?:PUBLIC|PUBLISHABLE|DUMMY|NAME|USER|USERNAME|URL|FILE|PATH)(?:_|\Z)", re.I
)
_URL_WITH_PASSWORD = re.compile(r"\A[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@", re.IGNORECASE)
# No secret, whatever it is called.
_SWITCH = {
    "0",
    "1",
    "true",
    "false",
    "yes",
    "no",
    "_json_key",
    "_json_key_base64",
    "aws",
    "oauth2accesstoken",
}
_AMAZON = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def check(app: App) -> Iterator[Finding]:
    """Yield secrets that no file of a deployment sets, that are written out, or not handed on."""
    for one in deployments(app):
        if one.deployment.name or not one.deployment.require_destination:
            yield from _files(one)
        yield from _handed_on(one)


def _files(one: Deployed) -> Iterator[Finding]:
    deployment = one.deployment
    texts = {file: one.app.text(file) for file in deployment.secrets_files}
    there = {file: assignments(text) for file, text in texts.items() if text is not None}
    ignored = _ignored(one.app)
    for file, said in there.items():
        for assignment in said:
            if _is_written_out(assignment) and not ignored:
                yield Finding(
                    "secrets.literal",
                    "error",
                    file,
                    assignment.line,
                    f"{assignment.name} is written out here, in a file that is committed",
                    "Read it from Rails credentials or the environment, and change the secret.",
                )
    wanted = deployment.secrets_wanted
    if wanted and not there:
        yield Finding(
            "secrets.missing",
            "error",
            deployment.secrets_files[-1],
            0,
            f"the file is not there, and {one.name} reads its secrets from "
            f"{' and '.join(deployment.secrets_files)}: the containers get none",
            f"Write a line NAME=… there for each of {', '.join(wanted)}; kamalstream init writes "
            "those of the bucket.",
        )
        return
    assigned = {assignment.name for said in there.values() for assignment in said}
    # What is wanted in one place is said in one finding, at its first line.
    missing: dict[tuple[str, str], list[str]] = {}
    lines: dict[tuple[str, str], int] = {}
    for name, places in wanted.items():
        if name not in assigned:
            place = (places[0].where, places[0].file)
            missing.setdefault(place, []).append(name)
            lines.setdefault(place, places[0].line)
    for (where, file), names in missing.items():
        yield Finding(
            "secrets.unset",
            "error",
            list(there)[-1],
            0,
            f"{', '.join(names)} {'are' if len(names) > 1 else 'is'} wanted by {where} "
            f"({file}:{lines[where, file]}), but set in none of the files that {one.name} reads "
            f"({', '.join(there)})",
            "\n".join(f"Add a line {name}=…" for name in names),
        )


def _is_written_out(assignment: Assignment) -> bool:
    value = assignment.value.strip("\"'")
    if not assignment.is_literal or value.lower() in _SWITCH:
        return False
    if _URL_WITH_PASSWORD.match(value):
        return True
    return bool(_SECRET.search(assignment.name)) and not _PUBLIC.search(assignment.name)


def _ignored(app: App) -> bool:
    """Whether git leaves the files of secrets out of the repository."""
    lines = (app.text(".gitignore") or "").splitlines()
    return any(re.fullmatch(r"/?\.kamal(?:/|/\*+|/secrets\*?)?", line.strip()) for line in lines)


def _handed_on(one: Deployed) -> Iterator[Finding]:
    """Do the app, which restores, and the accessory get the keys of the bucket."""
    deployment, role = one.deployment, one.deployment.primary_role
    app_names = {*deployment.env.names, *(role.env.names if role else ())}
    receivers: list[tuple[str, set[str], tuple[str, ...]]] = [("app", app_names, ("env", "secret"))]
    if one.sidecar:
        names = set(one.sidecar.env.names)
        receivers.append(("accessory", names, ("accessories", SIDECAR, "env", "secret")))
    for who, names, path in receivers:
        missing = [name for name in facts.BUCKET_KEYS if name not in names]
        if not missing or set(_AMAZON) <= names or deployment.unreadable_at(*path[:-1]):
            continue
        file, line = deployment.line(*path)
        replaced = (
            "; a destination's list takes the place of that in config/deploy.yml"
            if line and file != facts.DEPLOY
            else ""
        )
        keys = [f"{'  ' * depth}{key}:" for depth, key in enumerate(path)]
        keys += [f"{'  ' * len(path)}- {name}" for name in missing]
        yield Finding(
            "secrets.keys",
            "error",
            file,
            line,
            f"the {who} of {one.name} does not get {' and '.join(missing)}, so it cannot reach the "
            f"bucket{replaced}",
            f"In {file}:\n" + "\n".join(keys),
        )
