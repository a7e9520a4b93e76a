"""Is there an accessory that replicates: which Litestream, where, with which file, as whom."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kamalstream import facts
from kamalstream.check.deployed import SIDECAR, Deployed, deployments
from kamalstream.check.finding import Finding
from kamalstream.edit.destination_yml import CONFIG_FILE
from kamalstream.inspect.adopted import App
from kamalstream.inspect.kamal.containers import Accessory

_REBOOT = f"Then: kamal accessory reboot {SIDECAR}"
CONFIG_VARIABLE = "LITESTREAM_CONFIG"


def check(app: App) -> Iterator[Finding]:
    """Yield what keeps the databases of a deployment from being replicated, or to where."""
    for one in deployments(app):
        yield from _path_of(one)
        if one.sidecar:
            yield from _image(one, one.sidecar)
            yield from _config(one, one.sidecar)
            yield from user(one, one.sidecar)
            yield from _one_writer(one, one.sidecar)
            yield from placement(one, one.sidecar)
        elif not one.deployment.unreadable_at("accessories", SIDECAR):
            others = ", ".join(other.name for other in one.deployment.litestreams)
            yield Finding(
                "accessory.missing",
                "error",
                *one.deployment.line("accessories"),
                f"{one.name} has no accessory `{SIDECAR}`: nothing replicates the databases"
                + (f" as bin/restore expects it ({others} is called otherwise)" if others else ""),
                "kamalstream init puts it there, or shows the lines to put.",
            )


#: A release that stays what it is.
PINNED = re.compile(r"v?[0-9]+\.[0-9]+\.[0-9]+(-[a-z0-9]+)?")


def tag_of(image: str) -> str:
    """Return the tag of an image, "latest" where it has none."""
    name, _, tag = image.partition("@")[0].rpartition(":")
    return tag if name and "/" not in tag else "latest"


def _image(one: Deployed, sidecar: Accessory) -> Iterator[Finding]:
    place = one.deployment.line("accessories", SIDECAR, "image")
    image, series = sidecar.image or "", one.app.series
    if one.deployment.unreadable_at("accessories", SIDECAR, "image"):
        return
    tag = tag_of(image)
    if not PINNED.fullmatch(tag):
        yield Finding(
            "accessory.unpinned",
            "warning",
            *place,
            f"{image} moves by itself; `latest` went from 0.3 to 0.5, which reads other keys",
            f"image: litestream/litestream:{facts.VERSIONS['litestream'][series]}\n{_REBOOT}",
        )
    elif not tag.removeprefix("v").startswith(f"{series}."):
        yield Finding(
            "accessory.series",
            "error",
            *place,
            f"{image} is not of the series {series} that {one.litestream} is written for",
            "kamalstream update --data litestream_version="
            + ".".join(tag.removeprefix("v").split(".")[:2]),
        )


def _config(one: Deployed, sidecar: Accessory) -> Iterator[Finding]:
    cmd = sidecar.cmd or ""
    named = re.search(r"-config[= ](\S+)", cmd)
    remote = named[1] if named else CONFIG_FILE
    files = [local for local, target in sidecar.files if target == remote]
    if one.deployment.unreadable_at("accessories", SIDECAR):
        return
    if one.litestream not in files:
        wrong = f"{files[-1]} instead of {one.litestream}" if files else f"no {one.litestream}"
        what = "it replicates nothing" if not files else "it goes by another deployment's"
        lines = f"accessories:\n  {SIDECAR}:\n    files:\n      - {one.litestream}:{remote}"
        yield Finding(
            "accessory.config",
            "error",
            *one.deployment.line("accessories", SIDECAR, "files"),
            f"the accessory of {one.name} gets {wrong}: {what}",
            f"In {one.deployment.file}:\n{lines}\n{_REBOOT}",
        )
    if "replicate" not in cmd:
        place = one.deployment.line("accessories", SIDECAR, "cmd")
        message = f"the accessory of {one.name} is not told to replicate"
        yield Finding("accessory.cmd", "error", *place, message, "cmd: replicate")


def user(one: Deployed, accessory: Accessory) -> Iterator[Finding]:
    """Yield where an `accessory` of ours does not run as the user of the app's container."""
    wanted, theirs = one.user.partition(":")[0], (accessory.user or "0").partition(":")[0]
    if theirs != wanted and theirs.isdecimal() and wanted.isdecimal():
        yield Finding(
            "accessory.user",
            "warning",
            *one.deployment.line("accessories", accessory.name, "options", "user"),
            f"the accessory `{accessory.name}` of {one.name} does not run as uid {wanted}, the "
            "user of the app's container: files that it makes may be read-only for the app",
            f'options:\n  user: "{one.user}"',
        )


