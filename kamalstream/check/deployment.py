"""Do config/deploy.yml, the Dockerfile, the entrypoint and litestream.yml say the same thing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kamalstream import facts
from kamalstream.check.finding import Finding
from kamalstream.facts import DEPLOY, DOCKERFILE, ENTRYPOINT, LITESTREAM
from kamalstream.inspect.adopted import App, yaml_error

_REBOOT = "Then: kamal accessory reboot litestream"


def check(app: App) -> Iterator[Finding]:
    """Yield what does not fit together."""
    text = app.text(DEPLOY)
    if text is None:
        message = "the file is not there: Kamal has nothing to deploy with"
        yield Finding("deploy.missing", "error", DEPLOY, 0, message, "Run `copier recopy`.")
        return
    if app.deploy is None:
        if "<%" in text:
            yield Finding(
                "deploy.erb",
                "warning",
                DEPLOY,
                app.line_of(DEPLOY, "<%"),
                "has ERB in it, which is not run here: volumes, accessory and hosts are unchecked",
                "Compare them with `kamal config` yourself.",
            )
        else:
            place, why = yaml_error(DEPLOY, text) or (0, "the file is no mapping")
            yield Finding("yaml.invalid", "error", DEPLOY, place, why, "Mend that line.")
        return
    yield from _volumes(app, app.deploy)
    yield from _accessory(app, app.deploy)
    yield from _entrypoint(app)


def _accessory_of(deploy: dict[str, Any]) -> dict[str, Any] | None:
    accessories = deploy.get("accessories")
    found = accessories.get("litestream") if isinstance(accessories, dict) else None
    return found if isinstance(found, dict) else None


def _mounts(section: dict[str, Any]) -> dict[str, str]:
    """Return where in the container → volume, of a `volumes:` list."""
    volumes = section.get("volumes")
    pairs = [str(v).split(":") for v in volumes] if isinstance(volumes, list) else []
    return {pair[1].rstrip("/"): pair[0] for pair in pairs if len(pair) > 1}


def _volumes(app: App, deploy: dict[str, Any]) -> Iterator[Finding]:
    storage = f"{facts.RAILS_ROOT}/storage"
    volume = _mounts(deploy).get(storage)
    line = app.line_of(DEPLOY, r"^volumes:")
    if volume is None:
        yield Finding(
            "volume.missing",
            "error",
            DEPLOY,
            line,
            f"no volume is mounted at {storage}: every deploy starts with empty databases",
            f'volumes:\n  - "{app.answers.get("app_name")}_storage:{storage}"',
        )
    accessory = _accessory_of(deploy)
    if accessory is None:
        return
    mounts = _mounts(accessory)
    line = app.line_of(DEPLOY, r"^  litestream:")
    if volume is not None and volume not in mounts.values():
        yield Finding(
            "volume.differs",
            "error",
            DEPLOY,
            line,
            f"the litestream accessory does not mount {volume}, the volume of the app: "
            "it sees none of the databases",
            f'Under accessories: litestream: volumes:\n  - "{volume}:{storage}"\n{_REBOOT}',
        )
    for place in app.replicated:
        mount = next((at for at in mounts if place.value.startswith(at + "/")), None)
        if mount is None:
            yield Finding(
                "volume.path",
                "error",
                LITESTREAM,
                place.line,
                f"{place.value} is below no volume of the accessory "
                f"({', '.join(mounts) or 'it has none'}): Litestream waits for it for ever",
                f'Mount the volume at the same place in both: "{volume or "VOLUME"}:{storage}"',
            )
        elif mount != storage:
            yield Finding(
                "volume.place",
                "error",
                LITESTREAM,
                place.line,
                f"{place.value} is where the accessory sees the database, but not the app "
                f"({storage}): {ENTRYPOINT} could not restore it there",
                f'Mount the volume at {storage} in both: "{volume or "VOLUME"}:{storage}"',
            )


def _accessory(app: App, deploy: dict[str, Any]) -> Iterator[Finding]:
    accessory = _accessory_of(deploy)
    if accessory is None:
        yield Finding(
            "accessory.missing",
            "error",
            DEPLOY,
            app.line_of(DEPLOY, r"^accessories:"),
            "there is no accessory `litestream`: nothing replicates the databases",
            "Run `copier recopy` to see the accessory as the template writes it.",
        )
        return
    line = app.line_of(DEPLOY, r"litestream/litestream")
    image = str(accessory.get("image", ""))
    tag = image.rpartition(":")[2] if ":" in image else "latest"
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+(-[a-z0-9]+)?", tag):
        yield Finding(
            "accessory.unpinned",
            "warning",
            DEPLOY,
            line,
            f"{image} moves by itself; `latest` went from 0.3 to 0.5, which reads other keys",
            f"image: litestream/litestream:{facts.VERSIONS['litestream'][app.series]}\n{_REBOOT}",
        )
    elif not tag.startswith(app.series + "."):
        yield Finding(
            "accessory.series",
            "error",
            DEPLOY,
            line,
            f"{image} is not of the series {app.series} that config/litestream.yml is written for",
            f"copier update --trust --data litestream_version={'.'.join(tag.split('.')[:2])}",
        )
    in_image = re.search(
        r"^(?:FROM|COPY --from=)\s*(?:docker\.io/)?litestream/litestream:(\S+)",
        app.text(DOCKERFILE) or "",
        re.MULTILINE,
    )
    if in_image and in_image[1] != tag:
        yield Finding(
            "dockerfile.litestream",
            "error" if in_image[1].split(".")[:2] != tag.split(".")[:2] else "warning",
            DOCKERFILE,
            app.line_of(DOCKERFILE, r"litestream/litestream:"),
            f"the image restores with Litestream {in_image[1]}, the accessory writes with {tag}",
            "Write the same version in both.",
        )
    files = accessory.get("files")
    mapped = [str(f) for f in files] if isinstance(files, list) else []
    if not any(f.startswith(f"{LITESTREAM}:/etc/litestream.yml") for f in mapped) and not any(
        isinstance(f, dict) and f.get("local") == LITESTREAM for f in files or []
    ):
        yield Finding(
            "accessory.config",
            "error",
            DEPLOY,
            app.line_of(DEPLOY, r"^  litestream:"),
            f"the accessory does not get {LITESTREAM}: it replicates nothing",
            f"files:\n  - {LITESTREAM}:/etc/litestream.yml",
        )
    if "replicate" not in str(accessory.get("cmd", "")):
        message = "the accessory is not told to replicate"
        yield Finding("accessory.cmd", "error", DEPLOY, line, message, "cmd: replicate")
    options = accessory.get("options")
    user = str(options.get("user", "")) if isinstance(options, dict) else ""
    if not user.startswith("1000"):
        yield Finding(
            "accessory.user",
            "warning",
            DEPLOY,
            line,
            "the accessory does not run as uid 1000, the user of the app's container: "
            "files that it makes may be read-only for the app",
            'options:\n  user: "1000:1000"',
        )


def _entrypoint(app: App) -> Iterator[Finding]:
    text = app.text(ENTRYPOINT)
    if text is None:
        message = "the file is not there: databases are neither restored nor migrated"
        yield Finding("entrypoint.missing", "error", ENTRYPOINT, 0, message, "copier recopy")
        return
    restored = set(re.findall(r"^\s*restore_if_missing\s+\"?(/\S+?)\"?\s*$", text, re.MULTILINE))
    replicated = {place.value for place in app.replicated}
    for path in sorted(replicated - restored):
        yield Finding(
            "entrypoint.not-restored",
            "error",
            ENTRYPOINT,
            app.line_of(ENTRYPOINT, r"db:prepare"),
            f"{path} is replicated, but not restored on an empty server: an empty database "
            "would take the place of its backup",
            f"Before db:prepare: restore_if_missing {path}",
        )
    for path in sorted(restored - replicated):
        yield Finding(
            "entrypoint.not-replicated",
            "error",
            ENTRYPOINT,
            app.line_of(ENTRYPOINT, re.escape(path)),
            f"{path} is not in {LITESTREAM}: the restore fails, and the app does not start",
            "Remove the line, or add the database there.",
        )
