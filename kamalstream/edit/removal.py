"""Takes out of an app what the template brought: its own files, and its lines in all others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kamalstream import facts
from kamalstream.edit import dockerfile, entrypoint, secrets_file
from kamalstream.edit.adoption import FileEdit, read_bytes, read_text
from kamalstream.edit.kamal_pieces import taken_out
from kamalstream.edit.yaml_text import YamlText
from kamalstream.inspect.app import build_of
from kamalstream.inspect.image.built import read_image
from kamalstream.inspect.kamal.deployment import Kamal

#: What an app is deployed with, and has whether there are backups or not.
STAYS = (*facts.OWNABLE, facts.PRODUCTION_RB)


@dataclass(frozen=True)
class Removal:
    """What is taken out, and from where.

    `rendered` is a folder with all files as the template rendered them the last time.
    """

    app: Path
    rendered: Path
    kamal: Kamal | None

    def text(self, file: str) -> str | None:
        """Return what `file` of the app holds, None where it is not there."""
        return read_text(self.app, file)

    @property
    def own(self) -> tuple[str, ...]:
        """The files of the template's alone."""
        files = (one.relative_to(self.rendered) for one in self.rendered.rglob("*"))
        names = sorted(one.as_posix() for one in files if (self.rendered / one).is_file())
        return tuple(one for one in names if one not in STAYS)


def edits(removal: Removal) -> Iterator[FileEdit]:
    """Yield what becomes of each file that stays, changed or not.

    Raises BadInput where one cannot be read.
    """
    kamal = removal.kamal
    main = (kamal.main or kamal.base) if kamal else None
    build = build_of(main)
    file = (main.builder.dockerfile if main else None) or facts.DOCKERFILE
    text = removal.text(file)
    if text is not None:
        yield FileEdit(file, text, dockerfile.without(text, file, build))
        image = read_image(text, build)
        there = entrypoint.entrypoint_script(image, lambda one: (removal.app / one).is_file())
        script = removal.text(there) if there else None
        if there and script is not None and there not in facts.PROGRAMS:
            yield FileEdit(there, script, entrypoint.without(there, script))
    ours = YamlText((removal.rendered / facts.DEPLOY).read_text("utf-8"))
    for name in kamal.files if kamal else ():
        said = removal.text(name) or ""
        yield FileEdit(name, said, taken_out(name, said, ours))
    all_of_them = (kamal.base, *kamal.deployments) if kamal else ()
    files = [one for each in all_of_them for one in each.secrets_files]
    for name in dict.fromkeys(files):
        secrets = removal.text(name)
        if secrets is not None:
            yield FileEdit(name, secrets, secrets_file.without(name, secrets))


def gone(removal: Removal, kept: tuple[FileEdit, ...]) -> tuple[list[str], dict[str, str]]:
    """Return the files that go, and those of ours that stay, each with why.

    A file that its owner edited stays, and so does what one of the `kept` still calls.
    """
    go: list[str] = []
    stay: dict[str, str] = {}
    for file in removal.own:
        content = read_bytes(removal.app, file)
        if content is None:
            continue
        callers = [one.file for one in kept if file in _code(one.edited.text)]
        if file == facts.ANSWERS:
            go.append(file)
        elif callers:
            stay[file] = f"{callers[0]} uses it"
        elif content != (removal.rendered / file).read_bytes():
            stay[file] = "you have edited it: remove it yourself"
        else:
            go.append(file)
    return go, stay


def _code(text: str) -> str:
    return "\n".join(one for one in text.splitlines() if not one.lstrip().startswith("#"))