def _one_writer(one: Deployed, sidecar: Accessory) -> Iterator[Finding]:
    """Does it look, before it replicates, whether another server has gone on with the backup."""
    programs = [remote for local, remote in sidecar.files if local == facts.ONE_WRITER]
    if one.deployment.unreadable_at("accessories", SIDECAR) or "replicate" not in sidecar.started:
        return
    if not any(program in sidecar.started for program in programs):
        remote = programs[-1] if programs else f"/usr/local/{facts.ONE_WRITER}"
        yield Finding(
            "accessory.one-writer",
            "warning",
            *one.deployment.line("accessories", SIDECAR),
            f"the accessory of {one.name} replicates without a look whether another server has "
            "gone on with the backup: two writers destroy it",
            f"accessories:\n  {SIDECAR}:\n    files:\n      - {facts.ONE_WRITER}:{remote}:ro\n"
            f"    options:\n      entrypoint: {remote}\n{_REBOOT}",
        )


def placement(one: Deployed, accessory: Accessory) -> Iterator[Finding]:
    """Yield where not exactly one key says where an `accessory` of ours runs.

    A destination easily adds a second to the base's.
    """
    deployment, keys, name = one.deployment, accessory.placements, accessory.name
    role = deployment.primary_role_name
    by_role = f"roles:\n  - {role}"
    if len(keys) == 1 or deployment.unreadable_at("accessories", name):
        return
    if not keys:
        message = f"nothing says where the accessory `{name}` of {one.name} runs: Kamal refuses it"
        place = (accessory.file, accessory.line)
        yield Finding("accessory.placement", "error", *place, message, by_role)
        return
    # What follows the roles fits every destination, so it is what stays.
    kept = next((key for key in ("roles", "role", "tags", "tag") if key in keys), keys[-1])
    for key in keys:
        file, line = deployment.line("accessories", name, key)
        if key != kept:
            instead = ""
            if file != deployment.line("accessories", name, kept)[0]:
                # Other destinations may go by the line that is taken out.
                instead = f", and write there instead:\n{by_role}"
            yield Finding(
                "accessory.placement",
                "error",
                file,
                line,
                f"the accessory `{name}` of {one.name} has "
                f"{' and '.join(f'`{k}:`' for k in keys)}, and Kamal takes one of them alone",
                f"Take out line {line} of {file} (`{key}:`){instead}",
            )


def _path_of(one: Deployed) -> Iterator[Finding]:
    """Does the boot restore bring back this deployment's own rows, from a path of its own."""
    deployment = one.deployment
    if not one.answered:
        yield Finding(
            "destination.path",
            "error",
            deployment.file,
            0,
            f"{one.name} came after the answers, so it has no path of its own for its backups: its "
            "first boot would bring back production's rows, and both would go on at one path",
            "kamalstream init reads the destinations again, and gives it one.",
        )
        return
    told = one.variable(CONFIG_VARIABLE)
    if told is None or deployment.unreadable_at("env"):
        return
    wanted = {one.litestream, one.app.in_container(one.litestream)}
    if (told or facts.LITESTREAM) not in wanted:
        whose = f"goes by {told}" if told else "goes by production's"
        yield Finding(
            "destination.path",
            "error",
            *deployment.line("env", "clear", CONFIG_VARIABLE),
            f"the app of {one.name} {whose} backups, not by {one.litestream}: on an empty server "
            "it would start with the rows of another deployment",
            f"In {deployment.file}:\nenv:\n  clear:\n    {CONFIG_VARIABLE}: {one.litestream}",
        )
